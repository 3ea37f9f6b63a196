"""What a caller changes by hand: all of it or nothing, with every fault at its edit."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from evergreen_server.film.codec import from_document, to_document
from evergreen_server.film.model import (
    Actor,
    Camera,
    FirstFrame,
    OnShotFailure,
    OutputKind,
    Plan,
    PlannedScene,
    PlannedShot,
    Transition,
)
from evergreen_server.film.models import models_of
from evergreen_server.film.outputs import standings_of
from evergreen_server.film.planning.editing import (
    DeleteScene,
    Edit,
    EditActor,
    EditSettings,
    InsertScene,
    MoveScene,
    RedoShot,
    ReplaceScene,
    ReplaceShot,
    UseAsset,
    edit,
)
from evergreen_server.film.planning.faults import MAX_NUMBERS, MAX_PLAN_BYTES, MAX_SCENE_BYTES, faults_of
from evergreen_server.film.planning.plan import Changes, Planned
from evergreen_server.film.screenplay.script import Timing, TransitionKind
from evergreen_server.ports.specs import FieldError, InvalidRequest
from tests.film.planning import LAMP, ORCHARD, TABLE, Film, anew, files, film, line, made_by, scene, scenes_of, shot

PICTURE, CLIP, SPEECH = OutputKind.PICTURE, OutputKind.CLIP, OutputKind.SPEECH


def after(one: Film, *edits: Edit) -> Film:
    planned = edit(one.plan, edits, TABLE)
    return Film(planned=planned, models=models_of(planned.plan.settings, TABLE))


def faults(one: Film, *edits: Edit) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        edit(one.plan, edits, TABLE)
    return [error.field for error in caught.value.field_errors]


def ids(plan: Plan) -> list[str]:
    return [each.scene_id for each in plan.scenes]


def first(one: Film) -> PlannedScene:
    return one.plan.scenes[0]


def test_an_inserted_scene_gets_ids_that_were_never_used() -> None:
    one = after(film(scenes_of(3)), DeleteScene(scene_id="scene-3"))
    new = scene(title="A pier", lines=(line("Look."),), shots=(shot(), shot(picture_prompt="A boat.")))

    two = after(one, InsertScene(scene=new, after_id="scene-1"), InsertScene(scene=new))

    assert ids(two.plan) == ["scene-5", "scene-1", "scene-4", "scene-2"]
    assert [each.shot_id for each in two.plan.scenes[2].shots] == ["scene-4.1", "scene-4.2"]
    assert two.plan.scenes[2].lines[0].line_id == "scene-4.line-1"
    assert two.plan.scenes[2].shots[0].seed is not None
    assert two.planned.changes == Changes(added=("scene-5", "scene-4"), kept=("scene-1", "scene-2"))


def test_a_replaced_scene_keeps_what_has_an_id_and_numbers_what_has_none() -> None:
    one = film(scenes_of(2))
    old = first(one)
    new = replace(old, lines=(line("And so on."), replace(old.lines[1], text="All of them.")))

    two = after(one, ReplaceScene(scene=new))

    assert [(each.line_id, each.text) for each in first(two).lines] == [
        ("scene-1.line-3", "And so on."), ("scene-1.line-2", "All of them."),
    ]  # fmt: skip
    assert two.planned.changes == Changes(changed=("scene-1",), kept=("scene-2",))
    # What the script says stays known, so that the same script leaves all of it alone.
    assert film(scenes_of(2), two.plan).plan == two.plan


def test_scenes_are_moved_and_deleted_and_stay_so() -> None:
    one = film(scenes_of(4))

    two = after(
        one,
        MoveScene(scene_id="scene-4", after_id="scene-1"),
        MoveScene(scene_id="scene-1"),
        DeleteScene(scene_id="scene-2"),
    )
    three = after(one, MoveScene(scene_id="scene-1", after_id="scene-4"))

    assert ids(two.plan) == ["scene-1", "scene-4", "scene-3"]
    assert ids(three.plan) == ["scene-2", "scene-3", "scene-4", "scene-1"]
    assert ids(film(scenes_of(4), two.plan).plan) == ["scene-1", "scene-4", "scene-3"]
    assert anew(three, made_by(one)) == set()


def test_a_replaced_shot_is_made_anew_alone() -> None:
    one = film(scenes_of(4))
    two = after(one, ReplaceShot(shot=replace(one.plan.scenes[1].shots[0], picture_prompt="A crane.")))

    assert anew(two, made_by(one)) == {"scene-2.1/picture", "scene-2.1/clip"}


@pytest.mark.parametrize("model", ["eleven_v3", "eleven_multilingual_v2"])
def test_what_is_asked_anew_is_made_anew_however_often(model: str) -> None:
    one = film(scenes_of(2), speech_model=model)
    made = made_by(one)

    two = after(one, RedoShot(item_id="scene-1.1", output=CLIP), RedoShot(item_id="scene-2.line-1", output=SPEECH))
    again = after(two, RedoShot(item_id="scene-1.1", output=CLIP))

    # Speech that is made anew may need a longer clip.
    assert anew(two, made) == {"scene-1.1/clip", "scene-2.line-1/speech", "scene-2.1/clip"}
    assert anew(two, made_by(two)) == set()
    assert anew(again, made_by(two)) == {"scene-1.1/clip"}
    assert "REDO" in standings_of(two.plan, two.models, made, files(two.plan))["scene-1.1/clip"].because


def test_a_chosen_file_takes_the_place_of_an_output_until_it_is_asked_anew() -> None:
    one = film(scenes_of(1))
    two = after(one, UseAsset(item_id="scene-1.1", output=PICTURE, scene_id="other", asset="images/hero.png"))
    three = after(two, RedoShot(item_id="scene-1.1", output=PICTURE))

    assert two.plan.chosen == {"scene-1.1/picture": ("other", "images/hero.png")}
    assert (three.plan.chosen, three.plan.redone) == ({}, {"scene-1.1/picture": 1})


def test_the_cast_is_added_to_and_changed_by_name() -> None:
    one = film(LAMP)
    two = after(
        one, EditActor(actor=Actor(name="Ada", description="a man", voice="Maya")), EditActor(actor=Actor(name="Zoe"))
    )

    assert (two.plan.cast[0].name, two.plan.cast[0].description) == ("ADA", "a man")
    assert two.plan.cast[-1] == Actor(name="Zoe")
    assert film(LAMP, two.plan).plan.cast == two.plan.cast
    # What the script says anew of somebody goes before that.
    assert film(LAMP.replace("sixty", "seventy"), two.plan).plan.cast[0].description.startswith("a woman of seventy")


def test_settings_are_changed_one_by_one_and_stay_over_the_same_script() -> None:
    one = film(LAMP)
    two = after(one, EditSettings(settings={"style": "woodcut", "clip_model": "veo3.1"}))

    assert two.plan.settings == replace(one.plan.settings, style="woodcut", clip_model="veo3.1")
    assert film(LAMP, two.plan).plan.settings == two.plan.settings
    assert film(LAMP.replace("Style: muted", "Style: bright"), two.plan).plan.settings.style.startswith("bright")


def test_another_timing_gives_every_scene_its_length() -> None:
    one = film(ORCHARD)
    two = after(one, EditSettings(settings={"timing": Timing.SPEECH}))
    back = after(two, EditSettings(settings={"timing": Timing.SCRIPT}))

    assert sum(each.seconds for _, each in two.plan.shots()) < 40
    assert sum(each.seconds for _, each in back.plan.shots()) == pytest.approx(50)


def test_lengths_that_are_left_open_are_filled_in() -> None:
    one = film(ORCHARD)
    shots = (shot(seconds=0.0), shot(seconds=4.0), shot(seconds=0.0))

    two = after(
        one, ReplaceScene(scene=replace(first(one), shots=shots)), InsertScene(scene=scene(shots=(shot(seconds=0.0),)))
    )

    assert [each.seconds for each in two.plan.scenes[1].shots] == [3, 4, 3]
    assert first(two).shots[0].seconds == 4
    longer = replace(first(one).shots[0], seconds=7.0)
    assert first(after(one, ReplaceShot(shot=longer))).seconds == 7


@pytest.mark.parametrize(
    ("edits", "fields"),
    [
        ([DeleteScene(scene_id="scene-9")], ["edits[0].delete_scene_id"]),
        ([MoveScene(scene_id="scene-9", after_id="x")], ["edits[0].move_scene.scene_id", "edits[0].after_id"]),
        ([MoveScene(scene_id="scene-1", after_id="scene-1")], ["edits[0].after_id"]),
        ([InsertScene(scene=scene("scene-1"))], ["edits[0].insert_scene"]),
        ([InsertScene(scene=scene(shots=(shot("scene-1.1"),)))], ["edits[0].insert_scene"]),
        ([InsertScene(scene=scene(), after_id="scene-8")], ["edits[0].after_id"]),
        ([InsertScene(scene=scene(shots=()))], ["edits[0].insert_scene.shots"]),
        ([InsertScene(scene=scene(shots=(shot(seconds=11.0),)))], ["edits[0].insert_scene.shots[0].seconds"]),
        ([ReplaceScene(scene=scene("scene-9"))], ["edits[0].replace_scene.scene_id"]),
        (
            [ReplaceScene(scene=scene("scene-1", shots=(shot("scene-2.1"),), lines=(line("a", "x"),)))],
            ["edits[0].replace_scene.shots[0].shot_id", "edits[0].replace_scene.lines[0].line_id"],
        ),
        (
            [ReplaceScene(scene=scene("scene-1", shots=(shot("scene-1.1"), shot("scene-1.1"))))],
            ["edits[0].replace_scene.shots[0].shot_id", "edits[0].replace_scene.shots[1].shot_id"],
        ),
        ([ReplaceShot(shot=shot("scene-7.1"))], ["edits[0].replace_shot.shot_id"]),
        ([ReplaceShot(shot=shot("scene-1.1", cast=("Nobody",)))], ["edits[0].replace_shot.cast[0]"]),
        ([ReplaceShot(shot=shot("scene-1.1", clip_options={"nope": 1}))], ["edits[0].replace_shot.clip_options.nope"]),
        (
            [ReplaceShot(shot=shot("scene-1.1", picture_options={"uri": "x"}))],
            ["edits[0].replace_shot.picture_options.uri"],
        ),
        (
            [ReplaceShot(shot=shot("scene-1.1", first_frame=FirstFrame.PREVIOUS_CLIP))],
            ["edits[0].replace_shot.first_frame"],
        ),
        ([ReplaceShot(shot=shot("scene-1.1", first_frame=FirstFrame.NONE))], ["edits[0].replace_shot.first_frame"]),
        (
            [
                ReplaceShot(
                    shot=shot("scene-2.1", first_frame=FirstFrame.PREVIOUS_CLIP, on_failure=OnShotFailure.STILL)
                )
            ],
            ["edits[0].replace_shot.on_failure"],
        ),
        *(
            ([ReplaceShot(shot=shot("scene-1.1", clip_options=options))], ["edits[0].replace_shot.clip_options"])
            for options in ({"a": {"b": [math.inf]}}, {"a": ["\x00"]}, {"\ud800": 1}, {"a": "x" * 5_000})
        ),
        ([RedoShot(item_id="scene-1.9", output=CLIP)], ["edits[0].redo.shot_id"]),
        ([RedoShot(item_id="scene-1.1", output=SPEECH)], ["edits[0].redo.shot_id"]),
        (
            [UseAsset(item_id="scene-1.1", output=CLIP, scene_id="../x", asset="images/a.png")],
            ["edits[0].use_asset.scene_id", "edits[0].use_asset.asset"],
        ),
        ([UseAsset(item_id="scene-1.1", output=CLIP, scene_id="x", asset="../../etc")], ["edits[0].use_asset.asset"]),
        ([EditActor(actor=Actor(name="\x00"))], ["edits[0].cast.name"]),
        ([EditActor(actor=Actor(name="Narrator"))], ["edits[0].cast.name"]),
        (
            [EditActor(actor=Actor(name="Z", images=("a", "images/../x.png"), voice="No", voice_asset="audio/z.mp3"))],
            ["edits[0].cast.assets[0]", "edits[0].cast.assets[1]", "edits[0].cast.voice", "edits[0].cast.voice_asset"],
        ),
        ([EditSettings(settings={"picture_model": "dall-e"})], ["edits[0].settings.picture_model"]),
        (
            [EditSettings(settings={"aspect": "5:1", "candidates": 9})],
            ["edits[0].settings.aspect", "edits[0].settings.candidates"],
        ),
        # A later edit cannot heal an earlier one that has no place.
        ([DeleteScene(scene_id="scene-1"), DeleteScene(scene_id="scene-1")], ["edits[1].delete_scene_id"]),
        ([DeleteScene(scene_id=f"scene-{number}") for number in (1, 2, 3)], ["edits"]),
        ([], ["edits"]),
        ([MoveScene(scene_id="scene-1")] * 101, ["edits"]),
    ],
)  # fmt: skip
def test_every_fault_is_told_at_its_edit(edits: Sequence[Edit], fields: list[str]) -> None:
    assert faults(film(scenes_of(3)), *edits) == fields


def test_a_setting_that_shots_do_not_bear_is_told_at_the_setting() -> None:
    one = film(ORCHARD)

    with pytest.raises(InvalidRequest) as caught:
        edit(one.plan, [EditSettings(settings={"clip_model": "veo3.1"})], TABLE)

    assert caught.value.field_errors[0].field == "edits[0].settings"
    assert caught.value.field_errors[0].description.startswith("scenes[0].shots[0].seconds: More than 0 and at most 8")


def test_a_scene_that_loses_the_one_before_it_cannot_begin_with_its_clip() -> None:
    one = film(scenes_of(2))
    two = after(one, ReplaceShot(shot=shot("scene-2.1", first_frame=FirstFrame.PREVIOUS_CLIP)))

    assert faults(two, DeleteScene(scene_id="scene-1")) == ["edits"]
    assert faults(two, MoveScene(scene_id="scene-2")) == ["edits"]


def large(scene_id: str, count: int) -> PlannedScene:
    """A scene of so many shots, each of 16,500 bytes by the measure of plans."""
    return scene(scene_id, shots=(shot(picture_prompt="x" * 8_000, motion_prompt="ä" * 4_000),) * count)


def test_a_scene_is_no_larger_than_a_caller_can_read_at_once() -> None:
    one = film(scenes_of(2))
    fitting, more = MAX_SCENE_BYTES // 16_500, MAX_SCENE_BYTES // 16_500 + 1

    assert len(after(one, ReplaceScene(scene=large("scene-1", fitting))).plan.scenes[0].shots) == fitting
    assert faults(one, ReplaceScene(scene=large("scene-1", more))) == ["edits[0].replace_scene"]
    assert faults(one, InsertScene(scene=large("", more), after_id="")) == ["edits[0].insert_scene"]
    options = {"a": [1] * 1_300}
    heavy = scene("scene-1", shots=(shot(clip_options=options, picture_options=options),) * 100)
    assert "edits[0].replace_scene" in faults(one, ReplaceScene(scene=heavy))


def test_the_numbers_of_a_films_scenes_come_to_an_end() -> None:
    one = film(scenes_of(2))
    last = Film(planned=replace(one.planned, plan=replace(one.plan, numbers_used=MAX_NUMBERS - 1)), models=one.models)
    full = after(last, InsertScene(scene=scene(), after_id=""))

    assert ids(full.plan) == [f"scene-{MAX_NUMBERS}", "scene-1", "scene-2"]
    assert faults(full, InsertScene(scene=scene(), after_id="")) == ["edits"]
    assert ids(after(full, DeleteScene(scene_id="scene-1")).plan) == [f"scene-{MAX_NUMBERS}", "scene-2"]


def test_the_texts_of_a_whole_film_are_bounded() -> None:
    one, third = film(scenes_of(4)), MAX_PLAN_BYTES // 16_500 // 3
    two = after(one, *(ReplaceScene(scene=large(f"scene-{number}", third)) for number in (1, 2)))

    assert faults(two, ReplaceScene(scene=large("scene-3", third + 3))) == ["edits"]
    assert after(two, ReplaceScene(scene=large("scene-3", third - 3))).plan.scenes[2].shots


def test_nothing_is_changed_where_anything_is_wrong() -> None:
    one = film(scenes_of(3))
    before = to_document(one.plan)

    assert faults(one, DeleteScene(scene_id="scene-1"), DeleteScene(scene_id="scene-9")) == ["edits[1].delete_scene_id"]
    assert to_document(one.plan) == before


WILD_TEXTS = (
    "",
    "A pier.",
    "x" * 9_000,
    "\x00",
    "\u202ea",
    "\ud800",
    "🌊" * 700,
    "a\nb",
    " ",
    "@ada {x} %s </s>",
    "İ" * 300,
)
WILD_NUMBERS = (0.0, -1.0, 4.0, 1e300, -1e300, math.nan, math.inf, -math.inf, 1e-300, 10.0, 3_600.0)
WILD_IDS = ("", "scene-1", "scene-2", "scene-1.1", "scene-1.line-1", "../x", "x" * 5_000, "\x00", "my-film", "SCENE-1")
WILD_JSON = (
    {}, {"audio": True}, {"seed": 5}, {"x": {"y": [1, None, "z" * 5_000]}}, {"contentModeration": {"a": math.nan}},
    {"": ""}, {"\ud800": 1}, {"promptText": "x"}, {str(number): number for number in range(500)},
)  # fmt: skip


def wild(source: random.Random, one: Film) -> Edit:
    """Any edit, of values that nobody has checked; most of them are harmless, so that some edits are made."""

    def pick(usual: object, others: Sequence[object]) -> object:
        return source.choice(others) if source.random() < 0.1 else usual

    def any_text() -> object:
        return pick("A pier.", WILD_TEXTS)

    def any_id(usual: str) -> object:
        return pick(usual, WILD_IDS)

    def wild_shot(shot_id: str = "") -> PlannedShot:
        return shot(
            any_id(shot_id),
            picture_prompt=any_text(),
            motion_prompt=any_text(),
            seconds=pick(4.0, WILD_NUMBERS),
            cast=tuple(source.choice(WILD_TEXTS) for _ in range(pick(0, (1, 60)))),
            first_frame=pick(FirstFrame.PICTURE, list(FirstFrame)),
            camera=source.choice(list(Camera)),
            seed=pick(None, (0, -1, 2**32, 2**70, 7)),
            on_failure=pick(None, list(OnShotFailure)),
            picture_options=pick({}, WILD_JSON),
            clip_options=pick({}, WILD_JSON),
        )

    def wild_scene(scene_id: str = "") -> PlannedScene:
        return scene(
            any_id(scene_id),
            number=pick("1", WILD_TEXTS),
            title=any_text(),
            seconds=pick(None, WILD_NUMBERS),
            captions=tuple(any_text() for _ in range(pick(1, (0, 30)))),
            lines=tuple(line(any_text(), any_id(""), any_text()) for _ in range(pick(1, (0, 3, 2_100)))),
            shots=tuple(wild_shot() for _ in range(pick(1, (0, 2, 700)))),
            transition=Transition(kind=source.choice(list(TransitionKind)), seconds=pick(0.5, WILD_NUMBERS)),
        )

    text, seconds = any_text(), pick(4.0, WILD_NUMBERS)
    scene_id, shot_id = first(one).scene_id, first(one).shots[0].shot_id
    return source.choice(
        (
            lambda: InsertScene(scene=wild_scene(), after_id=any_id(scene_id)),
            lambda: ReplaceScene(scene=wild_scene(scene_id)),
            lambda: ReplaceScene(scene=replace(first(one), title=text, seconds=seconds)),
            lambda: DeleteScene(scene_id=any_id(scene_id)),
            lambda: MoveScene(scene_id=any_id(scene_id), after_id=any_id(one.plan.scenes[-1].scene_id)),
            lambda: ReplaceShot(shot=wild_shot(shot_id)),
            lambda: ReplaceShot(shot=replace(first(one).shots[0], seconds=seconds)),
            lambda: RedoShot(item_id=any_id(shot_id), output=source.choice(list(OutputKind))),
            lambda: UseAsset(
                item_id=any_id(shot_id), output=PICTURE, scene_id=any_id("x"), asset=pick("images/a.png", WILD_TEXTS)
            ),
            lambda: EditActor(
                actor=Actor(
                    name=pick("Zoe", WILD_TEXTS),
                    description=text,
                    images=("images/a.png",) * pick(1, (0, 9)),
                    voice=pick("Maya", WILD_TEXTS),
                )
            ),
            lambda: EditSettings(
                settings={
                    pick("style", ("aspect", "language", "music", "scene_prefix", "narrator_voice")): text,
                    source.choice(("picture_model", "clip_model", "speech_model")): pick(
                        "", (text, "veo3.1", "muse_image", "seed_audio", "gen4.5", "act_two")
                    ),
                    "candidates": pick(0, (1, 4, 5, -1, 2**40)),
                    "transition": Transition(kind=TransitionKind.DISSOLVE, seconds=seconds),
                    "profiles": [
                        {
                            "name": pick("wide", WILD_TEXTS), "width": pick(0, (2**40, -2, 64, 65)),
                            "fps": pick(0, (60, -5)), "loudness_lufs": pick(-16.0, WILD_NUMBERS), "crf": pick(0, (99,)),
                        }
                    ] * pick(1, (0, 9)),
                }
            ),
        )
    )()  # fmt: skip


def tried(one: Film, edits: Sequence[Edit]) -> tuple[Planned | None, Sequence[FieldError]]:
    """What edits make of a film, or what is wrong with them."""
    try:
        return edit(one.plan, edits, TABLE), ()
    except InvalidRequest as exc:
        return None, exc.field_errors


@pytest.mark.parametrize("seed", range(60))
def test_wild_edits_are_refused_with_fields_or_leave_a_sound_plan(seed: int) -> None:
    source = random.Random(seed)
    one = film(scenes_of(3))
    for _ in range(8):
        edits = [wild(source, one) for _ in range(source.choice((1, 1, 2, 5)))]
        planned, refused = tried(one, edits)
        assert all(error.field.startswith("edits") for error in refused)
        assert sum(len(error.description) for error in refused) < 100_000
        if planned is not None:
            models = models_of(planned.plan.settings, TABLE)
            assert faults_of(planned.plan, models) == []
            assert from_document(to_document(planned.plan)) == planned.plan
            one = Film(planned=planned, models=models)
            made_by(one)


def test_some_wild_edits_are_made() -> None:
    """So that the test above looks at plans as well."""
    made = 0
    for seed in range(60):
        source = random.Random(seed)
        one = film(scenes_of(2))
        planned, refused = tried(one, [wild(source, one)])
        assert (planned is None) == bool(refused)
        made += planned is not None
    assert 20 < made < 60
