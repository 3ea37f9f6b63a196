"""How long things last: by the script, by an estimate, and by speech as it was measured."""

from dataclasses import replace

import pytest

from evergreen_server.film.composing.lengths import SceneLengths, lengths_of
from evergreen_server.film.model import PlannedScene, Speech
from evergreen_server.film.screenplay.speech import speech_seconds
from tests.film.planning import LAMP, ORCHARD, Film, film, line, scene, shot


def lengths(one: Film, each: PlannedScene, **measured: float) -> SceneLengths:
    by_line = {name.replace("_", "-"): seconds for name, seconds in measured.items()}
    return lengths_of(each, one.plan.settings, one.models, by_line)


TEN_SECONDS = "x" * 140


def test_lines_begin_a_little_into_their_scene_and_apart() -> None:
    one = film(LAMP)
    each = scene(lines=(line("a", "a"), line("b", "b")), shots=(shot(seconds=9.0),))

    places = lengths(one, each, a=2.0, b=3.0).lines

    assert [(place.start, place.seconds) for place in places] == [(0.3, 2.0), (pytest.approx(2.65), 3.0)]


def test_measured_speech_lengthens_every_shot_of_a_scene_that_follows_it() -> None:
    one = film(LAMP)
    each = scene(lines=(line(TEN_SECONDS, "a"),), shots=(shot(seconds=4.0), shot(seconds=6.0)))

    found = lengths(one, each, a=12.2)

    assert found.seconds == pytest.approx(12.5)
    assert [length.seconds for length in found.shots] == [pytest.approx(5.0), pytest.approx(7.5)]
    assert [length.clip_seconds for length in found.shots] == [5, 8]


def test_shorter_speech_shortens_nothing() -> None:
    one = film(LAMP)
    each = scene(lines=(line(TEN_SECONDS, "a"),), shots=(shot(seconds=10.0),))

    assert lengths(one, each, a=3.0).seconds == 10


@pytest.mark.parametrize("factor", [0.1, 0.9, 1.0, 1.1, 1.25, 1.5, 9.0])
def test_no_clip_is_longer_than_was_quoted_and_the_picture_is_held(factor: float) -> None:
    one = film(LAMP)
    for each in one.plan.scenes:
        measured = {spoken.line_id: factor * speech_seconds(spoken.text) for spoken in each.lines}
        found = lengths_of(each, one.plan.settings, one.models, measured)
        last = found.lines[-1]

        assert found.seconds >= last.start + last.seconds - 1e-9
        assert all(length.clip_shortest <= length.clip_seconds <= length.clip_longest for length in found.shots)
        assert found.seconds == pytest.approx(sum(length.seconds for length in found.shots))


def test_a_scene_of_the_scripts_length_keeps_its_clips_and_holds_the_last_one() -> None:
    one = film(ORCHARD)
    each = one.plan.scenes[3]
    measured = {spoken.line_id: 10.0 for spoken in each.lines}

    found = lengths_of(each, one.plan.settings, one.models, measured)

    assert [length.clip_seconds for length in found.shots] == [6, 6]
    assert [length.clip_longest for length in found.shots] == [6, 6]
    assert [length.seconds for length in found.shots] == [6, pytest.approx(14.65)]


@pytest.mark.parametrize("speech", [Speech.IN_CLIP, Speech.NONE])
def test_where_no_speech_is_made_nothing_is_left_open(speech: Speech) -> None:
    one = film(LAMP, speech=speech, clip_model="veo3.1")
    for each in one.plan.scenes:
        for length in lengths(one, each).shots:
            assert length.clip_longest == length.clip_shortest == length.clip_seconds


def test_a_clip_is_the_shortest_that_is_long_enough() -> None:
    one = film(LAMP, clip_model="kling2.5_turbo_pro")
    silent = scene(shots=tuple(shot(seconds=seconds) for seconds in (1.0, 5.0, 5.0000001, 5.1, 10.0)))

    assert [length.clip_seconds for length in lengths(one, silent).shots] == [5, 5, 5, 10, 10]


def test_a_scene_without_lines_is_as_long_as_its_shots() -> None:
    one = film(LAMP)

    found = lengths(one, scene(shots=(shot(seconds=2.5), replace(shot(), seconds=1.5))))

    assert (found.seconds, found.lines) == (4.0, ())
