"""Events of films: written with the change that they are about, among those of the project's jobs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Final, Protocol

import sqlalchemy as sa

from evergreen_server.film.runs.films import Film, FilmState, film_in, with_exports
from evergreen_server.film.runs.queries import of_film
from evergreen_server.film.runs.run import WAITS_FOR_PEOPLE, FilmRun, RunState
from evergreen_server.jobs.db import queries
from evergreen_server.jobs.db.film_schema import films
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.feed.films import FILM, subject_of
from evergreen_server.jobs.model.change import FilmWork, Line
from evergreen_server.jobs.model.states import Slot
from evergreen_server.jobs.store.project_lock import lock_project
from evergreen_server.ports.audit import Note

__all__ = ["FilmEventKind", "FilmEvents", "FilmWire", "kind_of", "line_of", "run_line", "work_of"]


class FilmEventKind(StrEnum):
    """What happened to a film. PROGRESS alone may be left out, if a later event of the same film follows."""

    SNAPSHOT = "SNAPSHOT"
    PLANNED = "PLANNED"
    STARTED = "STARTED"
    PROGRESS = "PROGRESS"
    OUTPUT_READY = "OUTPUT_READY"
    STAGE_CHANGED = "STAGE_CHANGED"
    WARNING = "WARNING"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    APPROVED = "APPROVED"
    NEEDS_ATTENTION = "NEEDS_ATTENTION"
    RESOLVED = "RESOLVED"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    DELETED = "DELETED"


_OF_STATE: Final[Mapping[RunState, FilmEventKind]] = {
    state: FilmEventKind(state.value) for state in RunState if state is not RunState.RUNNING
}


class FilmWire(Protocol):
    """Encodes events of films as the bytes that go on the wire."""

    def film_event(self, kind: FilmEventKind, film: Film, revision: int, at: datetime) -> bytes: ...


class FilmEvents:
    """Writes them."""

    def __init__(self, wire: FilmWire) -> None:
        self._wire = wire

    def record(self, db: sa.Connection, project_id: str, film_id: str, kind: FilmEventKind, now: datetime) -> None:
        """Writes what has become of a film within the transaction that changes it, as the project's next event."""
        revision = lock_project(db, project_id, now) + 1
        row = films.update().where(*of_film(films, project_id, film_id))
        db.execute(row.values(revision=revision, updated_at=to_micros(now)))
        film = with_exports(db, film_in(db, project_id, film_id))
        event = {
            "project_id": project_id,
            "revision": revision,
            "job_id": subject_of(film_id),
            "kind": kind.value,
            "job_kind": FILM,
            # After a film's deletion nothing follows, also of one that had no run: a watch of it ends.
            "state": (FilmState.CANCELLED if kind is FilmEventKind.DELETED else film.state).value,
            "event": self._wire.film_event(kind, film, revision, now),
            "created_at": to_micros(now),
        }
        queries.INSERT_EVENT.run(db, event)
        at = to_micros(now)
        queries.SET_REVISION.run(db, {"of_project": project_id, "revision": revision, "updated_at": at})


_UNTOLD: Final = {FilmEventKind.PROGRESS, FilmEventKind.OUTPUT_READY, FilmEventKind.WARNING}


def line_of(kind: FilmEventKind, project_id: str, film_id: str, note: Note | None, **facts: object) -> Sequence[Line]:
    """Returns what the log says of an event, if that is a transition."""
    if kind in _UNTOLD:
        return ()
    told: dict[str, object] = {"project_id": project_id, "film_id": film_id, **facts}
    if note is not None:
        told |= {**note.details, **note.origin.facts()}
    warns = kind in (FilmEventKind.FAILED, FilmEventKind.NEEDS_ATTENTION)
    return [Line(event=f"film {kind.value.lower().replace('_', ' ')}", facts=told, warns=warns)]


def run_line(old: FilmRun, new: FilmRun, note: Note | None) -> Sequence[Line]:
    """Returns what the log says of a change of a run."""
    facts: dict[str, object] = {"run": new.run, "stage": new.stage.value}
    if new.ended:
        facts["spent_credits"] = new.money.spent / 1000
    if new.error is not None:
        facts["reason"] = new.error.reason
    return line_of(kind_of(old, new), new.project_id, new.film_id, note, **facts)


def work_of(old: FilmRun, new: FilmRun) -> Sequence[FilmWork]:
    """Returns what is over by a change of a run: its wait for a server to render it, its render, and all of it."""
    error = new.error.reason if new.error is not None and new.state is not RunState.CANCELLED else ""
    work = partial(
        FilmWork,
        project_id=new.project_id,
        film_id=new.film_id,
        run=new.run,
        traceparent=new.traceparent,
        ended=new.updated_at,
        error=error,
    )
    over = []
    if old.slot is not None and old.slot_at is not None and (new.slot, new.execution) != (old.slot, old.execution):
        # One that rests after an error begins to wait later.
        over.append(work(name="render" if old.slot is Slot.HELD else "wait", began=min(old.slot_at, new.updated_at)))
    if new.ended and not old.ended:
        over.append(work(name="film", began=new.created_at, facts={"kind": new.kind.value, "state": new.state.value}))
    return over


def kind_of(old: FilmRun, new: FilmRun) -> FilmEventKind:
    """Returns what a change of a run is to those who watch it."""
    if new.state is not old.state:
        back = FilmEventKind.APPROVED if new.approval != old.approval else FilmEventKind.RESOLVED
        return _OF_STATE.get(new.state, back)
    if new.stage is not old.stage:
        return FilmEventKind.STAGE_CHANGED
    if new.state in WAITS_FOR_PEOPLE and (new.troubles, new.error) != (old.troubles, old.error):
        return FilmEventKind.NEEDS_ATTENTION
    if new.warnings != old.warnings:
        return FilmEventKind.WARNING
    if len(new.exports) > len(old.exports):
        return FilmEventKind.OUTPUT_READY
    if any(count.done > old.tally.counts.get(kind, count).done for kind, count in new.tally.counts.items()):
        return FilmEventKind.OUTPUT_READY
    return FilmEventKind.PROGRESS
