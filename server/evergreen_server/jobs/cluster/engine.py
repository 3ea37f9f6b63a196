"""The durable engine: DBOS Transact, imported here and for its queues alone.

It starts a workflow for each attempt of a job in the transaction that records the attempt, and starts it again after
a crash until it has returned. How far the job is stands in the job's row.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import ParamSpec
from uuid import uuid4

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from evergreen_server.jobs.cluster.calm import calm_log
from evergreen_server.jobs.cluster.notifier import tell_to_look
from evergreen_server.jobs.cluster.queues import NEVER_SECONDS, PAUSES, Queues
from evergreen_server.jobs.db.connect import DatabaseUnusable
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.postgres import postgres_engine
from evergreen_server.jobs.model.job import Job

QUEUES = {"run_job": "jobs", "run_generation": "generations", "run_film": "films"}
"""The queue of each workflow. They stand in no table: every process takes from all that do, whether it knows their
workflows or not. The release before knows the first workflow alone, and lists its queue by itself."""
APPLICATION = "evergreen"
VERSION = "1"
"""Constant over releases: a release whose workflow differs uses DBOS.patch, so that old jobs go on."""

NOTICE_POLL_SECONDS = 0.1
"""Of messages to workflows, of which we send none: to stop takes so long on SQLite, and DBOS's own is a second."""
THREADS = 4
CONNECTIONS = 8
CLIENT_CONNECTIONS = 2
"""With those of our own and one that listens: a replica takes some 22 of the 100 that PostgreSQL allows by default."""
STOP_SECONDS = 10.0
TIMEOUTS = {"idle_in_transaction_session_timeout": "60s"}

P = ParamSpec("P")

logger = logging.getLogger(__name__)


RunJob = Callable[[str, int, int], Awaitable[None]]
"""Takes a job's id, attempt and restarts; returns when nothing is left to do."""
RunFilm = Callable[[str, str, int, int], Awaitable[None]]
"""Takes a project, a film, a run and its leg; returns when nothing is left to do, or somebody must decide."""


