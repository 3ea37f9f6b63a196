"""Progress of many jobs, written together: at most one transaction every 250 ms, only changed percentages."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.store.percentages import Progress

FLUSH_SECONDS = 0.25


class ProgressBuffer:
    """Gathers percentages; `run` writes them. A newer one of a job replaces an older one that is not yet written."""

    def __init__(self, flush: Callable[[Collection[Progress]], Awaitable[None]]) -> None:
        self._flush = flush
        self._waiting: dict[str, Progress] = {}
        self._news = asyncio.Event()

    def note(self, job: Job, fencing_token: str, progress: float) -> Job:
        """Records progress in 0..1, rounded to whole hundredths; returns the job as it will be with it."""
        hundredths = round(progress, 2)
        if hundredths <= job.progress:
            return job
        self._waiting[job.job_id] = Progress(job=job, fencing_token=fencing_token, progress=hundredths)
        self._news.set()
        return replace(job, progress=hundredths)

    async def run(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            self._news.clear()
            batch, self._waiting = self._waiting, {}
            await self._flush(batch.values())
