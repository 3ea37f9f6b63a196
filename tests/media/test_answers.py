"""What processes answer that work on callers' files, and that a file may have taken over: read as data, or refused."""

import pytest

from evergreen_server.media.orders import Answer
from evergreen_server.media.render.order import Step, answer_line, read_answer
from evergreen_server.ports.rendering import RenderRefused

NO_ANSWERS = (
    b"",
    b"\n",
    b"null\n",
    b"5\n",
    b'"rendered"\n',
    b"[]\n",
    b"{}\n",
    b"[" * 60_000,
    b'{"a":' * 12_000,
    b'{"warnings": [], "pauses": 5}\n',
    b'{"warnings": 5, "pauses": []}\n',
    b'{"warnings": [], "pauses": [], "unknown": 1}\n',
    b"\xff\xfe{}\n",
    b"1" * 60_000,
)


@pytest.mark.parametrize("line", NO_ANSWERS, ids=range(len(NO_ANSWERS)))
def test_what_is_no_answer_of_a_decoder_is_one_kind_of_error(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 # whose texts are the library's
        Answer.read(line)


@pytest.mark.parametrize(
    "line",
    [
        *NO_ANSWERS,
        b'{"rendered": 5}\n',
        b'{"rendered": {"frames": Infinity}}\n',
        b'{"rendered": {"frames": NaN}}\n',
        b'{"refused": {"code": "OTHER", "text": "", "span": null, "sound": null}}\n',
        b'{"refused": []}\n',
        b'{"done": Infinity, "spans": []}\n',
        b'{"done": 1, "spans": [null]}\n',
    ],
    ids=range(len(NO_ANSWERS) + 7),
)
def test_what_is_no_answer_of_a_renderer_is_one_kind_of_error(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 # whose texts are the library's
        read_answer(line)


def test_answers_come_back_as_they_were_given() -> None:
    step = Step(done=7, spans=(1, 2))
    refused = read_answer(answer_line(RenderRefused("no picture", code="CLIP_UNSUPPORTED", span=3)))

    assert read_answer(answer_line(step)) == step
    assert isinstance(refused, RenderRefused)
    assert (str(refused), refused.code, refused.span, refused.sound) == ("no picture", "CLIP_UNSUPPORTED", 3, None)
