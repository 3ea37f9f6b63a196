"""How many frames each shot is seen for: nothing that is rounded adds up, and speech is never cut off."""

import math
import random

import pytest

from evergreen_server.film.cut.pacing import Pace


@pytest.mark.parametrize("fps", [1, 24, 25, 30, 60])
def test_a_film_of_600_shots_drifts_by_no_frame(fps: int) -> None:
    rng, pace = random.Random(fps), Pace(fps)
    wanted = 0.0

    for _ in range(600):
        seconds = rng.uniform(1.2, 10)
        [frames] = pace.scene([(seconds, 10.0)], speech=0.0)
        wanted += seconds
        assert frames >= 1
        assert abs(pace.frames / fps - wanted) <= 0.5 / fps + 1e-6

    assert pace.frames == round(wanted * fps)


def test_shots_of_a_third_of_a_frame_are_seen_for_one_each_and_what_follows_catches_up() -> None:
    pace = Pace(24)

    short = pace.scene([(1 / 72, None)] * 3, speech=0.0)
    [after] = pace.scene([(10.0, None)], speech=0.0)

    assert short == [1, 1, 1]
    assert sum(short) + after == round(24 * (10 + 3 / 72))


def test_more_is_seen_of_the_last_clips_until_the_speech_is_over() -> None:
    assert Pace(10).scene([(4.0, 6.0), (4.0, 5.0)], speech=10.5) == [55, 50]


def test_the_last_picture_is_held_where_no_clip_is_long_enough() -> None:
    assert Pace(10).scene([(4.0, 4.0), (4.0, None)], speech=9.11) == [40, 51]


def test_any_scenes_last_until_their_speech_is_over_and_no_longer_than_they_must() -> None:
    rng = random.Random(7)

    for _ in range(300):
        fps = rng.choice([1, 12, 24, 25, 30, 60])
        pace, end = Pace(fps), 0.0
        for _ in range(20):
            shots = [(rng.uniform(0.5, 6), rng.choice([None, rng.uniform(1, 10)])) for _ in range(rng.randrange(1, 5))]
            speech = rng.choice([0.0, rng.uniform(0, 30)])
            begin = pace.frames
            counts = pace.scene(shots, speech=speech)
            planned = sum(seconds for seconds, _ in shots)

            assert min(counts) >= 1
            assert pace.frames == begin + sum(counts)
            assert sum(counts) >= math.ceil((speech - 0.1) * fps - 1e-3)
            # From where the film should be by now, by at most one frame for each shot, and one for the speech.
            end = max(end + planned, begin / fps + speech)
            assert abs(pace.frames - end * fps) <= len(shots) + 1


def test_scenes_that_last_as_long_as_their_speech_do_not_drift() -> None:
    pace = Pace(24)

    for _ in range(120):
        pace.scene([(5.01, 6.0)], speech=5.01)

    assert pace.frames == round(120 * 5.01 * 24)


def test_a_film_may_be_asked_to_last_until_a_moment() -> None:
    pace = Pace(24)
    pace.scene([(1.0, None)], speech=0.0)

    assert (pace.until(0.9), pace.until(1.02), pace.frames) == (0, 1, 25)
