"""The provider's tasks that were made for jobs. Each is paid for, so its id is kept, whichever execution owns the job.

A task is NEW until its job takes it as its own. One that comes too late for that, since the job went on without it,
is SURPLUS until it has ended at the provider.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.queries import INSERT_TASK, SET_ROLE
from evergreen_server.jobs.db.schema import UNSETTLED, jobs, provider_tasks
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import State, TaskRole
from evergreen_server.jobs.model.transitions import attached, unsent
from evergreen_server.jobs.store import ledger
from evergreen_server.jobs.store.jobs import Edit, JobStore
from evergreen_server.ports.audit import Note


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeTask:
    """A task as it was recorded, with the attempt and the token of the POST that made it."""

    task_id: str
    job_id: str
    attempt: int
    submit_token: str
    role: TaskRole
    project_id: str = ""
    """Of the job; empty where it is not needed."""


class TaskRecords:
    """Reads and writes the records. Each method is one transaction."""

    def __init__(self, *, database: Database, store: JobStore, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    async def record(self, job: Job, task_id: str, estimated: int | None) -> None:
        """Records a task that was just paid for. Neither a fencing token nor a lock can prevent this."""
        row = self._row(job, task_id, estimated)
        await self._database.write(lambda db: INSERT_TASK.run(db, row))

    async def of(self, job: Job) -> str:
        """Returns the id of the task recorded for this attempt, or an empty string."""
        query = sa.select(provider_tasks.c.task_id).where(
            provider_tasks.c.job_id == job.job_id,
            provider_tasks.c.attempt == job.attempt,
            provider_tasks.c.role.in_([TaskRole.NEW, TaskRole.OWN]),
        )
        return await self._database.fetch(lambda db: db.execute(query).scalar() or "")

    async def withdraw_intent(self, intended: Job) -> None:
        """Withdraws the intent of an execution that lost its job, and whose POST surely created nothing.

        The execution that owns the job now submits it again, whether it is still searching for a task or has given up.
        Not the fencing token but the token of that one POST protects this: no other intent is ever withdrawn.
        """

        def edit(job: Job) -> Job:
            same = (job.attempt, job.submit_token) == (intended.attempt, intended.submit_token)
            return unsent(job) if same and not job.final and not job.task_id else job

        await self._store.command(intended.job_id, edit)

    async def attach(self, job_id: str, task_id: str, edit: Edit, note: Note | None = None) -> Job | None:
        """Changes a job and records a task as its own; returns None if the task belongs to a job already."""

        def work(db: sa.Connection) -> tuple[Job | None, list[Change]]:
            job, changes = self._store.apply(db, job_id, edit, external=True, note=note)
            if not INSERT_TASK.run(db, {**self._row(job, task_id, None), "role": TaskRole.OWN.value}):
                owner = sa.select(provider_tasks.c.job_id).where(provider_tasks.c.task_id == task_id)
                if db.execute(owner).scalar_one() != job_id:
                    raise _Taken
            return job, changes

        try:
            return await self._store.write(work)
        except _Taken:
            return None

    async def reconcile(self, task: MadeTask) -> TaskRole:
        """Attaches a late task to its job, if that still waits for it; otherwise it is SURPLUS. Returns its role."""
        role = TaskRole.NEW

        def edit(job: Job) -> Job:
            nonlocal role
            role = TaskRole.NEW
            if job.task_id == task.task_id:
                role = TaskRole.OWN
                return job
            waits = (
                not job.final
                and not job.task_id
                and (job.attempt, job.submit_token)
                == (
                    task.attempt,
                    task.submit_token,
                )
            )
            if waits and job.state is not State.NEEDS_ATTENTION:
                # The execution that owns the job will find it.
                return job
            if waits:
                role = TaskRole.OWN
                return attached(job, task.task_id)
            role = TaskRole.SURPLUS
            text = f"task {task.task_id} of attempt {task.attempt} came to light late; it is deleted at the provider"
            return job if job.final else job.warned("SURPLUS_TASK", text)

        def work(db: sa.Connection) -> tuple[TaskRole, list[Change]]:
            job, changes = self._store.apply(db, task.job_id, edit, external=True)
            if role is TaskRole.SURPLUS:
                ledger.surplus(db, job, task.attempt, task.task_id, self._clock())
            _set_role(db, task.task_id, role)
            return role, changes

        return await self._store.write(work)

    async def orphans(self, *, older_than: timedelta) -> list[MadeTask]:
        """Returns the tasks that are SURPLUS, or NEW for longer than settling an answer takes."""
        now = self._clock()
        # A time in the future is old, too: the clock has since been set back.
        young = provider_tasks.c.created_at.between(to_micros(now - older_than), to_micros(now + older_than))
        query = (
            sa.select(provider_tasks, jobs.c.project_id)
            .outerjoin(jobs, jobs.c.job_id == provider_tasks.c.job_id)
            .where(
                UNSETTLED,
                sa.or_(
                    provider_tasks.c.role == TaskRole.SURPLUS.value,
                    sa.and_(provider_tasks.c.role == TaskRole.NEW.value, sa.not_(young)),
                ),
            )
        )
        return await self._database.read(
            lambda db: [
                MadeTask(
                    task_id=row.task_id,
                    job_id=row.job_id,
                    attempt=row.attempt,
                    submit_token=row.submit_token,
                    role=TaskRole(row.role),
                    project_id=row.project_id or "",
                )
                for row in db.execute(query)
            ]
        )

    async def ended(self, task: MadeTask) -> None:
        """Records that a surplus task has ended."""
        await self._database.write(lambda db: _set_role(db, task.task_id, TaskRole.ENDED))

    def _row(self, job: Job, task_id: str, estimated: int | None) -> dict[str, object]:
        return {
            "task_id": task_id,
            "job_id": job.job_id,
            "attempt": job.attempt,
            "submit_token": job.submit_token,
            "estimated_millicredits": job.estimated_millicredits if estimated is None else estimated,
            "role": TaskRole.NEW.value,
            "created_at": to_micros(self._clock()),
        }


class _Taken(Exception):
    """The task belongs to a job; the transaction is rolled back."""


def _set_role(db: sa.Connection, task_id: str, role: TaskRole) -> None:
    SET_ROLE.run(db, {"of_task": task_id, "role": role.value})
