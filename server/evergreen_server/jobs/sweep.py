"""Looks, at start and then every minute, for what was left half done and nobody acts on; ends it or tells of it."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from evergreen_server.jobs.database import Database, jobs
from evergreen_server.jobs.meter import Meter
from evergreen_server.jobs.model import Stage, State
from evergreen_server.jobs.rows import micros
from evergreen_server.jobs.scenes import SceneDeletions

ROUND_SECONDS = 60.0
PATIENCE = timedelta(minutes=5)
"""How far beyond its clock a job may be before it is told of: whoever executes it acts within seconds."""
NAMED = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a round found."""

    deletions: int
    """Deletions of scenes that had broken off."""
    finished: int
    """Those of them that were seen to their end."""
    overdue: tuple[str, ...]
    """Jobs beyond their start_by or finish_by that should have ended by themselves."""


class Sweep:
    """Any number of replicas may sweep at once: what one of them does, another finds done."""

    def __init__(
        self, *, database: Database, deletions: SceneDeletions, clock: Callable[[], datetime], meter: Meter
    ) -> None:
        self._database = database
        self._deletions = deletions
        self._clock = clock
        self._meter = meter

    async def run(self) -> None:
        """Does a round at once, and then one every minute."""
        while True:
            try:
                await self.round()
            except SQLAlchemyError:
                # The next round finds it again; the service must not end for it.
                logger.exception("sweep failed")
            await asyncio.sleep(ROUND_SECONDS)

    async def round(self) -> Found:
        """Looks once."""
        deletions, finished = await self._deletions.finish()
        overdue = await self._database.read(lambda db: _overdue(db, self._clock() - PATIENCE))
        found = Found(deletions=deletions, finished=finished, overdue=tuple(overdue))
        self._meter.swept("scene_deletions", finished)
        self._meter.swept("overdue_jobs", len(overdue))
        if deletions or overdue:
            logger.warning(
                "swept",
                extra={
                    "scene_deletions": deletions,
                    "finished": finished,
                    "overdue_jobs": len(overdue),
                    "such_as": overdue[:NAMED],
                },
            )
        return found


def _overdue(db: sa.Connection, before: datetime) -> list[str]:
    alive = jobs.c.state.in_([State.QUEUED.value, State.RUNNING.value, State.CANCELLING.value])
    start = sa.and_(jobs.c.state == State.QUEUED.value, jobs.c.attempt == 1, jobs.c.start_by < micros(before))
    # A clip that is being delivered is paid for, and no clock ends it.
    finish = sa.and_(jobs.c.finish_by < micros(before), jobs.c.stage != Stage.DELIVERING.value)
    return list(
        db.execute(sa.select(jobs.c.job_id).where(alive, sa.or_(start, finish)).order_by(jobs.c.job_id)).scalars()
    )
