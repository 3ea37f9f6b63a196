"""What callers that are refused cost the others: jobs accepted a second beside callers who are refused each time."""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from statistics import median

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.model.errors import RequestReused
from evergreen_server.jobs.store.jobs import JobStore
from tests.benchmarks.machine import table
from tests.jobs.tools import request_at
from tests.postgres import any_postgres

GOOD = 32
REFUSED = (0, 1, 4, 16)
AIM = 0.9


async def accepted(store: JobStore, refused: int, seconds: float, numbers: "count[int]") -> float:
    """Gives how many jobs were accepted a second."""
    now, done = datetime.now(UTC), 0
    until = time.monotonic() + seconds

    async def call(project: str, request_id: str = "") -> None:
        nonlocal done
        while time.monotonic() < until:
            number = next(numbers)
            asked = replace(
                request_at(now), project_id=project, request_id=request_id or f"{number}", digest=f"{number}"
            )
            with suppress(RequestReused):
                await store.accept(asked, job_id=f"job-{number}", estimated_millicredits=1, inline={})
                done += 1

    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(GOOD):
            group.create_task(call(f"film-{number % 4}"))
        for number in range(refused):
            # In projects of the others, with whom they share commits.
            group.create_task(call(f"film-{number % 4}", "the same"))
    return done / (time.monotonic() - begun)


async def measure(rounds: int, seconds: float) -> None:
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
                found: dict[int, list[float]] = {refused: [] for refused in REFUSED}
                for turn in range(rounds + 1):
                    # Forth and back, since a table that grows, and a machine that tires, would favour the first.
                    for refused in REFUSED if turn % 2 else reversed(REFUSED):
                        found[refused].append(await accepted(store, refused, seconds, numbers))
            # The first round warms up.
            pairs = {
                refused: [b / a for a, b in zip(found[0][1:], found[refused][1:], strict=True)] for refused in REFUSED
            }
            rows += [
                [
                    f"{name}, {refused} refused",
                    f"{median(found[refused][1:]):,.0f}",
                    f"{median(pairs[refused]):.2f}",
                    " ".join(f"{each:.2f}" for each in pairs[refused]),
                ]
                for refused in REFUSED
            ]
    table(
        f"refusals: jobs accepted a second by {GOOD} callers, beside callers who are refused each time",
        ["", "accepted/s", "of with none", "each round"],
        rows,
        f"aim: {AIM} or more beside 4",
    )


def run(*, quick: bool) -> None:
    asyncio.run(measure(*((3, 1.0) if quick else (5, 2.0))))
