"""Captions of a film: two lines at most, 1 to 7 seconds each, in step with the voice, and never two at once."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from evergreen_server.film.cut.captions import Spoken, on_screen, spoken
from evergreen_server.film.cut.wrapping import columns_of, readable
from evergreen_server.film.screenplay.speech import speech_seconds
from evergreen_server.ports.timeline import Caption

STORY = (
    "The lamp went out at nine. Why? Nobody noticed, at first; then the dog began to bark at something that stood "
    "beyond the fence, quite still. Who is there?"
)


def said(*texts: str, slower: float = 1.0, gap: float = 0.35) -> list[Spoken]:
    """Returns lines that follow one another, each as long as speech of it may be expected to be."""
    lines, at = [], 0.3
    for text in texts:
        lines.append(Spoken(text=text, start=at, seconds=speech_seconds(text) * slower))
        at += lines[-1].seconds + gap
    return lines


def captions(*texts: str, slower: float = 1.0, gap: float = 0.35, end: float = 3600.0) -> tuple[Caption, ...]:
    return spoken(said(*texts, slower=slower, gap=gap), language="en", end=end)


def text_of(found: Sequence[Caption]) -> str:
    return " ".join(line for caption in found for line in caption.lines)


def test_sentences_have_captions_of_their_own_and_short_ones_join_others() -> None:
    assert [caption.lines for caption in captions(STORY)] == [
        ("The lamp went out at nine. Why?",),
        ("Nobody noticed, at first;", "then the dog began to bark"),
        ("at something that stood", "beyond the fence, quite still."),
        ("Who is there?",),
    ]


def test_a_caption_begins_and_ends_with_the_voice_by_its_pauses() -> None:
    line = Spoken(
        text="The first of them. And now the second.", start=10.0, seconds=6.0, pauses=((0.0, 0.2), (2.0, 3.5))
    )

    assert [(caption.start, caption.end) for caption in spoken([line], language="en", end=60.0)] == [
        (10.2, 12.0),
        (13.5, 16.0),
    ]


def test_between_captions_that_are_near_nothing_flickers() -> None:
    [first, second] = captions("This was the first line of it.", "And this is the second.")

    assert first.end == second.start


def test_two_voices_that_answer_at_once_share_a_caption() -> None:
    [caption] = captions("No.", "Yes.", gap=0.1)

    assert caption.lines == ("- No.", "- Yes.")
    assert caption.end - caption.start >= 1


def test_a_hundred_short_answers_are_neither_late_nor_too_short_to_read() -> None:
    lines = said(*["No."] * 100)
    found = spoken(lines, language="en", end=3600.0)

    assert {int(1000 * line.start + 1e-6) / 1000 for line in lines} >= {caption.start for caption in found}
    assert all(caption.end - caption.start >= 1 for caption in found)
    assert text_of(found).count("No.") == 100


def test_a_slow_voice_holds_no_caption_for_longer_than_seven_seconds() -> None:
    found = captions(STORY, slower=4.0)

    assert len(found) > len(captions(STORY))
    assert max(caption.end - caption.start for caption in found) < 7.001
    assert text_of(found) == STORY


def test_one_word_that_takes_half_a_minute_is_shown_for_seven_seconds() -> None:
    [caption] = spoken([Spoken(text="Ommmmm", start=1.0, seconds=30.0)], language="en", end=60.0)

    assert (caption.start, caption.end) == (1.0, 8.0)


@pytest.mark.parametrize(("length", "shown"), [(60.0, 1.0), (0.9, 0.6)])
def test_a_short_word_is_shown_for_a_second_or_until_the_film_is_over(length: float, shown: float) -> None:
    [caption] = spoken([Spoken(text="No.", start=0.3, seconds=0.4)], language="en", end=length)

    assert caption.end - caption.start == pytest.approx(shown)


@pytest.mark.parametrize("text", ["", "  \n ", "\0", "\u202e", "\u2066 \u2069"])
def test_what_shows_nothing_has_no_caption(text: str) -> None:
    assert spoken([Spoken(text=text, start=0.0, seconds=2.0)], language="", end=10.0) == ()


def test_chinese_sentences_are_joined_without_a_space() -> None:
    line = Spoken(text="不。他说不来了。", start=0.0, seconds=2.0)

    assert text_of(spoken([line], language="zh", end=10.0)) == "不。他说不来了。"


def test_texts_of_the_screen_share_their_scene_at_the_top() -> None:
    found = on_screen(["LONDON\n1897", "EVENING"], start=10.0, seconds=8.0)

    assert [(caption.lines, caption.top) for caption in found] == [(("LONDON", "1897"), True), (("EVENING",), True)]
    assert found[0].start == 10.0
    assert found[0].end == found[1].start
    assert found[1].end == 18.0


def test_a_text_of_the_screen_goes_after_seven_seconds() -> None:
    [caption] = on_screen(["LONDON"], start=10.0, seconds=20.0)

    assert (caption.start, caption.end) == (10.0, 17.0)


def test_a_long_text_of_the_screen_follows_in_parts() -> None:
    text = f"{'word ' * 40}\nend"

    found = on_screen([text], start=0.0, seconds=20.0)

    assert text_of(found) == readable(text)
    assert all(len(caption.lines) <= 2 for caption in found)


def test_any_lines_have_captions_that_keep_the_bounds_and_all_of_the_text() -> None:
    rng = random.Random(1)
    words = ["a", "to", "lamp", "extraordinarily", "no.", "What?", "and,", "漢字。", "שלום", "-->", "<b>", "x" * 60]

    for _ in range(200):
        texts = [" ".join(rng.choices(words, k=rng.randrange(1, 40))) for _ in range(rng.randrange(1, 12))]
        lines = [
            Spoken(
                text=line.text,
                start=line.start,
                seconds=line.seconds,
                pauses=tuple((at + 0.3, at + 0.5) for at in range(0, int(line.seconds), 2)),
            )
            for line in said(*texts, slower=rng.uniform(0.7, 2.0))
        ]
        end = lines[-1].start + lines[-1].seconds + 1

        found = spoken(lines, language=rng.choice(["en", "ja", "he", ""]), end=end)

        assert all(first.end <= second.start for first, second in pairwise(found))
        assert all(0 < caption.end - caption.start < 7.001 and caption.end <= end for caption in found)
        assert all(len(caption.lines) <= 2 and max(map(columns_of, caption.lines)) <= 42 for caption in found)
        shown = text_of(found).replace("- ", "").replace(" ", "")
        assert shown == "".join(texts).replace(" ", "")
