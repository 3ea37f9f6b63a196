"""`python -m tests.webhooks.kills --kills 500` kills what expands and sends, between any two of its steps.

Each worker makes events and webhooks, expands, sends and records, until it kills itself: before or after the step that
was chosen for it, before a commit, or at any moment. On SQLite one works at a time, on PostgreSQL three. In the end
each webhook must have been told of each event that came after it at least once, under one id and with the same bytes,
and of none from before it. Ends with an error otherwise.
"""

import argparse
import asyncio
import multiprocessing
import random
import signal
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import sqlalchemy as sa
from aiohttp import web

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.schema import job_events
from tests.postgres import any_postgres
from tests.webhooks.office import Got, Receiver, receiving
from tests.webhooks.worker import LONGEST_RUN, POINTS, PROJECTS, Heads, work

CLAIM_SECONDS = 61.0
Running = dict[BaseProcess, tuple[str, Connection]]


@dataclass
class Storm:
    """What was done, and what the receiver was told."""

    url: str
    replicas: int
    receiver: Receiver
    chance: random.Random
    ahead: float = 0.0
    killed: Counter[str] = field(default_factory=Counter)
    before: dict[str, Heads] = field(default_factory=dict)
    after: dict[str, Heads] = field(default_factory=dict)

    async def run(self, kills: int) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.webhooks.worker"])
        points = [POINTS[number % len(POINTS)] for number in range(kills)]
        self.chance.shuffle(points)
        running: Running = {}
        while points or running:
            while points and len(running) < self.replicas:
                self.ahead += CLAIM_SECONDS
                self._start(context, running, points.pop())
            ended = await asyncio.to_thread(wait, [process.sentinel for process in running], LONGEST_RUN * 2)
            assert ended, "a worker hangs"
            for process in [process for process in running if process.sentinel in ended]:
                point, reports = running.pop(process)
                process.join()
                assert process.exitcode == -signal.SIGKILL, f"a worker ended by {process.exitcode} at {point}"
                self.killed[point] += 1
                self._read(reports)
        self.ahead += CLAIM_SECONDS
        self._start(context, running, "")
        [(last, _)] = running.items()
        await asyncio.to_thread(last.join, 600)
        assert last.exitcode == 0, "not all could be delivered"

    def _start(
        self,
        context: multiprocessing.context.ForkServerContext,
        running: dict[BaseProcess, tuple[str, Connection]],
        point: str,
    ) -> None:
        mine, its = context.Pipe(duplex=False)
        given = (self.url, self.receiver.url, self.chance.getrandbits(32), self.ahead, point, its)
        process = context.Process(target=work, args=given)
        process.start()
        its.close()
        running[process] = point, mine

    def _read(self, reports: Connection) -> None:
        with suppress(EOFError, OSError):
            while True:
                path, before, after = reports.recv()
                if before is not None:
                    self.before[path] = before
                if after is not None:
                    self.after[path] = after
        reports.close()

    async def verdict(self) -> dict[str, int]:
        """Counts what went wrong, and what was done."""
        async with open_database(self.url) as database:
            query = sa.select(job_events.c.project_id, job_events.c.revision)
            events = {tuple(row) for row in await database.read(lambda db: db.execute(query).all())}
        told: defaultdict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
        ids: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        bodies: defaultdict[tuple[str, int], set[bytes]] = defaultdict(set)
        for got in self.receiver.got:
            data = got.event["data"]
            key = data["job"]["projectId"], int(data["revision"])
            ids[key].add(got.message_id)
            bodies[key].add(got.body)
            told[got.path][key] += 1
        lost = older = 0
        for path, heads in self.before.items():
            older += sum(revision <= heads.get(project, 0) for project, revision in told[path])
        for path, heads in self.after.items():
            every = path.startswith("/every/")
            wanted = {
                (project, revision)
                for project, revision in events
                if revision > heads.get(project, 0) and (every or project == PROJECTS[0])
            }
            lost += len(wanted - told[path].keys())
        return {
            "kills": self.killed.total(),
            "events": len(events),
            "webhooks": len(self.before),
            "requests": len(self.receiver.got),
            "repeats": sum(counts.total() - len(counts) for counts in told.values()),
            "lost": lost,
            "older": older,
            "ids that changed": sum(len(each) > 1 for each in ids.values()),
            "bodies that changed": sum(len(each) > 1 for each in bodies.values()),
        }


WRONG = ("lost", "older", "ids that changed", "bodies that changed")


@asynccontextmanager
async def _receiver(chance: random.Random) -> AsyncIterator[Receiver]:
    async def answer(_got: Got) -> web.StreamResponse:
        await asyncio.sleep(chance.random() * 0.03)
        return web.Response(status=503 if chance.random() < 0.05 else 204)

    async with receiving(answer) as receiver:
        yield receiver


async def storm(url: str, *, replicas: int, kills: int, seed: int) -> dict[str, int]:
    """Kills workers on a database so many times, and returns what came of it."""
    chance = random.Random(seed)
    async with _receiver(chance) as receiver:
        raging = Storm(url=url, replicas=replicas, receiver=receiver, chance=chance)
        await raging.run(kills)
        found = await raging.verdict()
    assert found["events"] > 0
    assert found["requests"] > 0
    return found


async def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, any_postgres() as postgres:
        for name, url, replicas in (
            ("SQLite, one server", f"sqlite:///{Path(folder) / 'jobs.sqlite'}", 1),
            ("PostgreSQL, three servers", postgres.create(), 3),
        ):
            found = await storm(url, replicas=replicas, kills=asked.kills, seed=asked.seed)
            wrong += sum(found[each] for each in WRONG)
            print(f"{name}: " + ", ".join(f"{number} {what}" for what, number in found.items()), flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
