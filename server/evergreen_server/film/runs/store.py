"""Runs in their rows: each change with its money, its jobs and its next workflow in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import sqlalchemy as sa

from evergreen_server.film.digests import Basis, digest_of, request_id
from evergreen_server.film.model import OutputKind
from evergreen_server.film.runs.rows import FilmOutput, output_of, run_of, run_row
from evergreen_server.film.runs.run import MOVES, FilmRun, RunState
from evergreen_server.jobs.db.database import Database, insert_new
from evergreen_server.jobs.db.mapping import job_from_row, to_micros
from evergreen_server.jobs.db.queries import ADD_CREDITS
from evergreen_server.jobs.db.schema import film_outputs, film_runs, film_takes, jobs, requests
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.errors import JobError, Superseded
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.jobs.model.states import FINAL, State
from evergreen_server.jobs.store import ledger
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.project_lock import lock_project

__all__ = ["Accepting", "FilmBusy", "NewChild", "RunNotFound", "RunStore", "Snapshot"]

Edit = Callable[[FilmRun], FilmRun]


class RunNotFound(JobError):
    """The film has no such run."""


class FilmBusy(JobError):
    """A run of the film is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChild:
    """A job to be accepted for an output; its request is complete but for what names it."""

    item_id: str
    kind: OutputKind
    base: str
    basis: Basis
    request: JobRequest
    estimated_millicredits: int
    job_id: str
    """Of a job that must be made anew."""
    lost: bool = False
    """Whether the file of the newest take was found to be gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepting:
    """What became of jobs that were to be accepted, in their order: so many were, and the next was refused."""

    accepted: int
    refused: JobError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A run, the outputs of its film by any run, and their jobs that are still kept."""

    run: FilmRun
    outputs: tuple[FilmOutput, ...]
    """Those whose file is there last, by the time when it came."""
    jobs: Mapping[str, Job]


