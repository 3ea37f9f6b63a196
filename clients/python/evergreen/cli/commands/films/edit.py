"""`evergreen film edit`: changes a plan by options, or in an editor."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from evergreen.cli.commands.assets import project_option
from evergreen.cli.commands.films.options import film_option
from evergreen.cli.output import write_json
from evergreen.cli.session import Session, global_options, say, session
from evergreen.cli.verbs import verb

if TYPE_CHECKING:
    from evergreen.v1.film_pb2 import Film, FilmEdit


@verb(
    examples=(
        "evergreen film edit --project film --film lamp --shot scene-2.1 --prompt 'A lamp in fog'",
        "evergreen film edit --project film --film lamp --set aspect=1:1 --dry-run",
    )
)
@project_option
@film_option
@click.option("--shot", "item_id", default="", metavar="ID", help="A shot, or a spoken line, that is changed.")
@click.option("--prompt", help="What is seen in the shot.")
@click.option("--motion", help="What moves in the shot.")
@click.option("--seconds", type=click.FloatRange(min=0), help="How long the shot is seen.")
@click.option("--text", help="What is spoken in the line.")
@click.option(
    "--redo",
    "redone",
    multiple=True,
    type=click.Choice(["picture", "clip", "speech"]),
    help="Have this made anew by the next run. Repeatable.",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting, as for plan. Repeatable.")
@click.option("--from", "source", type=click.File(encoding="utf-8"), help="Take the edited plan from a file, as JSON.")
@click.option("--dry-run", is_flag=True, help="Check and quote, but keep the plan as it is.")
@global_options()
@click.pass_context
def edit(
    context: click.Context,
    project: str,
    film_id: str,
    item_id: str,
    prompt: str | None,
    motion: str | None,
    seconds: float | None,
    text: str | None,
    redone: tuple[str, ...],
    settings: tuple[str, ...],
    source: TextIO | None,
    dry_run: bool,
) -> None:
    """Change a film's plan: a shot or line by --shot, settings by --set, else all of it in your editor, as JSON."""
    from evergreen.cli.work.film_edits import edits_of

    ours = session(context)
    values = {"picture_prompt": prompt, "motion_prompt": motion, "seconds": seconds, "text": text}
    given = {name: value for name, value in values.items() if value is not None}
    if (given or redone) and not item_id:
        raise click.UsageError("--prompt, --motion, --seconds, --text and --redo need --shot")
    if item_id and not (given or redone):
        raise click.UsageError("--shot needs --prompt, --motion, --seconds, --text or --redo")
    film = ours.run(lambda client: client.films.get(project, film_id))
    if item_id or settings:
        edits = [*_settings(settings), *_item(film, item_id, given), *_redone(item_id, redone)]
        _write(ours, film, edits, dry_run=dry_run)
    elif source is not None:
        _write(ours, film, edits_of(film, source.read()), dry_run=dry_run)
    else:
        _by_hand(ours, film, dry_run=dry_run)


def _by_hand(ours: Session, film: Film, *, dry_run: bool) -> None:
    """Has the plan edited; the text is kept if it cannot be taken."""
    from evergreen.cli.work.film_edits import edits_of, plan_text

    with tempfile.NamedTemporaryFile("w", suffix=".json", prefix="plan-", delete=False, encoding="utf-8") as file:
        file.write(plan_text(film))
    path = Path(file.name)
    try:
        click.edit(filename=str(path))
        _write(ours, film, edits_of(film, path.read_text(encoding="utf-8")), dry_run=dry_run)
    except BaseException:
        say(f"what you have written is in {path}; go on with --from {path}")
        raise
    path.unlink()


def _write(ours: Session, film: Film, edits: list[FilmEdit], *, dry_run: bool) -> None:
    from evergreen.cli.work.film_views import write_changes, write_film

    if not edits:
        say("nothing is changed")
        return
    status = film.status
    answer = ours.run(
        lambda client: client.films.edit(
            status.project_id, status.film_id, edits, plan_revision=status.plan_revision, validate_only=dry_run
        )
    )
    if ours.json:
        write_json(answer)
        return
    write_film(answer.film)
    write_changes(answer.changes)


def _settings(texts: tuple[str, ...]) -> Iterator[FilmEdit]:
    from evergreen.cli.work.film_settings import setting
    from evergreen.v1.film_pb2 import FilmEdit, FilmSettings

    given = FilmSettings()
    for text in texts:
        setting(given, text)
    if texts:
        yield FilmEdit(settings=given)


def _item(film: Film, item_id: str, given: dict[str, str | float]) -> Iterator[FilmEdit]:
    """Yields the edit of a shot or of a line. Raises BadParameter."""
    from evergreen.v1.film_pb2 import FilmEdit

    if not given:
        return
    for scene in (each.scene for each in film.scenes):
        for shot in scene.shots:
            if shot.shot_id == item_id and "text" not in given:
                for name, value in given.items():
                    setattr(shot, name, value)
                yield FilmEdit(replace_shot=shot)
                return
        for line in scene.lines:
            if line.line_id == item_id and given.keys() == {"text"}:
                line.text = str(given["text"])
                yield FilmEdit(replace_scene=scene)
                return
    options = "a spoken line" if "text" in given else "a shot"
    raise click.BadParameter(f"the plan has no {options.removeprefix('a ')} {item_id!r}", param_hint="--shot")


def _redone(item_id: str, outputs: tuple[str, ...]) -> Iterator[FilmEdit]:
    from evergreen.v1.film_pb2 import FilmEdit, ShotRedo

    yield from (FilmEdit(redo=ShotRedo(shot_id=item_id, output=output)) for output in outputs)
