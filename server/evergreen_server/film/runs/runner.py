"""The run of a film as a durable workflow: look, decide, act, wait; until it is over, or people must decide.

The engine starts it for each leg of a run, and again after a crash. It holds nothing that the rows do not have, and
each of its acts may be repeated.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import uuid4

from evergreen_server.film.runs.context import FilmContext
from evergreen_server.film.runs.leg import Leg
from evergreen_server.film.runs.run import FilmRun
from evergreen_server.jobs.db.database import TRANSIENT_ERRORS
from evergreen_server.jobs.execution.trouble import blocked_by
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.errors import Superseded
from evergreen_server.jobs.model.warnings import STEP_FAILED
from evergreen_server.runtime.backoff import doubled
from evergreen_server.runtime.traces import current_trace

__all__ = ["RENDER_AGAIN_SECONDS", "FilmRunner"]

LOOK_SECONDS: Final = 5.0
"""The longest between two looks at a run that is on."""
PAUSE_SECONDS: Final = 0.5
"""The shortest: a look at a long film costs up to half a second of a processor."""
RENDER_AGAIN_SECONDS: Final = 30.0
"""For how long a run that could not be rendered lets others go first."""

logger = logging.getLogger(__name__)


class FilmRunner:
    """Runs films. Only a final state, a question to people, or a newer execution ends a leg."""

    def __init__(self, context: FilmContext) -> None:
        self._context = context
        self._legs: dict[str, Leg] = {}
        """By film, the newest leg that runs here."""

    @property
    def running(self) -> Collection[tuple[str, str, int, int]]:
        """Returns the legs that run here, each as it was begun."""
        return [(leg.run.project_id, leg.run.film_id, leg.run.run, leg.run.leg) for leg in self._legs.values()]

    def on_changes(self, changes: Iterable[Change]) -> None:
        """Wakes the runs whose jobs have changed."""
        for change in changes:
            if (film := self._context.films_of.get(change.job_id)) is not None:
                self._context.wakeups.wake(film)

    async def run(self, project_id: str, film_id: str, run: int, leg: int) -> None:
        """Runs one leg, as the engine's workflow."""
        key, context = f"{project_id}/{film_id}", self._context
        # From before the first read on, so that no command after it goes unnoticed.
        wakeup = context.wakeups.of(key)
        owned = await self._claim(project_id, film_id, run, leg)
        if owned is None:
            if key not in self._legs:
                context.wakeups.forget(key)
            return
        if key in self._legs:
            # An older leg here learns that it is over.
            wakeup.set()
        # One for the whole leg, since its caller sees only the first.
        tries, error_id = 0, uuid4().hex
        async with self._leg(Leg(context, owned)) as steps:
            while True:
                try:
                    if not await steps.step():
                        return
                    tries = 0
                except Superseded:
                    raise
                except Exception as exc:
                    # The outermost loop of a run: a bug of ours must not lose it.
                    await self._warn(steps, exc, tries, error_id)
                    tries += 1
                await asyncio.sleep(PAUSE_SECONDS)
                await wakeup.wait(doubled(1.0, tries, most=60.0) if tries else LOOK_SECONDS)

    async def render(self, run: FilmRun) -> None:
        """Goes on with the leg of a run that holds a slot, for as long as it is rendered or published.

        After an error others have their turns first. Raises what is transient; the slot is held then.
        """
        wakeup = self._context.wakeups.of(run.key)
        edit: Callable[[FilmRun], FilmRun] = FilmRun.leaves_slot
        async with self._leg(Leg(self._context, run, renders=True)) as steps:
            try:
                while await steps.step() and steps.cutting:
                    await asyncio.sleep(PAUSE_SECONDS)
                    await wakeup.wait(LOOK_SECONDS)
            except Superseded:
                raise
            except Exception as exc:
                await self._warn(steps, exc, 0, uuid4().hex)
                later = self._context.clock() + timedelta(seconds=RENDER_AGAIN_SECONDS)
                edit = partial(FilmRun.wants_slot, at=later)
            await self._context.runs.change(steps.run, edit)

    @asynccontextmanager
    async def _leg(self, steps: Leg) -> AsyncIterator[Leg]:
        """Counts a leg among those that run here; ends quietly where a newer execution goes on."""
        key = steps.run.key
        self._legs[key] = steps
        current_trace.set(steps.run.trace)
        try:
            yield steps
        except Superseded:
            logger.info("run superseded", extra={"film": key})
        finally:
            steps.close()
            # The next leg may be running already, and then the wake-up belongs to it.
            if self._legs.get(key) is steps:
                del self._legs[key]
                self._context.wakeups.forget(key)

    async def _claim(self, project_id: str, film_id: str, run: int, leg: int) -> FilmRun | None:
        tries, token = 0, uuid4().hex
        while True:
            try:
                return await self._context.runs.claim(project_id, film_id, run, leg=leg, token=token)
            except TRANSIENT_ERRORS as exc:
                logger.warning("run not claimed", extra={"film": film_id, "cause": type(exc).__name__})
            except Exception:
                logger.exception("run not claimed", extra={"film": film_id})
            await asyncio.sleep(doubled(1.0, tries, most=60.0))
            tries += 1

    async def _warn(self, steps: Leg, exc: Exception, tries: int, error_id: str) -> None:
        """Logs what keeps a run from going on, and has its caller see it."""
        facts = {"film": steps.run.key, "cause": type(exc).__name__, "tries": tries + 1}
        if isinstance(exc, TRANSIENT_ERRORS):
            logger.warning("run waits", extra=facts)
            return
        code, cause = blocked_by(exc, error_id)
        if code == STEP_FAILED:
            logger.exception("run failed", extra={**facts, "error_id": error_id})
        else:
            logger.warning("run waits", extra=facts)
        try:
            await steps.warn(code, cause)
        except Superseded:
            raise
        except Exception as again:
            logger.warning("run not warned", extra={"film": steps.run.key, "cause": type(again).__name__})
