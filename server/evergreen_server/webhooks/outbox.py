"""Expands events into deliveries: under the lock of a project's cursor, in one transaction that moves it.

So a crash loses and doubles nothing. The writing of events costs nothing more than before: a commit only says that
there is something to expand.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.model.change import Change
from evergreen_server.webhooks import expansion
from evergreen_server.webhooks.expansion import Reader

__all__ = ["Outbox"]

GATHER_SECONDS: Final = 0.05
SWEEP_SECONDS: Final = 30.0
EVENTS_AT_ONCE: Final = 500
DELIVERIES_AT_ONCE: Final = 1000
"""About as many are inserted in one transaction, which other writers wait for."""
PROJECTS_AT_ONCE: Final = 500
AT_ONCE: Final = 4
"""Projects that are expanded at the same time: fewer than there are threads that write."""

logger = logging.getLogger(__name__)


class Outbox:
    """Expands the projects that change here, and every half minute all that are behind. `run` must run beside it.

    Any number of servers may do so: each project is expanded by one at a time.
    """

    def __init__(
        self,
        *,
        database: Database,
        reader: Reader,
        told: Callable[[Collection[str]], None],
        sweep_seconds: float = SWEEP_SECONDS,
        events_at_once: int = EVENTS_AT_ONCE,
        deliveries_at_once: int = DELIVERIES_AT_ONCE,
    ) -> None:
        """`told` is called with the webhooks that have got something to be sent."""
        self._events_at_once = events_at_once
        self._deliveries_at_once = deliveries_at_once
        self._database = database
        self._reader = reader
        self._told = told
        self._sweep_seconds = sweep_seconds
        self._changed: set[str] = set()
        self._new: set[str] = set()
        self._news = asyncio.Event()

    def on_commit(self, changes: Iterable[Change]) -> None:
        """Notes what this server has committed."""
        self._changed.update(change.project_id for change in changes)
        self._news.set()

    async def run(self) -> None:
        """Expands for as long as it is not cancelled."""
        loop = asyncio.get_running_loop()
        sweep_at = 0.0
        behind: Sequence[str] = ()
        while True:
            if not behind:
                await self._news_until(sweep_at)
            changed, self._changed = self._changed, set()
            self._news.clear()
            try:
                if loop.time() >= sweep_at:
                    wanted = await self._wanted(None)
                    sweep_at = loop.time() + self._sweep_seconds
                else:
                    wanted = await self._wanted(sorted(changed))
                # A step of each, also of those that have changed meanwhile, however far one is behind.
                behind = await self._step(list(dict.fromkeys([*wanted, *behind])))
            except* SQLAlchemyError as group:
                # The sweep finds it again.
                sweep_at, behind = 0.0, ()
                causes = sorted({type(exc).__name__ for exc in group.exceptions})
                logger.warning("events not expanded", extra={"cause": ", ".join(causes)})
                await asyncio.sleep(1.0)

    async def _news_until(self, at: float) -> None:
        """Waits for changes, and then a moment for more, but no longer than until a time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, at - asyncio.get_running_loop().time())):
                await self._news.wait()
            await asyncio.sleep(GATHER_SECONDS)

    async def sweep(self) -> None:
        """Expands every project that is behind, and that somebody wants to hear of, to its end."""
        behind: Sequence[str] = await self._wanted(None)
        while behind:
            behind = await self._step(behind)

    async def _step(self, project_ids: Sequence[str]) -> list[str]:
        """Expands the next events of each project; returns those that may have more."""
        behind: list[str] = []
        for start in range(0, len(project_ids), AT_ONCE):
            part = project_ids[start : start + AT_ONCE]
            async with asyncio.TaskGroup() as steps:
                tasks = [steps.create_task(self.expand_once(project_id)) for project_id in part]
            behind += (project_id for project_id, task in zip(part, tasks, strict=True) if task.result())
        # Once for all, so that what was told is claimed together.
        told, self._new = self._new, set()
        if told:
            self._told(told)
        return behind

    async def expand_once(self, project_id: str) -> bool:
        """Expands the next events of a project; returns whether there may be more."""
        read = partial(expansion.read, project_id=project_id, reader=self._reader, most=self._events_at_once)
        ahead = await self._database.read(read)
        if ahead.head <= ahead.cursor:
            return False
        # Not within the transaction, which others wait for.
        bodies = await asyncio.to_thread(expansion.printed, ahead, self._reader.body, self._deliveries_at_once)
        expand = partial(
            expansion.expand,
            project_id=project_id,
            ahead=ahead,
            body=lambda event: bodies.get(event.revision) or self._reader.body(event.event),
            most=self._deliveries_at_once,
        )
        moved = await self._database.write(expand)
        if moved is None:
            # Another server has expanded it meanwhile.
            return True
        if moved.missed:
            logger.warning("webhooks missed events", extra={"project_id": project_id, "events": moved.missed})
        self._new.update(moved.told)
        return moved.cursor < ahead.head

    async def _wanted(self, project_ids: Sequence[str] | None) -> list[str]:
        """Returns those of some projects, or of all, that are behind and that somebody wants to hear of."""
        if project_ids is None:
            return await self._database.read(partial(expansion.wanted, among=None))
        found: list[str] = []
        for start in range(0, len(project_ids), PROJECTS_AT_ONCE):
            part = project_ids[start : start + PROJECTS_AT_ONCE]
            found += await self._database.read(partial(expansion.wanted, among=part))
        return found
