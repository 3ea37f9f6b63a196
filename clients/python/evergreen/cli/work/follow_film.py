"""Follows the run of a film until it is over or waits for somebody."""

import sys
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

import click

from evergreen.cli.exits import ExitCode
from evergreen.cli.output import number, plain, write_json
from evergreen.cli.session import Session, say
from evergreen.v1.film_pb2 import Film
from evergreen.v1.video_pb2 import FilmStage, FilmState, FilmStatus
from evergreen.wire import WireClient

_OVER: Final = frozenset({FilmState.FILM_STATE_SUCCEEDED, FilmState.FILM_STATE_FAILED, FilmState.FILM_STATE_CANCELLED})
_WAITS: Final = frozenset({FilmState.FILM_STATE_AWAITING_APPROVAL, FilmState.FILM_STATE_NEEDS_ATTENTION})
_BAR: Final = 20


async def follow_film(client: WireClient, session: Session, project_id: str, film_id: str) -> Film:
    """Shows how far a film is, until its run is over or waits; returns the film as it is then.

    With JSON, each event is a line on stdout. Raises CursorLost, WatchInterrupted and other errors of a call.
    """
    with _Line() as line:
        async with aclosing(client.watch(project_id=project_id, film_ids=[film_id])) as messages:
            async for message in messages:
                if not message.HasField("film_event"):
                    continue
                status = message.film_event.film
                line.show(status)
                if session.json:
                    line.aside(lambda: write_json(message))  # noqa: B023 - called at once
                if status.state in _WAITS:
                    break
    return await client.films.get(project_id, film_id)


def exit_code(session: Session, status: FilmStatus) -> ExitCode:
    """Returns what a run came to, and says how one that waits goes on."""
    where = f"--project {status.project_id} --film {status.film_id}"
    if status.state in _WAITS:
        say(f"To go on: {session.command(f'film approve {where}')}")
        say(f"To end it: {session.command(f'film cancel {where}')}")
        return ExitCode.NEEDS_ATTENTION
    return ExitCode.OK if status.state == FilmState.FILM_STATE_SUCCEEDED else ExitCode.JOB_FAILED


class _Line:
    """One line on stderr: drawn anew on a terminal, and written again elsewhere where more than numbers has changed."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._drawn = False
        self._told: tuple[object, ...] = ()

    def __enter__(self) -> "_Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._clear(keep=True)

    def show(self, status: FilmStatus) -> None:
        """Shows a film as it is now."""
        steps = (status.state, status.stage, status.images.done, status.speech.done, status.clips.done)
        if self._terminal:
            click.echo(f"\r\x1b[K{_text(status)}", err=True, nl=False)
            self._drawn = True
        elif steps != self._told:
            click.echo(_text(status), err=True)
        self._told = steps

    def aside(self, write: Callable[[], None]) -> None:
        """Has something else written."""
        self._clear(keep=False)
        write()

    def _clear(self, *, keep: bool) -> None:
        if self._drawn:
            click.echo("" if keep else "\r\x1b[K", err=True, nl=keep)
            self._drawn = False


def _text(status: FilmStatus) -> str:
    made = (("pictures", status.images), ("speech", status.speech), ("clips", status.clips))
    full = round(status.progress * _BAR)
    parts = [
        f"{status.film_id}",
        f"[{'#' * full}{'.' * (_BAR - full)}] {status.progress:4.0%}",
        _name(FilmState.Name, status.state, "FILM_STATE_"),
        _name(FilmStage.Name, status.stage, "FILM_STAGE_").lower() if status.stage else "",
        *(f"{name} {count.done + count.reused}/{count.total}" for name, count in made if count.total),
        f"{number(status.spent_credits)} of {number(status.max_credits)} credits" if status.run else "",
    ]
    return plain("  ".join(part for part in parts if part))


def _name(of: Callable[..., str], value: int, prefix: str) -> str:
    try:
        return of(value).removeprefix(prefix)
    except ValueError:
        # A service newer than this client has others.
        return str(value)