class RunStore:
    """Reads and writes runs. Each method is one snapshot or one transaction under the project's lock."""

    def __init__(
        self,
        *,
        database: Database,
        jobs: JobStore,
        clock: Callable[[], datetime],
        enqueue: Callable[[sa.Connection, str, str, int, int], None],
        replica_id: str,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._clock = clock
        self._enqueue = enqueue
        self._replica_id = replica_id

    async def start(self, run: FilmRun, *, quote: int, confirm: Callable[[sa.Connection], None]) -> FilmRun:
        """Records a new run of a film, numbered after its last one, and holds the quote. `confirm` raises what speaks
        against it under the lock.

        Raises FilmBusy, FilmCreditsExceeded, and ProjectCreditsExceeded by the project's cap.
        """
        now = self._clock()

        def work(db: sa.Connection) -> tuple[FilmRun, list[Change]]:
            lock_project(db, run.project_id, now)
            confirm(db)
            last = _last(db, run.project_id, run.film_id)
            if last is not None and not last.ended:
                raise FilmBusy(f"run {last.run} of the film {run.film_id} is {last.state}")
            money = run.money.approve(run.money.approved, quote=quote)
            ledger.check(self._jobs.cap(run.project_id), ledger.totals(db, run.project_id), money.held)
            number = 1 if last is None else last.run + 1
            new = replace(run, run=number, money=money, revision=1, created_at=now, updated_at=now)
            db.execute(film_runs.insert().values(run_row(new)))
            _reserve(db, run.project_id, money.held)
            self._enqueue(db, new.project_id, new.film_id, new.run, new.leg)
            return new, [Change(project_id=new.project_id, job_id=new.key)]

        return await self._jobs.write(work, project_id=run.project_id)

    async def last(self, project_id: str, film_id: str) -> FilmRun | None:
        """Returns the newest run of a film; None if it has none."""
        return await self._database.fetch(lambda db: _last(db, project_id, film_id))

    async def claim(self, project_id: str, film_id: str, run: int, *, leg: int, token: str) -> FilmRun | None:
        """Makes an execution the owner of a run's leg; returns the run, or None if nothing is left for it to do."""

        def edit(old: FilmRun) -> FilmRun:
            if old.leg != leg or old.ended or old.state is RunState.AWAITING_APPROVAL:
                raise Superseded(old.key)
            return replace(old, execution=token, replica=self._replica_id)

        try:
            return await self._write(project_id, film_id, run, edit)
        except (Superseded, RunNotFound):
            return None

    async def snapshot(self, run: FilmRun) -> Snapshot:
        """Returns the run as it is by now, with the outputs of its film and their jobs. Raises RunNotFound."""

        def read(db: sa.Connection) -> Snapshot:
            query = sa.select(film_outputs).where(*_of(film_outputs, run.project_id, run.film_id))
            outputs = [
                output_of(row)
                for row in db.execute(query.order_by(film_outputs.c.made_at, film_outputs.c.take)).mappings()
            ]
            # By the film's jobs, which an index has, and not by thousands of ids.
            children = sa.select(jobs).where(jobs.c.project_id == run.project_id, jobs.c.film_id == run.film_id)
            found = {row["job_id"]: job_from_row(row) for row in db.execute(children).mappings()}
            present = _get(db, run.project_id, run.film_id, run.run)
            outputs.sort(key=lambda output: output.source is not None)
            return Snapshot(run=present, outputs=tuple(outputs), jobs=found)

        return await self._database.read_in_turn(read, owner=run.project_id)

    async def accept(self, run: FilmRun, children: Sequence[NewChild]) -> Accepting:
        """Accepts jobs in their order until one is refused, each as the next take that can deliver its file.

        A job of the same take that is under way, or has its file, is taken as it is. None is accepted for a run that
        somebody has ended meanwhile. Raises Superseded.
        """

        def work(db: sa.Connection) -> tuple[Accepting, list[Change]]:
            lock_project(db, run.project_id, self._clock())
            present = _get(db, run.project_id, run.film_id, run.run)
            if (present.execution, present.leg) != (run.execution, run.leg):
                raise Superseded(run.key)
            if present.state is not RunState.RUNNING:
                return Accepting(accepted=0), []
            changes: list[Change] = []
            for number, child in enumerate(children):
                try:
                    changes += self._accept(db, present, child)
                except JobError as exc:
                    return Accepting(accepted=number, refused=exc), changes
            return Accepting(accepted=len(children)), changes

        return await self._jobs.write(work, project_id=run.project_id)

    def _accept(self, db: sa.Connection, run: FilmRun, child: NewChild) -> list[Change]:
        key = film_takes.c.project_id == run.project_id, film_takes.c.base == child.base
        known = db.execute(sa.select(film_takes.c.take).where(*key)).scalar()
        take = max((known or 1) + child.lost, run.takes.get(child.base, 1))
        while not _usable(db, run.project_id, request_id(digest_of(child.base, take))):
            take += 1
        digest = digest_of(child.base, take)
        request = replace(
            child.request, request_id=request_id(digest), digest=digest, film_id=run.film_id, film_run=run.run
        )
        job, changes = self._jobs.accept_in(
            db,
            request=request,
            job_id=child.job_id,
            estimated_millicredits=child.estimated_millicredits,
            inline={},
        )
        values = {"item_id": child.item_id, "output": child.kind.value, "base": child.base, "take": take}
        row = {
            **values,
            "project_id": run.project_id,
            "film_id": run.film_id,
            "digest": digest,
            "basis": {member.value: value for member, value in child.basis.items()},
            "run": run.run,
            "job_id": job.job_id,
            "scene_id": request.scene_id,
        }
        if not insert_new(db, film_outputs, row):
            again = (*_of(film_outputs, run.project_id, run.film_id), film_outputs.c.digest == digest)
            db.execute(film_outputs.update().where(*again).values(run=run.run))
        if known is None:
            db.execute(film_takes.insert().values(project_id=run.project_id, base=child.base, take=take))
        elif known != take:
            db.execute(film_takes.update().where(*key).values(take=take))
        return changes

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
        one = (*_of(film_outputs, run.project_id, run.film_id), film_outputs.c.digest == output.digest)

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

    async def command(self, project_id: str, film_id: str, run: int, edit: Edit) -> FilmRun:
        """Changes a run for a caller of the API. Raises RunNotFound, ProjectCreditsExceeded, what `edit` raises."""
        return await self._write(project_id, film_id, run, edit, external=True)

    async def _write(self, project_id: str, film_id: str, run: int, edit: Edit, *, external: bool = False) -> FilmRun:
        work = partial(self._change, project_id=project_id, film_id=film_id, run=run, edit=edit, external=external)
        return await self._jobs.write(work, project_id=project_id)

    def _change(
        self, db: sa.Connection, *, project_id: str, film_id: str, run: int, edit: Edit, external: bool
    ) -> tuple[FilmRun, list[Change]]:
        now = self._clock()
        lock_project(db, project_id, now)
        old = _get(db, project_id, film_id, run)
        new = edit(old)
        if new == old:
            return old, []
        if new.state is not old.state and new.state not in MOVES[old.state]:
            raise ValueError(f"a run that is {old.state} cannot become {new.state}")
        more = new.money.held - old.money.held
        if more > 0:
            ledger.check(self._jobs.cap(project_id), ledger.totals(db, project_id), more)
        _reserve(db, project_id, more)
        now = max(now, old.updated_at)
        seen = replace(new, execution=old.execution, replica=old.replica) != old
        ended = now if new.ended and not old.ended else new.ended_at
        new = replace(new, revision=old.revision + seen, updated_at=now, ended_at=ended)
        row = film_runs.c.run == run
        db.execute(film_runs.update().where(*_of(film_runs, project_id, film_id), row).values(run_row(new)))
        if new.leg != old.leg:
            self._enqueue(db, project_id, film_id, run, new.leg)
        return new, [Change(project_id=project_id, job_id=new.key, external=external)]


def _reserve(db: sa.Connection, project_id: str, millicredits: int) -> None:
    """Adds what a run holds, or takes off what it no longer does, to what the project has reserved."""
    if millicredits:
        amounts = {"reserved": millicredits, "confirmed": 0, "bounded": 0}
        db.execute(ADD_CREDITS, {"of_project": project_id, **amounts})


def _usable(db: sa.Connection, project_id: str, request: str) -> bool:
    """Returns whether this request may still make a job, or has made one that is under way or has made its file."""
    query = sa.select(requests.c.job_id, jobs.c.state).select_from(
        requests.outerjoin(jobs, jobs.c.job_id == requests.c.job_id)
    )
    row = db.execute(query.where(requests.c.project_id == project_id, requests.c.request_id == request)).one_or_none()
    if row is None:
        return True
    # A job that is no longer kept has no state.
    return row.state is not None and (row.state == State.SUCCEEDED or State(row.state) not in FINAL)


def _last(db: sa.Connection, project_id: str, film_id: str) -> FilmRun | None:
    query = sa.select(film_runs).where(*_of(film_runs, project_id, film_id)).order_by(film_runs.c.run.desc()).limit(1)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else run_of(row)


def _get(db: sa.Connection, project_id: str, film_id: str, run: int) -> FilmRun:
    query = sa.select(film_runs).where(*_of(film_runs, project_id, film_id), film_runs.c.run == run)
    row = db.execute(query).mappings().one_or_none()
    if row is None:
        raise RunNotFound(f"the film {project_id}/{film_id} has no run {run}")
    return run_of(row)


def _of(table: sa.Table, project_id: str, film_id: str) -> "tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]":
    return table.c.project_id == project_id, table.c.film_id == film_id
