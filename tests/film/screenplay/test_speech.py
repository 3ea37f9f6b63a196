"""How long speech takes, and where its sentences end."""

import pytest

from evergreen_server.film.screenplay.sentences import first_sentence, sentences_of
from evergreen_server.film.screenplay.speech import longest_seconds, speech_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("x" * 14, 1),
        ("x" * 13 + ".", 1.35),
        ("One.  \n Two?!", 10 / 14 + 2 * 0.35),
        ("It cost 3.50 at example.org", 27 / 14),
        ("Wait… what", 10 / 14 + 0.35),
        ("“Go.”", 5 / 14 + 0.35),
        ("Ждите.", 6 / 14 + 0.35),
        ("我们走吧。好！", 5 / 4.5 + 2 / 14 + 2 * 0.35),  # noqa: RUF001
        ("カメラを", 4 / 4.5),
        ("안녕", 2 / 4.5),
    ],
)
def test_seconds_of_speech(text: str, seconds: float) -> None:
    assert speech_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(("estimate", "longest"), [(0, 4), (3.2, 4), (3.21, 5), (4.8, 6), (7.05, 9)])
def test_a_quote_reckons_with_a_quarter_more_in_whole_seconds(estimate: float, longest: int) -> None:
    assert longest_seconds(estimate) == longest


@pytest.mark.parametrize(
    ("text", "language", "sentences"),
    [
        ("", "en", ()),
        ("  \n ", "en", ()),
        (
            "It cost $3.50... Then Mr. Smith\nleft. “Go.” She did.",
            "en",
            ("It cost $3.50...", "Then Mr. Smith left.", "“Go.”", "She did."),
        ),
        ("Eins. Zwei!", "de-AT", ("Eins.", "Zwei!")),
        ("我们走。好。", "zh", ("我们走。", "好。")),
        ("One. Two.", "", ("One.", "Two.")),
        ("One more. Two more.", "tlh", ("One more.", "Two more.")),
    ],
)
def test_sentences(text: str, language: str, sentences: tuple[str, ...]) -> None:
    assert sentences_of(text, language) == sentences
    assert first_sentence(text, language) == (sentences[0] if sentences else "")


def test_sentences_of_a_long_text_lose_nothing() -> None:
    text = " ".join(["“a", "word.", "x" * 2_500] * 300)

    assert "".join(sentences_of(text, "en")).replace(" ", "") == text.replace(" ", "")
