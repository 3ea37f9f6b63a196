"""`evergreen film`: plans films, shows, lists and deletes them; see `film_runs` for those commands that spend."""

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import click

from evergreen.cli.commands.assets import place, project_option
from evergreen.cli.film_settings import member, setting
from evergreen.cli.output import moment, number, write_facts, write_json, write_table
from evergreen.cli.session import global_options, say, session
from evergreen.errors import FilmNotFound
from evergreen.v1.film_pb2 import CastMember, Film, FilmChanges, FilmScene, FilmSettings, PlanFilmResponse
from evergreen.v1.video_pb2 import FilmGate, FilmStage, FilmState, FilmStatus
from evergreen.wire import WireClient

film_option = click.option("--film", "film_id", required=True, metavar="ID", help="The film.")


@click.group()
@global_options()
def film() -> None:
    """Plan and make films: scripts become scenes and shots with a quote, and those a cut."""


@film.command()
@click.argument("script", type=click.File(encoding="utf-8"))
@project_option
@film_option
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting, such as aspect=9:16. Repeatable."
)
@click.option(
    "--cast",
    multiple=True,
    metavar="NAME=PICTURE",
    help="A picture of one of the cast: a file, which is uploaded, or images/FILE in the film's scene. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Check and quote, but keep no plan. Pictures are uploaded.")
@global_options()
@click.pass_context
def plan(
    context: click.Context,
    script: TextIO,
    project: str,
    film_id: str,
    settings: tuple[str, ...],
    cast: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Plan a SCRIPT (- for stdin), and print its scenes and what it costs. Replaces the film's present plan."""
    ours = session(context)
    given = FilmSettings()
    for each in settings:
        setting(given, each)
    members = [member(each) for each in cast]
    # What is no file of this machine may be one of the scene.
    local = {picture for _, picture in members if Path(picture).exists() or not picture.startswith("images/")}
    text = script.read()

    async def work(client: WireClient) -> PlanFilmResponse:
        for picture in local:
            await client.scenes.upload(project, film_id, place(picture, "images"), picture)
        try:
            present = (await client.films.get(project, film_id)).status.plan_revision
        except FilmNotFound:
            present = 0
        return await client.films.plan(
            project,
            film_id,
            text,
            settings=given,
            cast=[
                CastMember(name=name, assets=[place(picture, "images") if picture in local else picture])
                for name, picture in members
            ],
            plan_revision=present,
            validate_only=dry_run,
        )

    answer = ours.run(work)
    if ours.json:
        write_json(answer)
        return
    write_film(answer.film)
    write_changes(answer.changes)


@film.command()
@project_option
@film_option
@click.option("--revision", type=click.IntRange(min=1), help="An older plan. Default: the newest.")
@global_options()
@click.pass_context
def show(context: click.Context, project: str, film_id: str, revision: int | None) -> None:
    """Show a film: its scenes, and what it costs."""
    ours = session(context)
    shown = ours.run(lambda client: client.films.get(project, film_id, plan_revision=revision or 0))
    if ours.json:
        write_json(shown)
    else:
        write_film(shown)


@film.command("list")
@project_option
@global_options()
@click.pass_context
def list_films(context: click.Context, project: str) -> None:
    """List a project's films."""
    ours = session(context)
    films = ours.run(lambda client: _list(client, project))
    if ours.json:
        for each in films:
            write_json(each)
        return
    rows = [(each.film_id, _state(each), str(each.plan_revision), moment(each.update_time)) for each in films]
    write_table(("FILM", "STATE", "PLAN", "UPDATED"), rows)


@film.command()
@project_option
@film_option
@click.option("--scenes", is_flag=True, help="Delete its folders too, with all files in them.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@global_options()
@click.pass_context
def delete(context: click.Context, project: str, film_id: str, scenes: bool, yes: bool) -> None:
    """Delete a film with all its plans. This cannot be undone."""
    if not yes:
        # On stderr, like all messages; without a terminal, the answer is no.
        click.confirm(f"Delete {project}/{film_id}{' with all its files' if scenes else ''}?", abort=True, err=True)
    left = session(context).run(lambda client: client.films.delete(project, film_id, delete_scenes=scenes))
    say(f"{project}/{film_id} is deleted")
    for path in left:
        say(f"the storage did not allow {path!r} to be removed, which others put there")


async def _list(client: WireClient, project: str) -> list[FilmStatus]:
    return [each async for each in client.films.list(project)]


def write_film(shown: Film) -> None:
    """Writes the scenes of a plan, and what it costs."""
    write_table(
        ("SCENE", "NUMBER", "TITLE", "SHOTS", "LINES", "SECONDS"),
        [
            (
                each.scene.scene_id,
                each.scene.number,
                each.scene.title,
                str(len(each.scene.shots)),
                str(len(each.scene.lines)),
                number(sum(shot.seconds for shot in each.scene.shots)),
            )
            for each in shown.scenes
        ],
    )
    click.echo()
    quote, shots = shown.quote, _shots(shown.scenes)
    write_facts(
        [
            ("film", f"{shown.status.project_id}/{shown.status.film_id}"),
            ("title", shown.title),
            ("plan", str(shown.status.plan_revision)),
            ("scenes", str(len(shown.scenes))),
            ("shots", str(shots)),
            ("seconds", number(quote.seconds)),
            ("credits", f"≤ {number(quote.credits)}" if quote.HasField("credits") else "not known"),
            ("reused", number(quote.reused_credits) if quote.reused_credits else ""),
        ]
    )
    write_status(shown.status)


def write_status(status: FilmStatus) -> None:
    """Writes how far a film is, what it has cost, and what somebody must decide about."""
    # A service newer than this client may have others.
    stage = FilmStage.Name(status.stage) if status.stage in FilmStage.values() else str(status.stage)
    gate = FilmGate.Name(status.gate) if status.gate in FilmGate.values() else str(status.gate)
    made = (("pictures", status.images), ("speech", status.speech), ("clips", status.clips))
    write_facts(
        [
            ("state", _state(status)),
            ("run", str(status.run) if status.run else ""),
            ("stage", stage.removeprefix("FILM_STAGE_").lower() if status.stage else ""),
            ("waits at", gate.removeprefix("FILM_GATE_").lower() if status.gate else ""),
            *((name, f"{count.done + count.reused} of {count.total}") for name, count in made if count.total),
            ("spent", number(status.spent_credits)),
            ("up to", number(status.max_credits) if status.run else ""),
            ("error", f"{status.error.reason}: {status.error.message}" if status.error.reason else ""),
            *(("export", f"{status.film_id}/{export.asset}") for export in status.exports),
        ]
    )
    for trouble in status.troubles:
        say(f"{trouble.shot_id} {trouble.output}: {trouble.error.reason}: {trouble.error.message}")
    for warning in status.warnings:
        say(f"{warning.code}: {warning.message}")


def write_changes(changes: FilmChanges) -> None:
    """Writes what a plan changed."""
    told = [
        (name, ids)
        for name, ids in (("added", changes.added), ("changed", changes.changed), ("removed", changes.removed))
        if ids
    ]
    write_facts([(name, f"{len(ids)} scenes") for name, ids in told])


def _shots(scenes: Sequence[FilmScene]) -> int:
    return sum(len(each.scene.shots) for each in scenes)


def _state(status: FilmStatus) -> str:
    known = status.state in FilmState.values()
    return FilmState.Name(status.state).removeprefix("FILM_STATE_") if known else str(status.state)
