"""A plan from a script, and from the next version of it: what keeps its id, and what of the caller's edits stays."""

import random
from dataclasses import replace

import pytest

from evergreen_server.film.model import Actor, Camera, FilmSettings, OnShotFailure, Plan, Speech, Transition
from evergreen_server.film.planning.choices import cast_of, models_of, settings_of
from evergreen_server.film.planning.plan import Changes, plan_film
from evergreen_server.film.screenplay.reading import read_script
from evergreen_server.film.screenplay.script import InvalidScript, Timing, TransitionKind
from evergreen_server.ports.specs import InvalidRequest
from tests.film.planning import FILM, LAMP, MARKET, ORCHARD, TABLE, Film, film, scene, scenes_of, shot

TWO = """## One

*A pier. A boat.*

**Ada**: It is cold.

**Ben**: It is late.

## Two

*A lamp.*

**Ada**: Look.
"""


def edited(one: Film, scene_id: str, **given: object) -> Plan:
    """The plan with something else in a scene, as an edit leaves it."""
    scenes = tuple(replace(scene, **given) if scene.scene_id == scene_id else scene for scene in one.plan.scenes)
    return replace(one.plan, scenes=scenes)


def ids(plan: Plan) -> list[str]:
    return [scene.scene_id for scene in plan.scenes]


def lines(plan: Plan, scene_id: str) -> list[tuple[str, str]]:
    return [(line.line_id, line.text) for scene, line in plan.lines() if scene.scene_id == scene_id]


def test_scenes_shots_and_lines_get_ids_and_shots_seeds() -> None:
    plan = film(ORCHARD).plan

    assert ids(plan) == [f"scene-{number}" for number in range(1, 6)]
    assert [each.shot_id for _, each in plan.shots()] == [
        "scene-1.1", "scene-2.1", "scene-3.1", "scene-4.1", "scene-4.2", "scene-5.1",
    ]  # fmt: skip
    assert lines(plan, "scene-4")[1][0] == "scene-4.line-2"
    assert (plan.numbers_used, plan.numbers_used_in["scene-4"]) == (5, 2)
    seeds = [each.seed for _, each in plan.shots()]
    assert len(set(seeds)) == 6
    assert seeds == [each.seed for _, each in film(ORCHARD).plan.shots()]
    assert (plan.title, plan.film_id, plan.settings.timing) == ("THE ORCHARD", FILM, Timing.SCRIPT)


def test_a_place_is_told_in_words_and_how_a_scene_ends() -> None:
    plan = film(LAMP).plan

    assert plan.scenes[1].title == "INT. LIGHTHOUSE STAIRS - NIGHT"
    first = plan.scenes[1].shots[0]
    assert first.picture_prompt.startswith("Interior, lighthouse stairs, night. ADA climbs")
    assert first.motion_prompt.startswith("ADA climbs")
    assert first.cast == ("ADA", "BEN")
    assert [scene.transition and scene.transition.kind for scene in plan.scenes] == [
        None, None, TransitionKind.DISSOLVE, None, TransitionKind.BLACK,
    ]  # fmt: skip
    assert plan.scenes[2].transition == Transition(kind=TransitionKind.DISSOLVE, seconds=0.5)


@pytest.mark.parametrize("text", [LAMP, ORCHARD, MARKET, TWO])
def test_the_same_script_is_the_same_plan(text: str) -> None:
    first = film(text)
    second = film(text, first.plan)

    assert second.plan == first.plan
    assert second.planned.changes == Changes(kept=tuple(ids(first.plan)))


def test_one_changed_line_keeps_its_id_and_all_else() -> None:
    first = film(TWO)
    second = film(TWO.replace("late", "very late"), first.plan)

    assert second.planned.changes == Changes(changed=("scene-1",), kept=("scene-2",))
    assert lines(second.plan, "scene-1") == [
        ("scene-1.line-1", "It is cold."), ("scene-1.line-2", "It is very late."),
    ]  # fmt: skip
    assert second.plan.scenes[0].shots == first.plan.scenes[0].shots


