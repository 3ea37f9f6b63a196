"""Runs in their rows: each change with its money, its jobs and its next workflow in one transaction."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from evergreen_server.film.errors import FilmBusy, RunChanged, RunNotFound
from evergreen_server.film.model import FilmRequest
from evergreen_server.film.runs import queries
from evergreen_server.film.runs.accepting import Accepting, NewChild, accept_child
from evergreen_server.film.runs.events import FilmEventKind, FilmEvents, kind_of, line_of, run_line, work_of
from evergreen_server.film.runs.queries import (
    Made,
    RunKey,
    check_kept,
    check_plan,
    find_run,
    get_run,
    last_run,
    made_of,
    of_film,
)
from evergreen_server.film.runs.rows import FilmOutput, run_row
from evergreen_server.film.runs.run import MOVES, WAITS_FOR_PEOPLE, Approval, FilmRun, RunKind, RunState
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.film_schema import film_outputs, film_requests, film_runs, films
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.queries import ADD_CREDITS
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.errors import JobError, Superseded
from evergreen_server.jobs.store import ledger
from evergreen_server.jobs.store.audit import record
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.project_lock import lock_project
from evergreen_server.ports.audit import Note

__all__ = ["RunStore", "Snapshot"]

Edit = Callable[[FilmRun], FilmRun]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Made):
    """A run, the outputs of its film by any run, and their jobs that are still kept."""

    run: FilmRun


class RunStore:
    """Reads and writes runs. Each method is one snapshot or one transaction under the project's lock."""

    def __init__(
        self,
        *,
        database: Database,
        jobs: JobStore,
        clock: Callable[[], datetime],
        enqueue: Callable[[sa.Connection, str, str, int, int], str],
        events: FilmEvents,
        replica_id: str,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._clock = clock
        self._enqueue = enqueue
        self._events = events
        self._replica_id = replica_id

    async def start(
        self,
        run: FilmRun,
        *,
        quote: int,
        request: FilmRequest,
        planned_at: datetime | None = None,
        note: Note | None = None,
    ) -> FilmRun:
        """Records a new run of a film's newest plan, of an export of any that is kept, numbered after its last one, and
        holds the quote; or finds the run that the same request began before.

        `planned_at` is when the film was first planned. Raises FilmRequestReused, RunDeleted, FilmNotFound,
        PlanChanged, PlanNotFound, FilmBusy, FilmCreditsExceeded, and ProjectCreditsExceeded by the project's cap.
        """
        now, project_id = self._clock(), run.project_id

        def work(db: sa.Connection) -> tuple[FilmRun, list[Change]]:
            lock_project(db, project_id, now)
            # Under the lock, so that of two that come at once the second finds the first one's run.
            if (known := find_run(db, project_id, request)) is not None:
                return known, []
            check = check_kept if run.kind is RunKind.EXPORT else check_plan
            check(db, project_id, run.film_id, plan_revision=run.plan_revision, planned_at=planned_at)
            last = last_run(db, project_id, run.film_id)
            if last is not None and not last.ended:
                raise FilmBusy(last.film_id, last.state)
            money = run.money.approve(run.money.approved, quote=quote)
            ledger.check(self._jobs.cap(project_id), ledger.totals(db, project_id), money.held)
            number = 1 if last is None else last.run + 1
            new = replace(run, run=number, money=money, revision=1, created_at=now, updated_at=now)
            db.execute(film_runs.insert().values({**run_row(new), "request_id": request.request_id}))
            key = {"project_id": project_id, "film_id": run.film_id, "plan_revision": run.plan_revision}
            db.execute(film_requests.insert().values(**key, **asdict(request), created_at=to_micros(now)))
            _reserve(db, project_id, money.held)
            _show(db, new)
            self._events.record(db, project_id, new.film_id, FilmEventKind.STARTED, now)
            enqueued = self._enqueue(db, project_id, new.film_id, new.run, new.leg)
            record(db, now, note, project_id=project_id, subject=new.film_id, run=new.run)
            lines = line_of(FilmEventKind.STARTED, project_id, new.film_id, note, run=new.run, makes=new.kind.value)
            return new, [Change(project_id=project_id, job_id=new.key, enqueued=enqueued, lines=lines)]

        return await self._jobs.write(work, project_id=project_id)

    async def find(self, project_id: str, request: FilmRequest) -> FilmRun | None:
        """Returns the run that a request began; None if it began none. Raises FilmRequestReused, RunDeleted."""
        return await self._database.fetch(lambda db: find_run(db, project_id, request))

    async def last(self, project_id: str, film_id: str) -> FilmRun | None:
        """Returns the newest run of a film; None if it has none."""
        return await self._database.fetch(lambda db: last_run(db, project_id, film_id))

    async def get(self, project_id: str, film_id: str, run: int) -> FilmRun:
        """Returns a run. Raises RunNotFound."""
        return await self._database.fetch(lambda db: get_run(db, project_id, film_id, run))

    async def claim(self, project_id: str, film_id: str, run: int, *, leg: int, token: str) -> FilmRun | None:
        """Makes an execution the owner of a run's leg; returns the run, or None if nothing is left for it to do: a leg
        that is to be rendered, or is, goes on with whoever renders it.
        """

        def edit(old: FilmRun) -> FilmRun:
            if old.leg != leg or old.ended or old.slot is not None or old.state is RunState.AWAITING_APPROVAL:
                raise Superseded(old.key)
            return replace(old, execution=token, replica=self._replica_id)

        try:
            return await self._write(project_id, film_id, run, edit)
        except (Superseded, RunNotFound):
            return None

    async def made(self, project_id: str, film_id: str) -> Made:
        """Returns what the runs of a film had made, or are having made."""
        return await self._database.read_in_turn(lambda db: made_of(db, project_id, film_id), owner=project_id)

    async def snapshot(self, run: FilmRun) -> Snapshot:
        """Returns the run as it is by now, with the outputs of its film and their jobs. Raises RunNotFound."""

        def read(db: sa.Connection) -> Snapshot:
            found = made_of(db, run.project_id, run.film_id)
            present = get_run(db, run.project_id, run.film_id, run.run)
            return Snapshot(run=present, outputs=found.outputs, jobs=found.jobs)

        return await self._database.read_in_turn(read, owner=run.project_id)

    async def accept(self, run: FilmRun, children: Sequence[NewChild]) -> Accepting:
        """Accepts jobs in their order until one is refused, each as the next take that can deliver its file.

        A job of the same take that is under way, or has its file, is taken as it is. None is accepted for a run that
        somebody has ended meanwhile. Raises Superseded.
        """

        def work(db: sa.Connection) -> tuple[Accepting, list[Change]]:
            lock_project(db, run.project_id, self._clock())
            present = get_run(db, run.project_id, run.film_id, run.run)
            if (present.execution, present.leg) != (run.execution, run.leg):
                raise Superseded(run.key)
            if present.state is not RunState.RUNNING:
                return Accepting(accepted=0), []
            changes: list[Change] = []
            for number, child in enumerate(children):
                try:
                    changes += accept_child(db, self._jobs, present, child)
                except JobError as exc:
                    return Accepting(accepted=number, refused=exc), changes
            return Accepting(accepted=len(children)), changes

        return await self._jobs.write(work, project_id=run.project_id)

    async def record(self, run: FilmRun, output: FilmOutput) -> None:
        """Records the file that an output's job has made, once it was read. The same again changes nothing."""
        assert output.source is not None, "there is no file"
        values = {
            "asset": output.source.asset,
            "sha256": output.source.sha256,
            "size_bytes": output.size_bytes,
            "seconds": output.seconds,
            "millicredits": output.millicredits,
            "made_at": to_micros(self._clock()),
        }
        one = (*of_film(film_outputs, run.project_id, run.film_id), film_outputs.c.digest == output.digest)

        def work(db: sa.Connection) -> None:
            db.execute(film_outputs.update().where(*one, film_outputs.c.asset.is_(None)).values(values))

        await self._database.write(work, project_id=run.project_id)

    async def change(self, run: FilmRun, edit: Edit) -> FilmRun:
        """Changes a run for the execution that owns it; `edit` gets the run as it is under the lock.

        Raises Superseded if another execution owns it by now, or it is another leg's.
        """

        def fenced(old: FilmRun) -> FilmRun:
            if (old.execution, old.leg) != (run.execution, run.leg):
                raise Superseded(run.key)
            return edit(old)

        return await self._write(run.project_id, run.film_id, run.run, fenced)

    async def approve(
        self,
        run: FilmRun,
        approval: Approval,
        *,
        quote: int,
        takes: Mapping[str, int],
        note: Note | None = None,
    ) -> FilmRun:
        """Has a run that waits for people go on, with one more leg; the same approval again changes nothing.

        Raises RunChanged if it is not as it was at the approval's revision, PlanChanged, FilmNotFound,
        FilmCreditsExceeded, and ProjectCreditsExceeded by the project's cap.
        """

        def work(db: sa.Connection) -> tuple[FilmRun, list[Change]]:
            lock_project(db, run.project_id, self._clock())
            old = get_run(db, run.project_id, run.film_id, run.run)
            if old.approval == approval:
                return old, []
            if old.state not in WAITS_FOR_PEOPLE or old.revision != approval.revision:
                raise RunChanged(old.film_id, run=old.run, state=old.state, revision=old.revision)
            check_plan(db, run.project_id, run.film_id, plan_revision=approval.plan_revision)
            return self._apply(db, old, old.approved(approval, quote=quote, takes=takes), external=True, note=note)

        return await self._jobs.write(work, project_id=run.project_id)

    async def command(self, project_id: str, film_id: str, run: int, edit: Edit, note: Note | None = None) -> FilmRun:
        """Changes a run for a caller of the API. Raises RunNotFound, ProjectCreditsExceeded, what `edit` raises."""
        return await self._write(project_id, film_id, run, edit, external=True, note=note)

    async def expired(self, *, most: int) -> Collection[RunKey]:
        """Returns up to so many runs that wait for people, or to be rendered, beyond their finish_by."""
        query = queries.expired(self._clock(), most=most)
        return await self._database.read(lambda db: [(*row,) for row in db.execute(query)])

    async def left_here(self) -> Collection[tuple[str, str, int, int]]:
        """Returns the runs, each with its leg, that a workflow should run here, or on a server that is dead."""
        query = queries.left_by(self._replica_id)
        return await self._database.read(lambda db: [(*row,) for row in db.execute(query)])

    async def _write(
        self,
        project_id: str,
        film_id: str,
        run: int,
        edit: Edit,
        *,
        external: bool = False,
        note: Note | None = None,
    ) -> FilmRun:
        def work(db: sa.Connection) -> tuple[FilmRun, list[Change]]:
            lock_project(db, project_id, self._clock())
            old = get_run(db, project_id, film_id, run)
            return self._apply(db, old, edit(old), external=external, note=note)

        return await self._jobs.write(work, project_id=project_id)

    def _apply(
        self, db: sa.Connection, old: FilmRun, new: FilmRun, *, external: bool, note: Note | None = None
    ) -> tuple[FilmRun, list[Change]]:
        """Writes a changed run, whose project is locked, and who changed it."""
        if new == old:
            return old, []
        if new.state is not old.state and new.state not in MOVES[old.state]:
            raise ValueError(f"a run that is {old.state} cannot become {new.state}")
        more = new.money.held - old.money.held
        if more > 0:
            ledger.check(self._jobs.cap(old.project_id), ledger.totals(db, old.project_id), more)
        _reserve(db, old.project_id, more)
        now = max(self._clock(), old.updated_at)
        seen = replace(new, execution=old.execution, replica=old.replica, slot=old.slot, slot_at=old.slot_at)
        ended = now if new.ended and not old.ended else new.ended_at
        # How far it is does not matter to who approves it.
        steps = replace(seen, tally=old.tally, frames=old.frames, frames_done=old.frames_done) != old
        new = replace(new, revision=old.revision + steps, updated_at=now, ended_at=ended)
        row = film_runs.c.run == old.run
        db.execute(film_runs.update().where(*of_film(film_runs, old.project_id, old.film_id), row).values(run_row(new)))
        if new.state is not old.state:
            _show(db, new)
        if seen != old:
            self._events.record(db, old.project_id, old.film_id, kind_of(old, new), now)
        enqueued = ""
        if new.leg != old.leg:
            enqueued = self._enqueue(db, old.project_id, old.film_id, old.run, new.leg)
        record(db, now, note, project_id=old.project_id, subject=old.film_id, run=old.run)
        lines = run_line(old, new, note) if seen != old else ()
        change = Change(
            project_id=old.project_id,
            job_id=new.key,
            external=external,
            enqueued=enqueued,
            film_work=work_of(old, new),
            lines=lines,
        )
        return new, [change]


def _reserve(db: sa.Connection, project_id: str, millicredits: int) -> None:
    """Adds what a run holds, or takes off what it no longer does, to what the project has reserved."""
    if millicredits:
        amounts = {"reserved": millicredits, "confirmed": 0, "bounded": 0}
        ADD_CREDITS.run(db, {"of_project": project_id, **amounts})


def _show(db: sa.Connection, run: FilmRun) -> None:
    """Has the film's row say how its newest run is."""
    values = {"state": run.state.value, "run": run.run, "updated_at": to_micros(run.updated_at)}
    db.execute(films.update().where(*of_film(films, run.project_id, run.film_id)).values(values))
