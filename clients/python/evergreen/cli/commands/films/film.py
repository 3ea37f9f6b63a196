"""`evergreen film`: plans films, shows, lists and deletes them; see `film_runs` for those commands that spend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from evergreen.cli.commands.assets import project_option
from evergreen.cli.commands.films.edit import edit
from evergreen.cli.commands.films.export import export
from evergreen.cli.commands.films.options import film_option
from evergreen.cli.commands.films.runs import approve, cancel, start, watch
from evergreen.cli.output import write_json
from evergreen.cli.reading.sniffing import place
from evergreen.cli.session import global_options, say, session
from evergreen.cli.verbs import verbs

if TYPE_CHECKING:
    from evergreen.v1.film_pb2 import PlanFilmResponse
    from evergreen.v1.video_pb2 import FilmStatus
    from evergreen.wire import WireClient


@verbs(
    examples=(
        "evergreen film plan script.fountain --project film --film lamp --set aspect=9:16",
        "evergreen film start --project film --film lamp --max-credits 205 --watch",
    )
)
@global_options()
def film() -> None:
    """Plan and make films: scripts become scenes and shots with a quote, and those a cut."""


@film.command(
    examples=(
        "evergreen film plan script.fountain --project film --film lamp --set aspect=9:16 --cast Ada=ada.png",
        "evergreen film plan - --project film --film lamp --dry-run < script.md",
    )
)
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
    from evergreen.cli.work.film_settings import member, setting
    from evergreen.cli.work.film_views import write_changes, write_film
    from evergreen.errors import FilmNotFound
    from evergreen.v1.film_pb2 import CastMember, FilmSettings

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


@film.command(examples=("evergreen film show --project film --film lamp",))
@project_option
@film_option
@click.option("--revision", type=click.IntRange(min=1), help="An older plan. Default: the newest.")
@global_options()
@click.pass_context
def show(context: click.Context, project: str, film_id: str, revision: int | None) -> None:
    """Show a film: its scenes, and what it costs."""
    from evergreen.cli.work.film_views import write_film

    ours = session(context)
    shown = ours.run(lambda client: client.films.get(project, film_id, plan_revision=revision or 0))
    if ours.json:
        write_json(shown)
    else:
        write_film(shown)


@film.command("list", examples=("evergreen film list --project film",))
@project_option
@global_options()
@click.pass_context
def list_films(context: click.Context, project: str) -> None:
    """List a project's films."""
    from evergreen.cli.work.film_views import write_films

    ours = session(context)
    films = ours.run(lambda client: _list(client, project))
    if ours.json:
        for each in films:
            write_json(each)
        return
    if not films:
        say(f"no films in project {project}")
    write_films(films)


@film.command(examples=("evergreen film delete --project film --film lamp --scenes --yes",))
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


for _command in (edit, start, watch, approve, cancel, export):
    film.add_command(_command)