def test_lines_that_go_and_come_leave_the_ids_of_others() -> None:
    first = film(TWO)
    second = film(TWO.replace("**Ada**: It is cold.\n\n", ""), first.plan)
    third = film(
        TWO.replace("**Ada**: It is cold.\n\n", "").replace("late.\n", "late.\n\n**Ada**: Go on.\n"), second.plan
    )

    assert lines(second.plan, "scene-1") == [("scene-1.line-2", "It is late.")]
    # The first number is not used again.
    assert lines(third.plan, "scene-1") == [("scene-1.line-2", "It is late."), ("scene-1.line-3", "Go on.")]


def test_a_line_said_otherwise_is_the_same_line() -> None:
    first = film(LAMP)
    second = film(LAMP.replace("(out of breath)", "(laughing)"), first.plan)

    assert [line.line_id for _, line in second.plan.lines()] == [line.line_id for _, line in first.plan.lines()]
    assert second.plan.scenes[1].lines[0].direction == "laughing"


def test_numbers_of_scenes_are_never_used_again() -> None:
    first = film(scenes_of(3))
    second = film(scenes_of(2), first.plan)
    third = film(scenes_of(2) + "\n## Scene 9: Elsewhere\n\n*Nobody on a hill.*\n", second.plan)

    assert second.planned.changes.removed == ("scene-3",)
    assert third.planned.changes.added == ("scene-4",)
    assert set(third.plan.numbers_used_in) == {"scene-1", "scene-2", "scene-4"}


def test_edits_stay_while_the_script_says_the_same() -> None:
    first = film(TWO)
    shots = (replace(first.plan.scenes[0].shots[0], picture_prompt="A jetty.", camera=Camera.STATIC, seconds=7.0),)
    spoken = (replace(first.plan.scenes[0].lines[0], text="It is freezing."), first.plan.scenes[0].lines[1])
    before = edited(first, "scene-1", shots=shots, lines=spoken, title="Mine", captions=("Hello",))

    again = film(TWO, before)
    moved = film("## Zero\n\n*A hill.*\n\n" + TWO, before)

    assert again.plan == before
    assert [scene for scene in moved.plan.scenes if scene.scene_id == "scene-1"] == [
        replace(before.scenes[0], script_line=moved.plan.scenes[1].script_line)
    ]
    assert moved.planned.changes == Changes(added=("scene-3",), kept=("scene-1", "scene-2"))


def test_a_new_script_goes_before_edits_only_in_what_it_says_anew() -> None:
    first = film(TWO)
    own = replace(first.plan.scenes[0].shots[0], picture_prompt="A jetty.", on_failure=OnShotFailure.SKIP)
    spoken = (replace(first.plan.scenes[0].lines[0], text="It is freezing."), first.plan.scenes[0].lines[1])
    before = edited(first, "scene-1", shots=(own,), lines=spoken)

    line = film(TWO.replace("late", "very late"), before).plan
    picture = film(TWO.replace("A pier", "A crane"), before).plan

    # Another line: the caller's picture and first line stay.
    assert lines(line, "scene-1") == [("scene-1.line-1", "It is freezing."), ("scene-1.line-2", "It is very late.")]
    assert line.scenes[0].shots == (own,)
    # Another picture: the caller's lines stay, and what is no text of the shot.
    assert lines(picture, "scene-1")[0] == ("scene-1.line-1", "It is freezing.")
    assert picture.scenes[0].shots[0].picture_prompt == "A crane. A boat."
    assert picture.scenes[0].shots[0].on_failure is OnShotFailure.SKIP
    assert picture.scenes[0].shots[0].shot_id == "scene-1.1"


def test_what_the_caller_added_stays_and_what_was_deleted_stays_out() -> None:
    first = film(scenes_of(4))
    own = replace(scene("scene-5", title="Mine"), shots=(shot("scene-5.1", seed=1),))
    gone = first.plan.scenes[2]
    before = replace(
        first.plan,
        scenes=(first.plan.scenes[0], own, first.plan.scenes[1], first.plan.scenes[3]),
        deleted=(gone.script_digest,),
        numbers_used=5,
    )

    same = film(scenes_of(4), before)
    said = film(scenes_of(4, changed={3: "Something else is said of boat 3."}), before)

    assert ids(same.plan) == ["scene-1", "scene-5", "scene-2", "scene-4"]
    assert ids(said.plan) == ["scene-1", "scene-5", "scene-2", "scene-6", "scene-4"]
    assert said.plan.deleted == ()


