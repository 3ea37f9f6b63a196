"""A cut, from a plan and what was made for it: exact to the frame, and honest about what is not as planned."""

import random
from dataclasses import replace
from itertools import accumulate, pairwise

import pytest

from evergreen_server.film.model import Speech, Transition
from evergreen_server.film.screenplay.script import TransitionKind
from evergreen_server.film.statuses import Status
from evergreen_server.ports.timeline import Blend, Heard, Timeline
from tests.film.cut.cuts import MUSIC, TALL, WIDE, cut_of, lengths, sample, used_of, with_transition
from tests.film.planning import Film, film, scenes_of

SHORT = film(scenes_of(3))
DISSOLVE = Transition(kind=TransitionKind.DISSOLVE, seconds=1.0)
BLACK = Transition(kind=TransitionKind.BLACK, seconds=1.0)


def starts(timeline: Timeline, fps: int = 24) -> list[float]:
    return [frame / fps for frame in accumulate((span.frames for span in timeline.spans), initial=0)]


def heard(timeline: Timeline, kind: Heard) -> list[float]:
    return [sound.start for sound in timeline.sounds if sound.heard is kind]


@pytest.mark.parametrize("name", ["the-lamp.fountain", "the-orchard.av.txt", "night-market.md"])
@pytest.mark.parametrize("profile", [WIDE, TALL])
def test_samples_are_cut_to_their_planned_length_with_every_line_in_its_scene(name: str, profile: object) -> None:
    one = sample(name)
    used = used_of(one)
    scenes = lengths(one, used)

    made = cut_of(one, used, profile=profile)

    timeline, fps = made.timeline, profile.fps
    planned = sum(scene.seconds for scene in scenes.values())
    assert abs(timeline.frames - planned * fps) <= 1
    assert made.shots == tuple(shot.shot_id for _, shot in one.plan.shots())
    begins = dict(zip(made.shots, starts(timeline, fps), strict=False))
    spoken = {item: sound.start for sound, item in zip(timeline.sounds, made.items, strict=True) if "line" in item}
    assert set(spoken) == {line.line_id for _, line in one.plan.lines()}
    for scene in one.plan.scenes:
        begin = begins[scene.shots[0].shot_id]
        for place in scenes[scene.scene_id].lines:
            assert spoken[place.line_id] == pytest.approx(begin + place.start, abs=1e-5)
    assert (made.substitutions, made.warnings) == ((), ())


def test_a_film_of_many_scenes_does_not_drift() -> None:
    long = film(scenes_of(120))
    rng = random.Random(3)
    used = used_of(long, lambda key, usual: usual * rng.uniform(0.8, 1.3) if "line" in key else usual)

    made = cut_of(long, used)

    planned = sum(scene.seconds for scene in lengths(long, used).values())
    assert abs(made.timeline.frames - planned * 24) <= 1
    ends = {}
    for sound, item in zip(made.timeline.sounds, made.items, strict=True):
        if sound.heard is Heard.SPEECH:
            ends[item] = sound.start, sound.start + used[f"{item}/speech"].seconds
    assert all(first[1] + 0.2 < second[0] for first, second in pairwise(ends.values()))
    assert max(end for _, end in ends.values()) <= made.timeline.frames / 24


def test_the_same_outputs_are_cut_for_each_profile_alike() -> None:
    wide, tall = cut_of(SHORT, profile=WIDE), cut_of(SHORT, profile=TALL)

    assert [span.source for span in wide.timeline.spans] == [span.source for span in tall.timeline.spans]
    assert [sound.source for sound in wide.timeline.sounds] == [sound.source for sound in tall.timeline.sounds]
    assert wide.timeline.frames / 24 == pytest.approx(tall.timeline.frames / 25, abs=1 / 24)


@pytest.mark.parametrize("kind", [TransitionKind.DISSOLVE, TransitionKind.BLACK])
def test_no_transition_moves_anything(kind: TransitionKind) -> None:
    plain = cut_of(SHORT)
    settings = replace(SHORT.plan.settings, transition=Transition(kind=kind, seconds=2.0))

    made = cut_of(planned(SHORT, settings=settings))

    assert [span.frames for span in made.timeline.spans] == [span.frames for span in plain.timeline.spans]
    assert made.timeline.sounds == plain.timeline.sounds
    assert made.timeline.captions == plain.timeline.captions
    # The film itself ends with none of those that its settings ask for between scenes.
    assert [span.blend_frames for span in made.timeline.spans] == [48, 48, 0]
    assert {span.blend for span in made.timeline.spans[:-1]} == {Blend[kind.name]}


