"""The engine's queues: looked into when somebody tells of something in them, else hardly ever."""

import asyncio
import threading

import pytest

from evergreen_server.jobs.cluster.engine import Engine, workflow_id
from evergreen_server.jobs.cluster.notifier import Notifier
from evergreen_server.jobs.cluster.queues import WokenQueue
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.model.change import Change
from tests.jobs.cluster.test_engine import job, no_films
from tests.postgres import Postgres

NEVER = (3600.0, 3600.0)
"""Pauses in which no test finds anything by itself."""


class Ran:
    """Jobs that ran, in order."""

    def __init__(self) -> None:
        self.job_ids: list[str] = []
        self._more = asyncio.Event()

    async def run(self, job_id: str, _attempt: int, _restarts: int) -> None:
        self.job_ids.append(job_id)
        self._more.set()

    async def until(self, *job_ids: str) -> None:
        async with asyncio.timeout(60):
            while self.job_ids != [*job_ids]:
                await self._more.wait()
                self._more.clear()


async def put(database: Database, engine: Engine, job_id: str) -> Change:
    queue = await database.write(lambda db: engine.enqueue(db, job(job_id)))
    return Change(project_id="film", job_id=job_id, enqueued=queue)


async def test_what_is_put_into_a_queue_starts_when_it_is_told_of_and_not_at_the_next_look(database_url: str) -> None:
    ran = Ran()
    async with open_database(database_url) as database:
        engine = Engine(database, replica_id="local", pauses=NEVER)
        async with engine.open(ran.run, no_films):
            for number in range(3):
                engine.queues.on_changes([await put(database, engine, f"job-{number}")])
                await ran.until(*(f"job-{each}" for each in range(number + 1)))


@pytest.mark.parametrize("tell", ["another's change", "missed notifications", "what is put back"])
async def test_what_may_be_in_a_queue_is_found_soon(database_url: str, tell: str) -> None:
    ran = Ran()
    async with open_database(database_url) as database:
        engine = Engine(database, replica_id="local", pauses=NEVER)
        async with engine.open(ran.run, no_films):
            await put(database, engine, "job-1")
            if tell == "another's change":
                engine.queues.on_changes([Change(project_id="film", job_id="")])
            elif tell == "missed notifications":
                engine.queues.look_soon()
            else:
                await asyncio.to_thread(engine.requeue, [workflow_id(job("job-1"))])
            await ran.until("job-1")


async def test_what_nobody_told_of_is_found_all_the_same(database_url: str) -> None:
    ran = Ran()
    async with open_database(database_url) as database:
        engine = Engine(database, replica_id="local")
        async with engine.open(ran.run, no_films):
            await put(database, engine, "job-1")
            await ran.until("job-1")


async def test_what_a_server_hands_over_is_found_by_another_at_once(postgres: Postgres) -> None:
    begun, listening, told, ran = asyncio.Event(), asyncio.Event(), asyncio.Event(), Ran()

    async def hang(_job_id: str, _attempt: int, _restarts: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with open_database(postgres.create()) as database:
        leaving = Engine(database, replica_id="leaving", pauses=NEVER)
        notifier = Notifier(
            database=database, replica_id="staying", on_changes=lambda _: told.set(), on_resync=listening.set
        )
        async with asyncio.timeout(60), leaving.open(hang, no_films):
            listener = asyncio.create_task(notifier.listen())
            await listening.wait()
            leaving.queues.on_changes([await put(database, leaving, "job-1")])
            await begun.wait()
            await leaving.leave()
            await told.wait()
            listener.cancel()
        staying = Engine(database, replica_id="staying", pauses=NEVER)
        async with staying.open(ran.run, no_films):
            # As its announcer does with every notification.
            staying.queues.on_changes([])
            await ran.until("job-1")


def test_a_queue_is_looked_into_anew_for_what_comes_while_it_is_looked_into() -> None:
    queue, looks = WokenQueue("jobs", NEVER), 0
    for _ in range(3):
        queue.wake()
        looks += not queue.database_backed_queue
    assert looks == 3

    waiting = threading.Thread(target=lambda: queue.database_backed_queue)
    waiting.start()
    queue.close()
    waiting.join(60)
    assert not waiting.is_alive()