def test_an_order_of_the_callers_stays_until_the_script_has_another() -> None:
    first = film(scenes_of(4))
    one, two, three, four = first.plan.scenes
    before = replace(first.plan, scenes=(four, one, two, three))
    parts = scenes_of(4).split("\n## ")
    swapped = f"## {parts[1]}\n{parts[0]}\n## {parts[2]}\n## {parts[3]}"

    kept = film(scenes_of(4) + "\n## Scene 5: Elsewhere\n\n*Nobody on a hill.*\n", before)
    other = film(swapped, before)

    assert ids(kept.plan) == ["scene-4", "scene-5", "scene-1", "scene-2", "scene-3"]
    assert ids(other.plan) == ["scene-2", "scene-1", "scene-3", "scene-4"]


def test_shots_are_divided_again_where_clips_are_shorter() -> None:
    first = film(ORCHARD)
    second = film(ORCHARD, first.plan, clip_model="veo3.1")

    assert [each.shot_id for scene, each in second.plan.shots() if scene.scene_id == "scene-1"] == [
        "scene-1.1", "scene-1.2",
    ]  # fmt: skip
    assert all(each.seconds <= 8 for _, each in second.plan.shots())
    assert sum(each.seconds for _, each in second.plan.shots()) == 50


def test_another_timing_gives_scenes_another_length() -> None:
    first = film(ORCHARD)
    second = film(ORCHARD, first.plan, timing=Timing.SPEECH)
    back = film(ORCHARD, second.plan, timing=Timing.SCRIPT)

    assert sum(each.seconds for _, each in second.plan.shots()) < 40
    assert [each.seconds for _, each in back.plan.shots()] == [each.seconds for _, each in first.plan.shots()]


def test_what_is_asked_anew_and_chosen_goes_with_its_shot() -> None:
    first = film(scenes_of(2))
    before = replace(
        first.plan,
        redone={"scene-1.1/picture": 2, "scene-2.1/clip": 1},
        chosen={"scene-1.1/picture": ("x", "images/a.png"), "scene-2.1/picture": ("x", "images/b.png")},
    )

    after = film(scenes_of(1), before).plan

    assert after.redone == {"scene-1.1/picture": 2}
    assert after.chosen == {"scene-1.1/picture": ("x", "images/a.png")}


def test_who_joins_the_cast_is_in_the_shots_that_name_them() -> None:
    header = "---\ncast: Ada = a cook\n---\n"
    first = film(header + "## One\n\n*Ada and Mei wait.*\n")
    own = edited(first, "scene-1", shots=(replace(first.plan.scenes[0].shots[0], camera=Camera.STATIC),))
    second = film("---\ncast:\n  Ada = a cook\n  Mei = a fisher\n---\n## One\n\n*Ada and Mei wait.*\n", own)
    third = film("---\ncast: Mei = a fisher\n---\n## One\n\n*Ada and Mei wait.*\n", second.plan)

    assert second.plan.scenes[0].shots[0].cast == ("Ada", "Mei")
    assert second.plan.scenes[0].shots[0].camera is Camera.STATIC
    assert third.plan.scenes[0].shots[0].cast == ("Mei",)


