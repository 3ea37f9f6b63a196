"""Captions follow the voice: their joints are brought to the pauses that are measured in the speech."""

import random
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pytest

from evergreen_server.film.cut.aligning import times_of
from evergreen_server.film.cut.wrapping import parts_of
from evergreen_server.film.screenplay.sentences import sentences_of
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.pauses import find
from evergreen_server.ports.media import Pauses
from evergreen_server.providers.runway.rendering.sounds import speech, write_sound
from evergreen_server.providers.runway.rendering.spoken import phrases, spoken_seconds

TEXTS = {
    "en": "The lamp went out at nine. Nobody noticed, at first; then the dog began to bark at something that stood "
    "beyond the fence, quite still. Who is there? she asked. The wind answered: nobody. And so the night went on, as "
    "nights do, until the milkman came up the lane with his bottles ringing. He had $3.50 in his pocket, and no idea.",
    "ja": "昔々あるところに、おじいさんとおばあさんが住んでいました。おじいさんは山へ芝刈りに、おばあさんは川へ洗濯に"
    "行きました。ある日、大きな桃が流れてきました。",
}
Times = Sequence[tuple[float, float]]


def parts_in(text: str, language: str) -> list[str]:
    return [part for sentence in sentences_of(text, language) for part in parts_of(sentence)]


def true_times(text: str, parts: Sequence[str]) -> Times:
    """Returns when the sandbox's voice says each part."""
    times, at = [], 0
    for part in parts:
        at = text.index(part, at)
        before = text[:at].rstrip()
        at += len(part)
        *_, (_, pause) = phrases(text[:at], 1.0)
        times.append((spoken_seconds(before) if before else 0.0, spoken_seconds(text[:at]) - pause))
    return times


def uneven(parts: Sequence[str], rng: random.Random, *, by: float) -> tuple[Times, float, Pauses]:
    """Returns a voice that says every phrase faster or slower, and pauses for longer or shorter."""
    times, pauses, at = [], [], 0.0
    for part in parts:
        start = end = at
        for voiced, pause in phrases(part, 1.0):
            at = end = at + voiced * (1 + rng.uniform(-by, by))
            if pause:
                at += pause * (1 + rng.uniform(-by, by))
                pauses.append((end, at))
        times.append((start, end))
    return times, at, tuple(pauses)


def error(found: Times, true: Times) -> float:
    """Returns the mean distance of all joints between parts from where they are."""
    return fmean(
        abs(mine - its)
        for ours, theirs, our_next, their_next in zip(found, true, found[1:], true[1:], strict=False)
        for mine, its in ((ours[1], theirs[1]), (our_next[0], their_next[0]))
    )


@pytest.mark.parametrize("language", TEXTS)
def test_captions_meet_the_voice_to_a_few_milliseconds(tmp_path: Path, language: str) -> None:
    text = TEXTS[language]
    parts, path = parts_in(text, language), tmp_path / "speech.mp3"
    voice = speech(text, speed=1.0, pitch=140, loudness=1.0, rate=44_100)
    write_sound(str(path), "mp3", 44_100, voice)
    seconds, true = spoken_seconds(text), true_times(text, parts)

    unmeasured = error(times_of(parts, seconds, ()), true)
    measured = error(times_of(parts, seconds, find(path, MediaLimits())), true)

    assert measured < 0.01 < 0.08 < unmeasured


@pytest.mark.parametrize(("by", "most"), [(0.15, 0.05), (0.3, 0.15)])
def test_a_voice_that_is_not_even_is_followed(by: float, most: float) -> None:
    rng = random.Random(1)
    parts = parts_in(TEXTS["en"], "en")

    voices = [uneven(parts, rng, by=by) for _ in range(30)]

    assert fmean(error(times_of(parts, seconds, pauses), true) for true, seconds, pauses in voices) < most


def test_a_breath_where_the_text_has_no_stop_moves_no_sentence() -> None:
    parts = ["One sentence that is long enough to breathe in.", "Another one of the same length, more or less."]

    [_, (start, _)] = times_of(parts, 7.0, ((1.0, 1.15), (3.3, 3.7), (5.0, 5.15)))

    assert start == 3.7


def test_the_silence_before_the_first_word_and_after_the_last_is_no_part_of_it() -> None:
    assert times_of(["one"], 3.0, ((0.0, 0.5), (2.4, 2.99))) == ((0.5, 2.4),)


def test_without_pauses_the_parts_follow_one_another_by_their_letters() -> None:
    assert times_of(["a" * 10, "b" * 30], 4.0, ()) == ((0.0, 1.0), (1.0, 4.0))


def test_silence_alone_is_as_if_nothing_was_measured() -> None:
    assert times_of(["one", "two"], 2.0, ((0.0, 2.0),)) == ((0.0, 1.0), (1.0, 2.0))


def test_no_parts_take_no_time() -> None:
    assert times_of([], 2.0, ((0.5, 1.0),)) == ()


def test_whatever_was_measured_parts_are_in_order_within_the_speech() -> None:
    rng = random.Random(1)
    for _ in range(500):
        parts = ["".join(rng.choices("ab ,.。漢!", k=rng.randrange(1, 60))) for _ in range(rng.randrange(1, 8))]
        edges = sorted({round(rng.uniform(0, 10), 2) for _ in range(2 * rng.randrange(12))})
        pauses = tuple(zip(edges[::2], edges[1::2], strict=False))

        times = times_of(parts, 10.0, pauses)

        assert len(times) == len(parts)
        flat = [at for pair in times for at in pair]
        assert flat == sorted(flat)
        assert flat[0] >= 0
        assert flat[-1] <= 10.0
