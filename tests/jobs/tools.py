"""A store, a request and tools for tests of single steps, without a server around them."""

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.execution.context import Limits, Places, StepContext
from evergreen_server.jobs.execution.kinds.videos import VideoDeliverer
from evergreen_server.jobs.execution.polling.schedule import Pace
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.jobs.model.states import EventKind
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.ledger import UNCAPPED, Caps
from evergreen_server.jobs.wakeups import Wakeups
from evergreen_server.ports.specs import GenerationSpec, MediaKind

StoreT = TypeVar("StoreT", bound=JobStore)


def store_of(
    database: Database,
    *,
    clock: Callable[[], datetime],
    changed: Callable[[Sequence[Change]], None] = lambda _changes: None,
    enqueue: Callable[[sa.Connection, Job], str] = lambda _db, _job: "",
    refuse: Callable[[sa.Connection, JobRequest], None] = lambda _db, _request: None,
    encode_event: Callable[[EventKind, Job, datetime], bytes] = lambda _kind, _job, _at: b"",
    caps: Caps = UNCAPPED,
    kind: type[StoreT] = JobStore,  # type: ignore[assignment] # which is what is made where nothing else is asked for
) -> StoreT:
    """A store whose jobs nobody runs."""
    return kind(
        database=database,
        replica_id="local",
        clock=clock,
        encode_event=encode_event,
        enqueue=enqueue,
        changed=changed,
        refuse=refuse,
        caps=caps,
    )


def request_at(now: datetime) -> JobRequest:
    """A request that needs no media."""
    return JobRequest(
        project_id="film",
        scene_id="scene-1",
        request_id="one",
        digest="",
        spec=GenerationSpec(model="gen4.5", prompt_text="a rocket rises", duration_seconds=2),
        start_by=now + timedelta(hours=1),
    )


def context_of(store: JobStore, **given: object) -> StepContext:
    """Tools of which there are only those that are `given`, and what needs nothing else."""
    usual = {
        "tasks": None,
        "provider": None,
        "models": None,
        "media": None,
        "scenes": None,
        "scheduler": None,
        "wakeups": Wakeups(),
        "progress": None,
        "durations": None,
        "pace": Pace(),
        "limits": Limits(),
        "random": random.Random(1),
        "clock": lambda: datetime.now(UTC),
        "monotonic": time.monotonic,
        "shield": None,
        "places": Places(),
        "files": None,
        "temp_dir": None,
        "lease_check": lambda: lambda: None,
    }
    deliverers = {MediaKind.VIDEO: VideoDeliverer(given.get("media"))}
    return StepContext(store=store, **{**usual, "deliverers": deliverers, **given})


@contextmanager
def away(database: Database) -> Iterator[None]:
    """Has every statement fail as it does where the server cannot be reached."""

    def refuse(*_: object) -> None:
        raise sa.exc.OperationalError("a statement", None, ConnectionError("no server"))

    sa.event.listen(database.engine, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", refuse)


class Said(logging.Handler):
    """The messages that were logged, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self._levels: defaultdict[str, set[str]] = defaultdict(set)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        self._levels[record.getMessage()].add(record.levelname)
        self._loop.call_soon_threadsafe(self._news.set)

    def levels(self, message: str) -> set[str]:
        """Returns the levels at which it was logged."""
        return self._levels[message]

    async def until(self, message: str) -> None:
        async with asyncio.timeout(60):
            while message not in self.messages:
                self._news.clear()
                await self._news.wait()