@pytest.mark.parametrize("seed", range(12))
def test_no_id_is_ever_given_twice_over_many_versions(seed: int) -> None:
    """Over twenty random versions of a script no id means two things, and matched scenes keep theirs."""
    source = random.Random(seed)
    numbers = list(range(1, 13))
    spoken: dict[int, str] = {}
    plan: Plan | None = None
    gone: set[str] = set()
    for _ in range(20):
        act = source.choice(("cut", "add", "say", "move"))
        if act == "cut" and len(numbers) > 3:
            numbers.remove(source.choice(numbers))
        elif act == "add":
            numbers.insert(source.randrange(len(numbers) + 1), max(numbers) + 1)
        elif act == "say":
            number = source.choice(numbers)
            spoken[number] = f"Boat {number} says {source.choice(('a', 'b', 'c', 'd'))} {number}."
        else:
            number = numbers.pop(source.randrange(len(numbers)))
            numbers.insert(source.randrange(len(numbers) + 1), number)
        texts = [part for number in numbers for part in (scenes_of(number, changed=spoken).rpartition("\n## "),)]
        text = "\n".join(f"## {last.removeprefix('## ')}" for _, _, last in texts)
        now = film(text, plan).plan
        every = [*ids(now), *(each.shot_id for _, each in now.shots()), *(line.line_id for _, line in now.lines())]
        before = set() if plan is None else {
            *ids(plan), *(each.shot_id for _, each in plan.shots()), *(line.line_id for _, line in plan.lines()),
        }  # fmt: skip

        assert len(set(every)) == len(every)
        gone |= before - set(every)
        assert not gone & set(every)
        assert len(now.scenes) == len(numbers)
        plan = now


def faults(text: str, **given: object) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        film(text, **given)
    return [error.field for error in caught.value.field_errors]


def test_what_a_script_asks_too_much_of_is_told_by_its_line() -> None:
    with pytest.raises(InvalidScript, match="line 3, column 1: 1011 characters are spoken at once"):
        film(f"## One\n\n**Ada**: {'x ' * 506}", speech_model="eleven_multilingual_v2")
    film(f"## One\n\n**Ada**: {'x ' * 506}")


def test_what_a_script_says_too_much_of_is_told_by_field() -> None:
    captions = "\n\n".join(f"> {number}" for number in range(21))

    assert faults(f"## One\n\n{captions}\n\n*A pier.*") == ["scenes[0].captions"]
    assert faults(f"## One\n\n*A pier.*\n\n> {'x' * 501}") == ["scenes[0].captions[0]"]


def test_what_models_refuse_is_told_at_the_plans_fields() -> None:
    assert faults(LAMP, picture_model="gen4_image_turbo") == [f"scenes[{number}].shots[0].cast" for number in range(5)]
    assert faults("## One\n\n*A.*", picture_model="gemini_image3_pro") == ["scenes[0].shots[0].picture_prompt"]
    assert faults(f"## One\n\n**Ada**: {'🌊' * 600}.", speech_model="eleven_multilingual_v2") == [
        "scenes[0].lines[0].text"
    ]


def test_a_spoken_text_that_no_prompt_has_room_for_is_a_fault() -> None:
    text = f"[0:00 – One]\nVisual: A pier.\nNarration: {'It is late. ' * 100}\n[0:08 – END]\n"

    assert faults(text, speech=Speech.IN_CLIP, clip_model="veo3.1") == ["scenes[0].shots[0].motion_prompt"]


def test_a_film_may_not_have_the_name_of_one_of_its_scenes() -> None:
    script = read_script(TWO)
    settings = settings_of({}, script)
    with pytest.raises(InvalidRequest, match=r"settings\.scene_prefix"):
        plan_film(script, settings, (), models_of(settings, TABLE), film_id="scene-2")


def test_a_long_prompt_is_shortened_with_a_warning() -> None:
    visual = ("A boat turns in the wind. " * 60).strip()
    one = film(f"## One\n\n*{visual}*\n", style="muted colours")

    assert [warning.code for warning in one.planned.warnings] == ["PROMPT_SHORTENED", "PROMPT_SHORTENED"]
    assert one.plan.scenes[0].shots[0].picture_prompt == visual


def test_the_largest_film_and_one_that_is_larger() -> None:
    film(scenes_of(300))
    with pytest.raises(InvalidScript):
        film(scenes_of(301))


def test_a_cast_of_the_callers_goes_with_the_film() -> None:
    script = read_script(TWO)
    settings = settings_of({}, script)
    cast = cast_of([Actor(name="Ada", description="a fisher", voice="Maya")], script.header)
    models = models_of(FilmSettings(), TABLE)
    one = plan_film(script, settings, cast, models, film_id=FILM)

    assert one.plan.cast == cast
    assert [warning.message for warning in one.warnings] == [
        "Ben has no voice in the cast, and speaks with the narrator's."
    ]
    assert shot().seed is None