def planned(one: Film, **changes: object) -> Film:
    return replace(one, planned=replace(one.planned, plan=replace(one.plan, **changes)))


def test_a_scene_ends_as_it_says_itself() -> None:
    made = cut_of(with_transition(SHORT, scene_1=DISSOLVE, scene_3=BLACK)).timeline

    assert [(span.blend, span.blend_frames) for span in made.spans] == [
        (Blend.DISSOLVE, 24),
        (Blend.CUT, 0),
        (Blend.BLACK, 24),
    ]


def test_a_film_does_not_dissolve_into_nothing() -> None:
    made = cut_of(with_transition(SHORT, scene_3=DISSOLVE)).timeline

    assert made.spans[-1].blend is Blend.CUT


def test_a_transition_takes_at_most_half_of_the_shots_beside_it() -> None:
    scenes = tuple(
        replace(scene, lines=(), shots=tuple(replace(shot, seconds=0.5) for shot in scene.shots))
        for scene in SHORT.plan.scenes
    )
    one = with_transition(planned(SHORT, scenes=scenes), scene_1=replace(DISSOLVE, seconds=2.0))

    [first, second, _] = cut_of(one).timeline.spans

    assert (first.frames, first.blend_frames, second.frames) == (12, 12, 12)


def test_music_is_heard_from_the_start_and_again_until_the_end() -> None:
    made = cut_of(SHORT, music=MUSIC)

    music = made.timeline.sounds[0]
    assert (music.heard, music.start, music.seconds, music.loop) == (Heard.MUSIC, 0.0, None, True)
    assert made.items[0] == ""
    assert cut_of(SHORT).timeline.sounds == made.timeline.sounds[1:]


def test_captions_say_what_is_spoken_while_it_is_spoken() -> None:
    made = cut_of(SHORT).timeline

    lines = [line.text for _, line in SHORT.plan.lines()]
    shown = " ".join(text for caption in made.captions for text in caption.lines)
    assert shown == " ".join(lines)
    spoken = heard(made, Heard.SPEECH)
    assert all(any(abs(caption.start - start) < 0.002 for start in spoken) for caption in made.captions)
    assert all(caption.end <= made.frames / 24 for caption in made.captions)


def test_pauses_of_a_speech_move_its_captions() -> None:
    line = SHORT.plan.scenes[0].lines[0].line_id
    first = cut_of(SHORT).timeline.captions[0]

    moved = cut_of(SHORT, pauses={line: ((0.0, 0.5),)}).timeline.captions[0]

    assert moved.start == pytest.approx(first.start + 0.5, abs=0.002)


def test_texts_of_the_screen_stand_over_their_scene() -> None:
    scenes = (SHORT.plan.scenes[0], replace(SHORT.plan.scenes[1], captions=("HARBOUR",)), SHORT.plan.scenes[2])

    made = cut_of(planned(SHORT, scenes=scenes)).timeline

    [top] = [caption for caption in made.captions if caption.top]
    assert top.lines == ("HARBOUR",)
    assert top.start == pytest.approx(starts(made)[1], abs=0.001)
    assert [caption.start for caption in made.captions] == sorted(caption.start for caption in made.captions)


def test_a_still_picture_stands_in_for_a_clip_and_is_told() -> None:
    plain = cut_of(SHORT)

    made = cut_of(SHORT, scene_2_1_clip=Status.STILL)

    assert [span.frames for span in made.timeline.spans] == [span.frames for span in plain.timeline.spans]
    assert [span.still for span in made.timeline.spans] == [False, True, False]
    assert made.timeline.spans[1].source == used_of(SHORT)["scene-2.1/picture"].source
    assert "scene-2.1" not in made.items
    assert [(each.item_id, each.kind, each.by) for each in made.substitutions] == [("scene-2.1", "clip", "STILL")]
    [warning] = made.warnings
    assert (warning.code, warning.message) == (
        "OUTPUT_REPLACED",
        "scene-2.1: its picture is seen instead of a clip",
    )


def test_an_older_clip_stands_in_and_is_told() -> None:
    made = cut_of(SHORT, scene_2_1_clip=Status.OLDER)

    assert [span.source for span in made.timeline.spans] == [span.source for span in cut_of(SHORT).timeline.spans]
    assert [warning.code for warning in made.warnings] == ["OUTPUT_REPLACED"]
    assert "older" in made.warnings[0].message


