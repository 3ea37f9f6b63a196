"""What it costs to record who did what: jobs accepted a second with the entry of their caller, and without one."""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from statistics import median

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.ports.audit import Action, Note, Origin
from tests.benchmarks.machine import table
from tests.jobs.tools import request_at
from tests.postgres import any_postgres

CALLERS = 32
AIM = 1.1
NOTE = Origin(caller="studio", call_id="4bf92f3577b34da6a3ce929d0e0e4736", address="192.0.2.7").did(Action.GENERATE)


async def seconds_of(store: JobStore, note: Note | None, number: int, numbers: "count[int]") -> float:
    """Gives the seconds in which so many jobs are accepted."""
    now = datetime.now(UTC)

    async def call(project_id: str) -> None:
        for _ in range(number // CALLERS):
            each = f"{next(numbers)}"
            asked = replace(request_at(now), project_id=project_id, request_id=each, digest=each)
            await store.accept(asked, job_id=f"job-{each}", estimated_millicredits=1, inline={}, note=note)

    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for caller in range(CALLERS):
            group.create_task(call(f"film-{caller % 4}"))
    return time.monotonic() - begun


async def measure(rounds: int, number: int) -> None:
    rows = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(any_postgres(synced=True))
        for name, url in (("SQLite", f"sqlite:///{folder / 'jobs.sqlite'}"), ("PostgreSQL", postgres.create())):
            async with open_database(url) as database:
                store = JobStore(
                    database=database,
                    replica_id="local",
                    clock=lambda: datetime.now(UTC),
                    encode_event=lambda _kind, _job, _at: b"event",
                    enqueue=lambda _db, _job: None,
                    changed=lambda _changes: None,
                )
                numbers = count()
                without, noted = list[float](), list[float]()
                for turn in range(rounds + 1):
                    # Forth and back, since a table that grows, and a machine that tires, would favour the first.
                    for note, found in ((None, without), (NOTE, noted))[:: 1 if turn % 2 else -1]:
                        found.append(await seconds_of(store, note, number, numbers))
            # The first round warms up.
            ratios = [b / a for a, b in zip(without[1:], noted[1:], strict=True)]
            rows.append(
                [
                    name,
                    f"{number / median(without[1:]):,.0f}",
                    f"{number / median(noted[1:]):,.0f}",
                    f"{median(ratios):.2f}",
                    " ".join(f"{each:.2f}" for each in ratios),
                ]
            )
    table(
        f"audit: jobs accepted a second by {CALLERS} callers, without and with an entry of who asked",
        ["", "without", "with", "time of without", "each round"],
        rows,
        f"aim: {AIM} or less of the time",
    )


def run(*, quick: bool) -> None:
    asyncio.run(measure(*((5, 960) if quick else (9, 1920))))
