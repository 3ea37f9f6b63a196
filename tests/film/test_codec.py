"""Plans survive being written, and what is not understood is refused."""

import json
import random
from dataclasses import fields, replace

import pytest

from evergreen_server.film.codec import VERSION, UnreadablePlan, from_document, to_document
from evergreen_server.film.model import (
    Actor,
    Camera,
    FilmSettings,
    FirstFrame,
    OnShotFailure,
    Plan,
    PlannedLine,
    PlannedScene,
    PlannedShot,
    Speech,
    Transition,
)
from evergreen_server.film.screenplay.script import ScriptFormat, Timing, TransitionKind
from evergreen_server.ports.timeline import Captions, Fit, Profile
from tests.film.planning import LAMP, MARKET, ORCHARD, film

TEXTS = ("", "A pier.", "“Ä”\n", "🌊", "x" * 300, "null", "0")


def any_plan(source: random.Random) -> Plan:
    """A plan of random values in every member."""

    def text() -> str:
        return source.choice(TEXTS)

    def some(make: object, most: int = 3) -> tuple[object, ...]:
        return tuple(make() for _ in range(source.randint(0, most)))

    def number() -> float:
        return source.choice((0.0, 4.0, 1 / 3, 1e-9, 3600.0))

    def transition() -> Transition:
        return Transition(kind=source.choice(list(TransitionKind)), seconds=number())

    def options() -> dict[str, object]:
        return source.choice(({}, {"a": [1, 2.5, None, {"b": True}], "c": "d"}, {"audio": False}))

    def shot() -> PlannedShot:
        return PlannedShot(
            shot_id=text(), picture_prompt=text(), motion_prompt=text(), seconds=number(), cast=some(text),
            first_frame=source.choice(list(FirstFrame)), camera=source.choice(list(Camera)),
            seed=source.choice((None, 0, 2**32 - 1)), on_failure=source.choice((None, *OnShotFailure)),
            picture_options=options(), clip_options=options(),
        )  # fmt: skip

    def line() -> PlannedLine:
        return PlannedLine(line_id=text(), speaker=text(), text=text(), direction=text(), script_digest=text())

    def scene() -> PlannedScene:
        return PlannedScene(
            scene_id=text(), number=text(), title=text(), script_line=source.randint(0, 9), script_digest=text(),
            shots_digest=text(), seconds=source.choice((None, number())), lines=some(line), captions=some(text),
            shots=some(shot), transition=source.choice((None, transition())),
        )  # fmt: skip

    def actor() -> Actor:
        return Actor(name=text(), description=text(), images=some(text), voice=text(), voice_asset=text())

    def profile() -> Profile:
        return Profile(
            name=text(), width=64, height=64, fps=source.choice((24, 60)), fit=source.choice(list(Fit)),
            loudness_lufs=number(), captions=source.choice(list(Captions)), crf=source.randint(0, 51),
        )  # fmt: skip

    settings = FilmSettings(
        scene_prefix=text(), aspect=text(), picture_model=text(), clip_model=text(), speech_model=text(), style=text(),
        narrator_voice=text(), language=text(), timing=source.choice(list(Timing)), speech=source.choice(list(Speech)),
        music=text(), candidates=source.randint(1, 4), transition=transition(), profiles=some(profile),
    )  # fmt: skip
    return Plan(
        film_id=text(), title=text(), settings=settings, cast=some(actor), scenes=some(scene),
        script_format=source.choice(list(ScriptFormat)), script_asset=text(), numbers_used=source.randint(0, 9),
        numbers_used_in={text(): 1}, redone={text(): 2}, chosen={text(): (text(), text())}, deleted=some(text),
        header={text(): text()},
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(100))
def test_every_plan_is_read_as_it_was_written(seed: int) -> None:
    plan = any_plan(random.Random(seed))

    again = from_document(json.loads(json.dumps(to_document(plan))))

    assert again == plan
    assert to_document(again) == to_document(plan)


@pytest.mark.parametrize("text", [LAMP, ORCHARD, MARKET])
def test_plans_of_scripts_are_read_as_they_were_written(text: str) -> None:
    plan = film(text).plan

    assert from_document(json.loads(json.dumps(to_document(plan)))) == plan


def test_the_test_above_fills_every_member() -> None:
    written = json.dumps([to_document(any_plan(random.Random(seed))) for seed in range(40)])

    for kind in (Plan, FilmSettings, Actor, PlannedScene, PlannedShot, PlannedLine, Profile, Transition):
        assert [one.name for one in fields(kind) if f'"{one.name}"' not in written] == []


def test_what_has_its_default_is_not_written() -> None:
    plan = replace(film(LAMP).plan, settings=FilmSettings(), scenes=())

    assert to_document(plan)["settings"] == {}
    assert "redone" not in to_document(plan)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": VERSION + 1}, "version 2 cannot be read"),
        ({"version": None}, "version None"),
        ({"surplus": 1}, "plan has members that this release does not know: surplus"),
        ({"settings": {"surplus": 1}}, r"plan\.settings has members"),
        ({"settings": []}, r"plan\.settings is no"),
        ({"settings": {"timing": "LATER"}}, r"plan\.settings\.timing is no Timing"),
        ({"settings": {"candidates": "2"}}, r"plan\.settings\.candidates is no int"),
        ({"settings": {"candidates": True}}, r"plan\.settings\.candidates is no int"),
        ({"scenes": [{"title": "x"}]}, r"plan\.scenes\[0\] lacks a member"),
        ({"scenes": [None]}, r"plan\.scenes\[0\] is no PlannedScene"),
        ({"chosen": {"a": ["x"]}}, r"plan\.chosen\.a has 1 items, not 2"),
        ({"redone": {"a": 1.5}}, r"plan\.redone\.a is no int"),
        ({"title": 5}, r"plan\.title is no str"),
    ],
)
def test_what_is_not_understood_is_refused(change: dict[str, object], reason: str) -> None:
    document = {**to_document(film(LAMP).plan), **change}

    with pytest.raises(UnreadablePlan, match=reason):
        from_document(document)


def test_a_document_that_lacks_what_a_plan_is_made_of_is_refused() -> None:
    for name in ("film_id", "settings", "scenes", "script_format"):
        document = to_document(film(LAMP).plan)
        del document[name]
        with pytest.raises(UnreadablePlan, match="lacks a member"):
            from_document(document)
