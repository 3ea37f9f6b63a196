"""Ends runs that wait for people, or to be rendered, beyond their time, and begins legs again that were lost."""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from typing import Final

from evergreen_server.film.errors import RunNotFound
from evergreen_server.film.runs.run import EXPIRED, WAITS_FOR_PEOPLE, FilmRun
from evergreen_server.film.runs.store import RunStore
from evergreen_server.jobs.db.database import TRANSIENT_ERRORS
from evergreen_server.jobs.model.states import Slot

__all__ = ["RunSweep"]

INTERVAL_SECONDS: Final = 15.0
AT_ONCE: Final = 100
"""Runs of one round: the others are for the next."""

logger = logging.getLogger(__name__)

Leg = tuple[str, str, int, int]


class RunSweep:
    """Repairs runs. Any number of replicas may do so at once: each finds done what another has done."""

    def __init__(
        self, *, runs: RunStore, running: Callable[[], Collection[Leg]], clock: Callable[[], datetime]
    ) -> None:
        """`running` returns the legs that run here."""
        self._runs = runs
        self._running = running
        self._clock = clock
        self._idle: set[Leg] = set()

    async def run(self) -> None:
        """Sweeps at once, and then four times a minute."""
        while True:
            try:
                await self.run_once()
            except TRANSIENT_ERRORS as exc:
                logger.warning("runs not swept", extra={"cause": type(exc).__name__})
            except Exception:
                # The outermost loop: the next round finds the same again.
                logger.exception("runs not swept")
            await asyncio.sleep(INTERVAL_SECONDS)

    async def run_once(self) -> None:
        """Ends the runs whose time is over while no workflow runs them, up to 100, and begins again what was lost."""
        for project_id, film_id, run in await self._runs.expired(most=AT_ONCE):
            await self._change(project_id, film_id, run, self._expire)
        # Other living replicas look after their own.
        idle = set(await self._runs.left_here()) - set(self._running())
        # Only those that were idle twice: one may be about to begin, or to be put back into the queue.
        for project_id, film_id, run, leg in sorted(idle & self._idle):
            logger.warning("run started again", extra={"film": film_id, "run": run})
            await self._change(project_id, film_id, run, lambda old, leg=leg: _again(old, leg))  # type: ignore[misc] # a default binds the loop's variable
        self._idle = idle

    async def _change(self, project_id: str, film_id: str, run: int, edit: Callable[[FilmRun], FilmRun]) -> None:
        try:
            await self._runs.command(project_id, film_id, run, edit)
        except RunNotFound:
            return
        except TRANSIENT_ERRORS:
            raise
        except Exception:
            # One row that cannot be read must not delay the others.
            logger.exception("run not swept", extra={"film": film_id, "run": run})

    def _expire(self, run: FilmRun) -> FilmRun:
        late = run.finish_by is not None and run.finish_by <= self._clock()
        waits = run.state in WAITS_FOR_PEOPLE or run.slot is Slot.WANTED
        return run.cancelling(EXPIRED) if late and waits else run


def _again(run: FilmRun, leg: int) -> FilmRun:
    return run if run.ended or run.leg != leg or run.slot is not None else replace(run, leg=run.leg + 1)
