"""`evergreen film edit`: what it sends for options, and for a plan that was edited by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from evergreen import WireClient
from evergreen.cli.work.film_edits import edits_of, plan_text
from evergreen.v1.film_pb2 import (
    CastMember,
    EditFilmRequest,
    EditFilmResponse,
    Film,
    FilmEdit,
    FilmScene,
    FilmSettings,
    GetFilmResponse,
    SceneMove,
    ScenePlan,
    ShotPlan,
    ShotRedo,
    SpokenLine,
)
from evergreen.v1.video_pb2 import FilmStatus
from tests.clients.command_line import CommandLine
from tests.clients.scripted import ScriptedService
from tests.serving import SAMPLES, open_sandbox, serving

WHERE = ("--project", "p", "--film", "f")


def scene(number: int, **fields: object) -> ScenePlan:
    scene_id = f"scene-{number}"
    shot = ShotPlan(shot_id=f"{scene_id}.1", picture_prompt=f"A pier, {number}.", seconds=4, seed=2**32 - number)
    line = SpokenLine(line_id=f"{scene_id}.line-1", text=f"Boat {number}.")
    return ScenePlan(**{"scene_id": scene_id, "shots": [shot], "lines": [line], **fields})


def film(count: int = 4) -> Film:
    return Film(
        status=FilmStatus(project_id="p", film_id="f", plan_revision=3),
        settings=FilmSettings(aspect="16:9", style="ink"),
        cast=[CastMember(name="Ada", assets=["images/ada.png"])],
        scenes=[FilmScene(scene=scene(number)) for number in range(1, count + 1)],
    )


@pytest.fixture
def evergreen(service: ScriptedService) -> CommandLine:
    service.answers["GetFilm"] = [GetFilmResponse(film=film())] * 9
    service.answers["EditFilm"] = [EditFilmResponse(film=film())] * 9
    return CommandLine(service.target)


def edited(change: Callable[[Any], object]) -> list[FilmEdit]:
    document = json.loads(plan_text(film()))
    change(document)
    return edits_of(film(), json.dumps(document))


def move(number: int, after: str) -> FilmEdit:
    return FilmEdit(move_scene=SceneMove(scene_id=f"scene-{number}"), after_id=after)


def test_a_plan_that_is_left_as_it_is_has_no_edits() -> None:
    assert edits_of(film(), plan_text(film())) == []


def test_each_change_by_hand_is_one_edit() -> None:
    new, other = {"title": "New", "shots": [{"seconds": 4}]}, {"title": "Other"}

    def all_of_them(plan: Any) -> None:
        plan["settings"]["style"] = "oil"
        plan["cast"].append({"name": "Bob"})
        plan["scenes"][0]["lines"][0]["text"] = "Nothing."
        del plan["scenes"][1]
        plan["scenes"].insert(1, other)
        plan["scenes"].insert(1, new)

    assert edited(all_of_them) == [
        FilmEdit(settings=FilmSettings(aspect="16:9", style="oil")),
        FilmEdit(cast=CastMember(name="Bob")),
        FilmEdit(delete_scene_id="scene-2"),
        FilmEdit(replace_scene=scene(1, lines=[SpokenLine(line_id="scene-1.line-1", text="Nothing.")])),
        FilmEdit(insert_scene=ScenePlan(title="Other"), after_id="scene-1"),
        FilmEdit(insert_scene=ScenePlan(title="New", shots=[ShotPlan(seconds=4)]), after_id="scene-1"),
    ]


@pytest.mark.parametrize(
    ("order", "moves"),
    [
        ([2, 3, 4, 1], [move(1, "scene-4")]),
        ([4, 1, 2, 3], [move(4, "")]),
        ([1, 3, 2, 4], [move(3, "scene-1")]),
        ([4, 3, 2, 1], None),
        ([3, 1, 4, 2], None),
    ],
)
def test_an_order_by_hand_is_as_few_moves_as_it_takes(order: list[int], moves: list[FilmEdit] | None) -> None:
    def reorder(plan: Any) -> None:
        plan["scenes"] = [plan["scenes"][number - 1] for number in order]

    found = edited(reorder)

    scenes = ["scene-1", "scene-2", "scene-3", "scene-4"]
    for each in found:
        scenes.remove(each.move_scene.scene_id)
        scenes.insert(scenes.index(each.after_id) + 1 if each.after_id else 0, each.move_scene.scene_id)
    assert scenes == [f"scene-{number}" for number in order]
    assert moves in (None, found)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda plan: plan.pop("cast"), "must be an object of"),
        (lambda plan: plan.update(plan_revision=2), "plan 2 of the film, which has 3"),
        (lambda plan: plan["scenes"][0].update(shot=1), "cannot be read"),
        (lambda plan: plan.update(scenes=7), "cannot be read"),
        (lambda plan: plan["cast"].clear(), "cannot be removed: Ada"),
        (lambda plan: plan["scenes"].append(plan["scenes"][0]), "there twice: 'scene-1'"),
        (lambda plan: plan["scenes"][0].update(scene_id="scene-9"), "no scene of the plan"),
    ],
    ids=range(7),
)
def test_what_cannot_be_taken_is_said(change: Callable[[Any], object], text: str) -> None:
    with pytest.raises(click.ClickException, match=text):
        edited(change)


async def test_a_shot_and_a_line_are_changed_by_options(service: ScriptedService, evergreen: CommandLine) -> None:
    shot = ("--shot", "scene-2.1", "--prompt", "A sail.", "--seconds", "6", "--redo", "clip", "--redo", "picture")
    done = [
        await evergreen("film", "edit", *WHERE, *shot, "--set", "style=oil"),
        await evergreen("film", "edit", *WHERE, "--shot", "scene-1.line-1", "--text", "No.", "--dry-run"),
        await evergreen("film", "edit", *WHERE, "--shot", "scene-1.line-1", "--redo", "speech", "--output", "json"),
    ]

    assert [ended.code for ended in done] == [0, 0, 0], done
    redo = [FilmEdit(redo=ShotRedo(shot_id="scene-2.1", output=output)) for output in ("clip", "picture")]
    sail = ShotPlan(shot_id="scene-2.1", picture_prompt="A sail.", seconds=6, seed=2**32 - 2)
    key: dict[str, Any] = {"project_id": "p", "film_id": "f", "plan_revision": 3}
    said = scene(1, lines=[SpokenLine(line_id="scene-1.line-1", text="No.")])
    assert service.requests["EditFilm"] == [
        EditFilmRequest(
            **key, edits=[FilmEdit(settings=FilmSettings(style="oil")), FilmEdit(replace_shot=sail), *redo]
        ),
        EditFilmRequest(**key, edits=[FilmEdit(replace_scene=said)], validate_only=True),
        EditFilmRequest(**key, edits=[FilmEdit(redo=ShotRedo(shot_id="scene-1.line-1", output="speech"))]),
    ]
    assert json.loads(done[2].stdout)["film"]["status"]["plan_revision"] == 3


async def test_options_that_do_not_fit_change_nothing(service: ScriptedService, evergreen: CommandLine) -> None:
    for arguments in (
        ("--redo", "clip"),
        ("--shot", "scene-9.1", "--prompt", "A sail."),
        ("--shot", "scene-1.1", "--text", "No."),
    ):
        ended = await evergreen("film", "edit", *WHERE, *arguments)

        assert ended.code == 2, arguments
    assert not service.requests["EditFilm"]


async def test_a_plan_is_edited_by_hand_and_what_was_refused_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the real service."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    async with open_sandbox() as sandbox, serving(tmp_path / "data", sandbox.url) as api:
        evergreen, script = CommandLine(api.address), SAMPLES / "scripts" / "the-lamp.fountain"
        await evergreen("film", "plan", str(script), *WHERE)
        monkeypatch.setenv("EDITOR", "sed -i s/16:9/9:16/")
        changed = await evergreen("film", "edit", *WHERE)
        monkeypatch.setenv("EDITOR", "sed -i s/9:16/nine/")
        refused = await evergreen("film", "edit", *WHERE)
        async with WireClient(api.address) as client:
            shown = await client.films.get("p", "f")
        [kept] = tmp_path.glob("plan-*.json")  # noqa: ASYNC240 - one small folder
        kept.write_text(kept.read_text().replace('"nine"', '"1:1"'))
        mended = await evergreen("film", "edit", *WHERE, "--from", str(kept))

    assert (changed.code, mended.code) == (0, 0), changed.stderr + mended.stderr
    assert (shown.settings.aspect, shown.status.plan_revision) == ("9:16", 2)
    assert refused.code != 0
    assert f"--from {kept}" in refused.stderr