class Engine:
    """The engine of this process. There can be one at a time, since DBOS is one per process."""

    def __init__(self, database: Database, *, replica_id: str, pauses: tuple[float, float] = PAUSES) -> None:
        """Takes the id of this replica, new for each process on a shared database, else always the same; and how long
        the queues are left alone while nobody tells of anything.
        """
        self._database = database
        self._replica_id = replica_id
        self._client: DBOSClient | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._closing = False
        self._leaving: asyncio.Task[None] | None = None
        self._pools: list[sa.Engine] = []
        self.queues = Queues(QUEUES.values(), pauses)
        """To be told of changes, so that a workflow starts as soon as it was put into a queue."""

    def enqueue(self, db: sa.Connection, job: Job) -> str:
        """Starts the workflow of a job's attempt when the transaction of `db` commits. Returns the queue's name."""
        options: EnqueueOptions = {
            "workflow_name": (name := _workflow(job)),
            "queue_name": QUEUES[name],
            "workflow_id": workflow_id(job),
            "app_version": VERSION,
        }
        self._opened().enqueue_in_transaction(db, options, job.job_id, job.attempt, job.restarts)
        return options["queue_name"]

    def enqueue_film(self, db: sa.Connection, project_id: str, film_id: str, run: int, leg: int) -> str:
        """Starts the workflow of a leg of a film's run when the transaction of `db` commits. Returns its queue."""
        options: EnqueueOptions = {
            "workflow_name": "run_film",
            "queue_name": QUEUES["run_film"],
            # A film that was deleted and made again counts its runs anew, and no id may be used twice.
            "workflow_id": f"{project_id}/{film_id}.{run}.{leg}.{uuid4().hex[:12]}",
            "app_version": VERSION,
        }
        self._opened().enqueue_in_transaction(db, options, project_id, film_id, run, leg)
        return options["queue_name"]

    def pending(self, replica_ids: Sequence[str] | None) -> list[tuple[str, str]]:
        """Returns (workflow, replica) of what runs on these replicas, or on any. Blocks."""
        found = self._opened().list_workflows(
            status="PENDING",
            executor_id=None if replica_ids is None else list(replica_ids),
            load_input=False,
            load_output=False,
        )
        return [(workflow.workflow_id, workflow.executor_id or "") for workflow in found]

    def requeue(self, workflow_ids: Sequence[str]) -> None:
        """Puts workflows back into the queue; those that have ended are left alone. Blocks."""
        client = self._opened()
        found = client.list_workflows(workflow_ids=list(workflow_ids), load_input=False, load_output=False)
        for name, queue in QUEUES.items():
            if mine := [workflow.workflow_id for workflow in found if workflow.name == name]:
                client.resume_workflows(mine, queue_name=queue)
                self.queues.wake([queue])

    def forget_ended(self, before: datetime, most: int) -> int:
        """Removes workflows that ended before a time, `most` at once, and returns how many. Blocks."""
        found = self._opened().list_workflows(
            status=["SUCCESS", "ERROR", "CANCELLED"],
            completed_before=before.isoformat(),
            limit=most,
            load_input=False,
            load_output=False,
        )
        if found:
            self._opened().delete_workflows([workflow.workflow_id for workflow in found])
        return len(found)

    def _opened(self) -> DBOSClient:
        if self._client is None:
            raise RuntimeError("the engine is not open")
        return self._client

    @asynccontextmanager
    async def open(self, run_job: RunJob, run_film: RunFilm) -> AsyncIterator[None]:
        """Starts the engine, which resumes what an earlier process left; on exit stops its workflows, then itself.

        On a shared database what it stopped goes back into the queue, for the other replicas.
        It records starts and ends of workflows in the loop's default executor, so nothing that may hang may run there.
        """

        try:
            await asyncio.to_thread(self._prepare)
            # DBOS keeps its registration on the function, so that each workflow has one of its own.
            for name, work in (
                ("run_job", self._owned(run_job)),
                ("run_generation", self._owned(run_job)),
                ("run_film", self._owned(run_film)),
            ):
                DBOS.workflow(name=name, max_recovery_attempts=None)(work)
            # In the loop's own thread, so that DBOS runs the workflows on this loop.
            self._loop = asyncio.get_running_loop()
            DBOS.launch()
            yield
        finally:
            await self.leave()
            client, self._client = self._client, None
            if client is not None:
                await asyncio.to_thread(client.destroy)
            for pool in self._pools:
                # What one of DBOS's threads has still taken out would go back to nobody, and stay open.
                sa.event.listen(pool, "checkin", _shut)
                pool.dispose()

    def _owned(self, run: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
        """Returns a workflow that runs as a task which the engine stops."""

        async def work(*args: P.args, **kwargs: P.kwargs) -> None:
            if asyncio.get_running_loop() is not self._loop:
                # DBOS takes one of its own where ours does not run at that moment, as between two tests.
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(*args, **kwargs), self._loop))
                return
            if self._closing:
                # Taken from the queue while the engine stops: left pending, for the next process to resume.
                raise asyncio.CancelledError
            task = asyncio.current_task()
            assert task is not None
            self._running.add(task)
            try:
                await run(*args, **kwargs)
            finally:
                self._running.discard(task)

        return work

    async def leave(self) -> None:
        """Stops every workflow here, starts no more, and on a shared database hands all over; a second call waits.

        Jobs can still be accepted: the next process or another replica runs them.
        """
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave(), name="engine leaves")
        await asyncio.shield(self._leaving)

    async def _leave(self) -> None:
        self._closing = True
        calm_log(level=logging.ERROR)  # else it warns of every run that is stopped here
        stopping = set(self._running)
        for task in stopping:
            task.cancel()
        if stopping:
            await asyncio.wait(stopping, timeout=STOP_SECONDS)
        await self._close()

    def _prepare(self) -> None:
        calm_log()
        serializer = DBOSPortableJSONSerializer()
        own, clients = self._connected(CONNECTIONS), self._connected(CLIENT_CONNECTIONS)
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": self._database.url,
            "serializer": serializer,
            "application_version": VERSION,
            "executor_id": self._replica_id,
            "max_executor_threads": THREADS,
            "sys_db_pool_size": CONNECTIONS,
            "system_database_engine": own,
            "log_level": "WARNING",
            "scheduler_polling_interval_sec": NEVER_SECONDS,
            "notification_listener_polling_interval_sec": NOTICE_POLL_SECONDS,
        }
        try:
            DBOS.migrate(self._database.url)
        except SQLAlchemyError as exc:
            cause = str(getattr(exc, "orig", exc)).partition("\n")[0]
            raise DatabaseUnusable(f"the engine's tables cannot be made: {cause}") from exc
        self._client = DBOSClient(
            system_database_url=self._database.url,
            serializer=serializer,
            application_name=APPLICATION,
            system_database_pool_size=CLIENT_CONNECTIONS,
            system_database_engine=clients,
        )
        self.queues.register(DBOS(config=config))

    async def _close(self) -> None:
        self.queues.close()
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        if self._client is not None and self._database.shared:
            await asyncio.to_thread(self._hand_over)

    def _connected(self, connections: int) -> sa.Engine | None:
        """Returns an engine whose unusable connections are dropped, as those of our own pool are."""
        if not self._database.shared:
            return None
        engine = postgres_engine(self._database.url, connections=connections, timeouts=TIMEOUTS)
        self._pools.append(engine)
        return engine

    def _hand_over(self) -> None:
        """Puts back into the queue what still counts as running here, once nothing can be started here any more."""
        try:
            if not (left := self.pending([self._replica_id])):
                return
            self.requeue([workflow for workflow, _ in left])
        except SQLAlchemyError as exc:
            # The others find it, once the lease has run out.
            logger.warning("jobs not handed over", extra={"cause": type(exc).__name__})
            return
        # Untold they find it all the same, when they look by themselves.
        with suppress(SQLAlchemyError):
            self._database.transact(partial(tell_to_look, replica_id=self._replica_id))


def _shut(connection: DBAPIConnection | None, _record: ConnectionPoolEntry) -> None:
    if connection is not None:
        connection.close()


def _workflow(job: Job) -> str:
    return "run_generation" if job.widened else "run_job"


def workflow_id(job: Job) -> str:
    """Returns the name of a job's workflow: its attempt, and its restarts where there are any."""
    return f"{job.job_id}.{job.attempt}" + (f".{job.restarts}" if job.restarts else "")