def test_a_scene_whose_shots_are_all_left_out_is_left_out_with_its_speech() -> None:
    plain = cut_of(SHORT)

    made = cut_of(SHORT, scene_2_1_picture=Status.LEFT_OUT, scene_2_1_clip=Status.LEFT_OUT)

    assert made.shots == ("scene-1.1", "scene-3.1")
    assert not [item for item in made.items if item.startswith("scene-2")]
    assert "2" not in "".join(text for caption in made.timeline.captions for text in caption.lines)
    left = plain.timeline.spans[1].frames
    assert abs(made.timeline.frames - (plain.timeline.frames - left)) <= 1
    told = [(each.item_id, each.kind.value, each.by) for each in made.substitutions]
    assert told == [
        ("scene-2.line-1", "speech", Status.LEFT_OUT),
        ("scene-2.line-2", "speech", Status.LEFT_OUT),
        ("scene-2.1", "picture", Status.LEFT_OUT),
        ("scene-2.1", "clip", Status.LEFT_OUT),
    ]
    assert len(made.warnings) == 4


def test_one_shot_of_several_is_left_out_and_the_others_are_seen_until_the_speech_is_over() -> None:
    one = sample("the-orchard.av.txt")
    scene = next(scene for scene in one.plan.scenes if len(scene.shots) > 1 and scene.lines)
    name = scene.shots[0].shot_id.translate(str.maketrans(".-", "__")) + "_clip"
    used = used_of(one)

    made = cut_of(one, used, **{name: Status.LEFT_OUT})

    assert scene.shots[0].shot_id not in made.shots
    assert scene.shots[1].shot_id in made.shots
    begins = dict(zip(made.shots, starts(made.timeline), strict=False))
    end = starts(made.timeline)[made.shots.index(scene.shots[-1].shot_id) + 1]
    last = lengths(one, used)[scene.scene_id].lines[-1]
    assert end >= begins[scene.shots[1].shot_id] + last.start + last.seconds - 1e-6


def test_a_line_that_could_not_be_spoken_is_read() -> None:
    used = used_of(SHORT)
    del used["scene-1.line-1/speech"]

    made = cut_of(SHORT, used, scene_1_line_1_speech=Status.LEFT_OUT)

    assert "scene-1.line-1" not in made.items
    assert "Boat 1 left" in made.timeline.captions[0].lines[0]
    assert [warning.message for warning in made.warnings] == ["scene-1.line-1: left out, for want of its speech"]


def test_a_clip_that_is_too_short_for_its_shot_is_held_and_told() -> None:
    made = cut_of(SHORT, used_of(SHORT, lambda key, usual: 1.0 if key == "scene-2.1/clip" else usual))

    [warning] = made.warnings
    assert warning.code == "PICTURE_HELD"
    assert warning.message.startswith("scene-2.1: ")
    assert [span.frames for span in made.timeline.spans] == [span.frames for span in cut_of(SHORT).timeline.spans]


def test_a_clip_that_misses_less_than_a_second_and_a_half_is_not_told() -> None:
    seen = cut_of(SHORT).timeline.spans[1].frames / 24

    made = cut_of(SHORT, used_of(SHORT, lambda key, usual: seen - 1.4 if key == "scene-2.1/clip" else usual))

    assert made.warnings == ()


def test_what_a_clip_speaks_is_as_loud_as_speech() -> None:
    one = film(scenes_of(2), speech=Speech.IN_CLIP, clip_model="veo3.1")

    made = cut_of(one)

    assert heard(made.timeline, Heard.SPEECH) == pytest.approx(starts(made.timeline)[:-1])
    assert made.items == made.shots
    assert made.timeline.captions[0].lines


def test_outputs_about_which_nobody_has_decided_are_not_cut() -> None:
    with pytest.raises(ValueError, match=r"scene-2\.1/clip"):
        cut_of(SHORT, scene_2_1_clip=Status.TROUBLE)


def test_nothing_is_left_of_a_film_whose_every_shot_is_left_out() -> None:
    one = film(scenes_of(1))

    made = cut_of(one, music=MUSIC, scene_1_1_picture=Status.LEFT_OUT, scene_1_1_clip=Status.LEFT_OUT)

    assert made.timeline == Timeline(spans=(), language=one.plan.settings.language)
