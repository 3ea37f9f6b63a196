"""Fills this server's slots for renders, and takes back what servers that are gone have held.

Each server asks for itself, so that a film goes to one that has nothing else to render. One that renders none repairs
what others leave all the same.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from evergreen_server.film.rendering.slots import RenderSlots, Waiting
from evergreen_server.film.runs.run import RENDERS, FilmRun
from evergreen_server.film.runs.runner import FilmRunner
from evergreen_server.jobs.db.database import TRANSIENT_ERRORS
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.wakeups import Wakeups

__all__ = ["RenderDesk"]

ASK_SECONDS, QUIET_SECONDS = 2.0, 10.0
"""Between two looks at the queue, of which only runs of this server tell at once: while a run is in it or anything
changes, and while there is nothing.
"""
WARN_SECONDS: Final = 60.0
"""A run that has waited for so long says so."""
UNTAKEN: Final = "no server has had a slot for its render for a minute: all are taken, or EVERGREEN_RENDERS is 0"

logger = logging.getLogger(__name__)


class RenderDesk:
    """Renders up to `places` films at a time. `healthy` says whether this server may own anything."""

    def __init__(
        self,
        *,
        slots: RenderSlots,
        runner: FilmRunner,
        wakeups: Wakeups,
        places: int,
        healthy: Callable[[], bool],
        clock: Callable[[], datetime],
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        self._slots = slots
        self._runner = runner
        self._news = wakeups.of(RENDERS)
        self._places = places
        self._healthy = healthy
        self._clock = clock
        self._quiet_seconds = quiet_seconds
        self._executions: set[str] = set()
        """Of the runs that are rendered here."""
        self._warned: set[Waiting] = set()
        self._quiet = self._told = False
        """Whether the last round found nothing to do, and whether anything has changed since."""

    def on_changes(self, _changes: Sequence[Change]) -> None:
        """Has the queue looked at as often as while a run is in it: another server may have put one there."""
        if self._quiet and not self._told:
            self._news.set()
        self._told = True

    async def run(self) -> None:
        """Fills slots for as long as the service runs. What it is rendering when it is cancelled ends with it."""
        self._executions.clear()
        async with asyncio.TaskGroup() as renders:
            while True:
                try:
                    await self.run_once(renders)
                except TRANSIENT_ERRORS as exc:
                    logger.warning("films not taken", extra={"cause": type(exc).__name__})
                except Exception:
                    # The outermost loop: the next round finds the same again, and renders go on.
                    logger.exception("films not taken")
                quiet, self._told = self._quiet and not self._told, False
                await self._news.wait(self._quiet_seconds if quiet else ASK_SECONDS)

    async def run_once(self, renders: asyncio.TaskGroup) -> None:
        """Takes back slots that nobody uses, fills those that are free, and warns of runs that wait for long."""
        self._quiet = not (self._executions or await self._slots.any())
        if self._quiet:
            return
        for holder in await self._slots.held(here=False):
            logger.warning("render taken over", extra={"film": holder.film_id, "run": holder.run})
            await self._slots.take_back(holder)
        for holder in await self._slots.held(here=True):
            if holder.execution not in self._executions:
                # Of an earlier process, or one that failed and could not be recorded.
                await self._slots.take_back(holder)
        while len(self._executions) < self._places and self._healthy():
            if (waiting := await self._slots.next()) is None:
                break
            token = uuid4().hex
            if (run := await self._slots.grant(waiting, token)) is not None:
                self._executions.add(token)
                renders.create_task(self._render(run, token), name="film rendered")
        late = set(await self._slots.waiting(before=self._clock() - timedelta(seconds=WARN_SECONDS)))
        for waiting in sorted(late - self._warned):
            await self._slots.warn(waiting, "NO_RENDERER", UNTAKEN)
        self._warned = late

    async def _render(self, run: FilmRun, token: str) -> None:
        try:
            await self._runner.render(run)
        except TRANSIENT_ERRORS as exc:
            logger.warning("render not recorded", extra={"film": run.key, "cause": type(exc).__name__})
        except Exception:
            logger.exception("render not recorded", extra={"film": run.key})
        finally:
            # Where it still holds its slot, the next round takes that back.
            self._executions.discard(token)
            self._news.set()
