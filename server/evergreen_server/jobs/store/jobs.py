"""The job store: every change of a job, with its events, its money and its engine workflow, in one transaction.

One method, `apply`, writes all of it. It locks the project's row first, so a project's revisions
are gap-free and committed in order on every database.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeVar

import sqlalchemy as sa

from evergreen_server.jobs.db import queries
from evergreen_server.jobs.db.database import TRANSIENT_ERRORS, Database
from evergreen_server.jobs.db.mapping import life_to_row, request_to_row, to_micros
from evergreen_server.jobs.model import story
from evergreen_server.jobs.model.change import Change, Step, begins_stage
from evergreen_server.jobs.model.errors import JobNotFound, Superseded, WrongState
from evergreen_server.jobs.model.events import events_between
from evergreen_server.jobs.model.held import FilmCreditsExceeded
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.jobs.model.states import MOVES, EventKind, Slot, State, TaskRole
from evergreen_server.jobs.model.transitions import Claim, take_ownership
from evergreen_server.jobs.store import ledger
from evergreen_server.jobs.store.audit import record
from evergreen_server.jobs.store.backlog import Backlog
from evergreen_server.jobs.store.claims import ClaimBatcher, RowLocked
from evergreen_server.jobs.store.listing import labels_of
from evergreen_server.jobs.store.needs import named_by, needs_of
from evergreen_server.jobs.store.percentages import MOST, Progress, write_percentages
from evergreen_server.jobs.store.project_lock import lock_project, refuse_marked
from evergreen_server.jobs.store.projects import advance
from evergreen_server.jobs.store.reader import JobReader, find_request, get_job, get_life
from evergreen_server.ports.audit import Note

T = TypeVar("T")
Edit = Callable[[Job], Job]

logger = logging.getLogger(__name__)


class JobStore(JobReader):
    """Jobs as rows. Each method changes them in one transaction, and returns what that committed."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Callable[[], datetime],
        encode_event: Callable[[EventKind, Job, datetime], bytes],
        enqueue: Callable[[sa.Connection, Job], str],
        changed: Callable[[Sequence[Change]], None],
        replica_id: str,
        caps: ledger.Caps = ledger.UNCAPPED,
        backlog: Backlog | None = None,
        refuse: Callable[[sa.Connection, JobRequest], None] = lambda _db, _request: None,
    ) -> None:
        """`refuse` raises SceneBusy if a file that a request names is being replaced or deleted."""
        super().__init__(database, replica_id=replica_id)
        self._clock = clock
        self._encode_event = encode_event
        self._enqueue = enqueue
        self._changed = changed
        self._caps = caps
        self._backlog = backlog or Backlog(None)
        self._refuse = refuse
        self._claims = ClaimBatcher(database, replica_id=replica_id)

    async def accept(
        self,
        request: JobRequest,
        *,
        job_id: str,
        estimated_millicredits: int | None,
        inline: Mapping[str, bytes],
        note: Note | None = None,
    ) -> Job:
        """Records a job, its first event, its inline bytes, its reservation, its engine workflow, and who asked for it.

        The same request_id and body again returns the job that it made. Raises RequestReused for another body,
        JobDeleted if the job is no longer kept, SceneBusy if the scene, or a file that is named, is being deleted or
        replaced, PriceUnknown and ProjectCreditsExceeded by the project's cap, and QueueFull if too many jobs wait, of
        the project or in all.
        """
        accept = partial(self.accept_in, request=request, job_id=job_id, estimated_millicredits=estimated_millicredits)
        return await self.write(lambda db: accept(db, inline=inline, note=note), project_id=request.project_id)

    def accept_in(
        self,
        db: sa.Connection,
        *,
        request: JobRequest,
        job_id: str,
        estimated_millicredits: int | None,
        inline: Mapping[str, bytes],
        note: Note | None = None,
    ) -> tuple[Job, list[Change]]:
        """Does within a transaction what `accept` does, and raises what it raises, FilmCreditsExceeded besides.

        What it raises leaves nothing behind.
        """
        now = self._clock()
        revision = lock_project(db, request.project_id, now) + 1
        # Under the lock, so that of two that come at once the second finds the first one's job.
        existing = find_request(db, request.project_id, request.request_id, request.digest)
        if existing is not None:
            return existing, []
        for scene_id in sorted({request.scene_id, *(scene_id for scene_id, _ in named_by(request))}):
            refuse_marked(db, request.project_id, scene_id)
        self._refuse(db, request)
        ledger.check_first(db, request, estimated_millicredits, self._caps.of(request.project_id))
        self._backlog.admit(db, request.project_id)
        accepted = Job(
            job_id=job_id,
            request=request,
            revision=revision,
            estimated_millicredits=estimated_millicredits,
            stage_at=now,
            created_at=now,
            updated_at=now,
        )
        key = {"project_id": request.project_id, "request_id": request.request_id}
        queries.INSERT_REQUEST.run(db, {**key, "digest": request.digest, "job_id": job_id})
        queries.INSERT_JOB.run(db, {"job_id": job_id, **request_to_row(request), **life_to_row(accepted)})
        rows = [{"job_id": job_id, "digest": digest, "data": data} for digest, data in inline.items()]
        labels, needs = labels_of(job_id, request), needs_of(job_id, request)
        inserts = (queries.INSERT_INLINE, rows), (queries.INSERT_LABELS, labels), (queries.INSERT_NEEDS, needs)
        for insert, more in inserts:
            if more:
                db.execute(insert, more)
        self._write_events(db, [(EventKind.CREATED, accepted)], now, was=None)
        ledger.reserve(db, accepted, now)
        enqueued = self._enqueue(db, accepted)
        record(db, now, note, project_id=request.project_id, scene_id=request.scene_id, subject=job_id)
        lines = [story.accepted(accepted, note)]
        return accepted, [Change(project_id=request.project_id, job_id=job_id, enqueued=enqueued, lines=lines)]

    async def check_cap(self, project_id: str, estimated_millicredits: int | None) -> None:
        """Raises PriceUnknown, ProjectCreditsExceeded if a job of this price would be refused now."""
        cap = self._caps.of(project_id)
        if cap is not None:
            check = partial(ledger.check, cap, estimate=estimated_millicredits)
            await self._database.read(lambda db: check(ledger.totals(db, project_id)))

    async def claim(self, job_id: str, *, attempt: int, restarts: int, fencing_token: str) -> Job | None:
        """Makes the execution of this token the owner of the job; returns the job, or None if nothing is left to do."""
        claim = Claim(job_id=job_id, attempt=attempt, restarts=restarts, fencing_token=fencing_token)
        try:
            try:
                return await self._claims.claim(claim)
            except RowLocked:
                # Then wait for the transaction that is changing it.
                edit = partial(take_ownership, claim=claim, replica_id=self._replica_id)
                return await self.write(lambda db: self.apply(db, job_id, edit))
        except (Superseded, JobNotFound):
            # JobNotFound: the job has been removed, although its workflow was not recorded as ended.
            return None

    async def change(self, job: Job, edit: Edit, *, fencing_token: str, capped: Edit | None = None) -> Job:
        """Changes a job for the execution that owns it; `edit` gets the job as it is under the lock.

        If `edit` begins an attempt for which the project's cap has no room, `capped` is applied instead.
        Raises Superseded if another execution owns it by now, WrongState if `edit` makes a forbidden transition.
        """

        def fenced(current: Job) -> Job:
            if current.fencing_token != fencing_token:
                raise Superseded(job.job_id)
            return edit(current)

        work = partial(self.apply, job_id=job.job_id, edit=fenced, capped=capped, request=job.request)
        return await self.write(work, project_id=job.request.project_id)

    async def command(self, job_id: str, edit: Edit, note: Note | None = None) -> Job:
        """Changes a job for a caller of the API, whichever execution owns it; the note is recorded if that changes it.

        Raises JobNotFound, WrongState, and PriceUnknown, ProjectCreditsExceeded if the change begins an attempt for
        which the cap has no room.
        """
        project_id = await self._lane_of(job_id)
        work = partial(self.apply, job_id=job_id, edit=edit, external=True, project_id=project_id, note=note)
        return await self.write(work, project_id=project_id)

    async def _lane_of(self, job_id: str) -> str | None:
        """Returns the project with whose changes this one waits, rather than in a thread that others need."""
        return await self._database.fetch(lambda db: queries.PROJECT_OF.scalar(db, {"of_job": job_id}))

    async def flush(self, batch: Collection[Progress]) -> None:
        """Writes the progress of many jobs in few transactions, unless it is old or not from the job's owner."""
        ordered = sorted(batch, key=lambda item: (item.job.request.project_id, item.job.job_id))
        for start in range(0, len(ordered), MOST):
            part = ordered[start : start + MOST]

            def work(db: sa.Connection, part: Collection[Progress] = part) -> tuple[None, list[Change]]:
                return None, write_percentages(db, part, self._clock(), self._event_row)

            try:
                await self.write(work)
            except TRANSIENT_ERRORS:
                # A percentage may be lost, and nothing else may: the next poll brings a newer one.
                logger.warning("progress not written", exc_info=True)

    def cap(self, project_id: str) -> int | None:
        """Returns the most millicredits that a project may have reserved and spent; None for no limit."""
        return self._caps.of(project_id)

    async def write(
        self, work: Callable[[sa.Connection], tuple[T, list[Change]]], *, project_id: str | None = None
    ) -> T:
        """Runs one transaction as `Database.write`; the changes that it names are announced once it is committed."""
        future = self._database.write(work, project_id=project_id)
        # A callback behind a shield, not code after the `await`: the thread commits even if its caller was cancelled,
        # and then watchers and executions must be notified nevertheless.
        future.add_done_callback(self._announce)
        return (await asyncio.shield(future))[0]

    def _announce(self, future: "asyncio.Future[tuple[T, list[Change]]]") -> None:
        if not future.cancelled() and future.exception() is None and (changes := future.result()[1]):
            self._changed(changes)

    def apply(
        self,
        db: sa.Connection,
        job_id: str,
        edit: Edit,
        *,
        external: bool = False,
        capped: Edit | None = None,
        project_id: str | None = None,
        request: JobRequest | None = None,
        note: Note | None = None,
    ) -> tuple[Job, list[Change]]:
        """Changes a job within a transaction; `edit` gets the job as it is under the project's lock.

        The job's project is looked up, and its request read, unless they are given. The note is recorded if anything
        changes.
        If `edit` begins an attempt for which the project's cap has no room, `capped` is applied instead.
        Raises JobNotFound, WrongState, what `edit` raises, and without `capped` PriceUnknown, ProjectCreditsExceeded.
        """
        if request is not None:
            project_id = request.project_id
        if project_id is None:
            project_id = queries.PROJECT_OF.scalar(db, {"of_job": job_id})
        if project_id is None:
            raise JobNotFound(job_id)
        now = self._clock()
        revision = lock_project(db, project_id, now)
        # Its row too, since an execution claims it without the project's lock.
        if request is None:
            old = get_job(db, job_id, queries.LOCK_JOB)
        else:
            old = get_life(db, job_id, request, queries.LOCK_LIFE)
        # The times of a job never fall, even if the clock was set back.
        now = max(now, old.updated_at)
        new = edit(old)
        if new == old:
            # The caller may repeat a cancellation because its answer was lost; the notification may be lost, too.
            repeated = external and old.state is State.CANCELLING
            return old, [Change(project_id=project_id, job_id=job_id, external=True)] if repeated else []
        if new.attempt != old.attempt:
            try:
                ledger.check_attempt(db, old, new, self._caps.of(project_id))
            except (ledger.PriceUnknown, ledger.ProjectCreditsExceeded, FilmCreditsExceeded) as exc:
                if capped is None:
                    raise
                of_film = isinstance(exc, FilmCreditsExceeded)
                code = "FILM_CREDITS_EXCEEDED" if of_film else "PROJECT_CREDITS_EXCEEDED"
                new = capped(old).warned(code, f"there is no further attempt: {exc}")
        if new.state not in MOVES[old.state]:
            raise WrongState(old, f"a {old.state} job cannot become {new.state}", reason="WRONG_STATE")
        ended = now if new.final and not old.final else new.ended_at
        stage_at = now if begins_stage(old, new) else old.stage_at
        new = replace(new, updated_at=now, ended_at=ended, stage_at=stage_at)
        events = [
            (kind, replace(job, revision=revision + number, updated_at=now))
            for number, (kind, job) in enumerate(events_between(old, new), start=1)
        ]
        if events:
            new = self._write_events(db, events, now, was=old.state)
        row, queue, enqueued = life_to_row(new), "", ""
        given_back = old.slot is Slot.HELD and new.slot is Slot.WANTED
        if given_back or new.needs_slot is not old.needs_slot:
            new = replace(new, slot=new.needs_slot)
            row["slot"], queue = new.slot, "" if new.slot is Slot.HELD else new.request.spec.model
        # Otherwise left alone: the scheduler grants slots without the project's lock.
        queries.UPDATE_JOB.run(db, {"of_job": job_id, **row})
        ledger.follow(db, old, new, now)
        if new.final:
            queries.DELETE_INLINE.run(db, {"of_job": job_id})
            if needs_of(job_id, new.request):
                db.execute(queries.DELETE_NEEDS, {"of_job": job_id})
        elif (new.attempt, new.restarts) != (old.attempt, old.restarts):
            enqueued = self._enqueue(db, new)
        if new.task_id and new.task_id != old.task_id:
            queries.SET_ROLE.run(db, {"of_task": new.task_id, "role": TaskRole.OWN.value})
        record(db, now, note, project_id=project_id, scene_id=new.request.scene_id, subject=job_id)
        step = Step(old=old, new=new)
        lines = story.changed(old, new, note)
        return new, [
            Change(
                project_id=project_id,
                job_id=job_id,
                external=external,
                queue=queue,
                enqueued=enqueued,
                step=step,
                lines=lines,
            )
        ]

    def _write_events(
        self, db: sa.Connection, events: Sequence[tuple[EventKind, Job]], now: datetime, *, was: State | None
    ) -> Job:
        for kind, job in events:
            queries.INSERT_EVENT.run(db, self._event_row(kind, job, now))
        last = events[-1][1]
        advance(db, last, now, was=was)
        return last

    def _event_row(self, kind: EventKind, job: Job, now: datetime) -> dict[str, object]:
        return {
            "project_id": job.request.project_id,
            "revision": job.revision,
            "job_id": job.job_id,
            "kind": kind.value,
            "job_kind": job.request.spec.kind.value,
            "state": job.state.value,
            "event": self._encode_event(kind, job, now),
            "created_at": to_micros(now),
        }
