"""The pauses of a speech are found to a few milliseconds, however loud it is and whatever form it has."""

from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.orders import Answer
from evergreen_server.media.pauses import find
from evergreen_server.media.tools import Media
from evergreen_server.ports.media import MAX_PAUSES, MediaRefused, Pauses
from evergreen_server.providers.runway.rendering.sounds import speech, write_sound
from evergreen_server.providers.runway.rendering.spoken import phrases

TEXT = "The lamp went out at nine. Nobody noticed, at first; then the dog began to bark. Who is there?"
NEAR = 0.011
SMEARED = 0.026
"""How far from its place a pause may begin or end where a codec spreads what is heard, as MP3 does."""
RATE = 48_000


def spoken(text: str = TEXT, *, loudness: float = 1.0, rate: int = RATE) -> NDArray[np.float32]:
    return np.concatenate(list(speech(text, speed=1.0, pitch=140, loudness=loudness, rate=rate)))


def true_pauses(text: str = TEXT) -> Iterator[tuple[float, float]]:
    at = 0.0
    for voiced, pause in phrases(text, 1.0):
        at += voiced
        if pause:
            yield at, at + pause
        at += pause


def found(folder: Path, samples: NDArray[np.float32], form: str = "wav", rate: int = RATE) -> Pauses:
    path = folder / f"speech.{form}"
    write_sound(str(path), form, rate, [samples])  # type: ignore[arg-type]  # a form
    return find(path, MediaLimits())


def same(found: Pauses, expected: list[tuple[float, float]], near: float = NEAR) -> bool:
    return np.shape(found) == np.shape(expected) and bool(np.all(np.abs(np.subtract(found, expected)) < near))


@pytest.mark.parametrize(
    ("form", "rate", "near"),
    [("mp3", 44_100, SMEARED), ("mp3", 22_050, SMEARED), ("ogg", 48_000, NEAR), ("wav", 48_000, NEAR)],
)
def test_pauses_are_found_where_nothing_is_said(tmp_path: Path, form: str, rate: int, near: float) -> None:
    assert same(found(tmp_path, spoken(rate=rate), form, rate), list(true_pauses()), near)


@pytest.mark.parametrize("loudness", [0.02, 0.3, 3.0])
def test_loudness_changes_nothing(tmp_path: Path, loudness: float) -> None:
    assert same(found(tmp_path, spoken(loudness=loudness)), list(true_pauses()))


def test_a_constant_offset_and_a_little_noise_change_nothing(tmp_path: Path) -> None:
    samples = spoken()
    noise = 0.001 * np.random.default_rng(1).standard_normal(len(samples))

    assert same(found(tmp_path, (0.2 + samples + noise).astype(np.float32)), list(true_pauses()))


def test_the_silence_at_the_ends_is_told(tmp_path: Path) -> None:
    silence = np.zeros(RATE // 2, np.float32)
    word = spoken("word")

    [(start, end), (begins, ends)] = found(tmp_path, np.concatenate([silence, word, silence]))

    assert (start, ends) == (0.0, pytest.approx(1 + len(word) / RATE, abs=NEAR))
    assert (end, begins) == (pytest.approx(0.5, abs=NEAR), pytest.approx(0.5 + len(word) / RATE, abs=NEAR))


def test_a_click_does_not_divide_a_pause_and_a_word_does(tmp_path: Path) -> None:
    samples = np.concatenate([spoken("before"), np.zeros(RATE, np.float32), spoken("after")])
    middle = len(spoken("before")) + RATE // 2
    clicked, worded = samples.copy(), samples.copy()
    clicked[middle : middle + RATE // 100] = 0.5
    worded[middle : middle + RATE // 10] = spoken("a word")[: RATE // 10]

    assert len(found(tmp_path, clicked)) == 1
    assert len(found(tmp_path, worded)) == 2


@pytest.mark.parametrize("level", [0.0, 1e-4])
def test_a_sound_in_which_nothing_is_heard_is_one_pause(tmp_path: Path, level: float) -> None:
    samples = (level * np.random.default_rng(1).uniform(-1, 1, 2 * RATE)).astype(np.float32)

    assert found(tmp_path, samples) == ((0.0, 2.0),)


def test_a_sound_that_never_pauses_has_none(tmp_path: Path) -> None:
    assert found(tmp_path, spoken("a" * 200)) == ()


async def test_of_a_great_many_the_longest_are_told(tmp_path: Path, media: Media) -> None:
    long, short = (np.concatenate([spoken("a")[:4800], np.zeros(length, np.float32)]) for length in (9600, 7200))
    path = tmp_path / "many.wav"
    write_sound(str(path), "wav", RATE, chain(repeat(long, MAX_PAUSES - 100), repeat(short, 300)))

    pauses = await media.pauses(path, owner="p")

    assert len(pauses) == MAX_PAUSES
    assert sum(end - start > 0.18 for start, end in pauses) == MAX_PAUSES - 100
    assert list(pauses) == sorted(pauses)


async def test_what_is_no_sound_is_refused(tmp_path: Path, media: Media, samples: Path) -> None:
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"ID3" + bytes(5000))

    for path in (broken, samples / "rotate-90.mp4", samples / "rocket.jpg"):
        with pytest.raises(MediaRefused):
            await media.pauses(path, owner="p")


def test_what_follows_damage_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "speech.mp3"
    write_sound(str(path), "mp3", RATE, [spoken(20 * TEXT)])
    whole = find(path, MediaLimits())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    half = find(path, MediaLimits())

    assert 20 < len(half) < len(whole)
    assert half[:20] == whole[:20]


@pytest.mark.parametrize(
    "pauses",
    [
        "[1.0, 2.0]",
        "[[1.0]]",
        "[[2.0, 1.0]]",
        "[[1.0, 1.0]]",
        "[[-1.0, 1.0]]",
        "[[1.0, 3.0], [2.0, 4.0]]",
        "[[1.0, NaN]]",
        "[[1.0, Infinity]]",
        '[["1", "2"]]',
        "[[1, 2]]",
        "7",
        "null",
        '{"a": 1}',
        str([[index + 0.5, index + 0.75] for index in range(MAX_PAUSES + 1)]),
    ],
)
def test_an_answer_with_anything_but_pauses_in_their_order_is_none(pauses: str) -> None:
    line = Answer().line().replace(b'"pauses": []', b'"pauses": ' + pauses.encode())
    good = Answer(pauses=((0.0, 0.5), (0.5, 2.0)))

    assert Answer.read(good.line()) == good
    with pytest.raises((ValueError, TypeError)):
        Answer.read(line)
