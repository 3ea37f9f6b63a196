"""Follows jobs until they are settled: final, or in need of attention."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from itertools import groupby, islice

from evergreen.errors import CursorLost
from evergreen.job import Job
from evergreen.wire import WireClient

MOST_WATCHED = 1000
"""How many jobs one watch of the service may name."""


async def changes(wire: WireClient, job_ids: list[str]) -> AsyncGenerator[Job, None]:
    """Yields the present state of each job, then each change, until all are final. Raises as `WireClient.watch`."""
    pending = dict.fromkeys(job_ids)
    while pending:
        try:
            async with aclosing(wire.watch(job_ids=pending)) as messages:
                async for message in messages:
                    if message.HasField("event"):
                        job = Job.of(message.event.job)
                        if job.is_final:
                            pending.pop(job.job_id, None)
                        yield job
        except CursorLost:
            # The next watch begins with the present state, so missed events do no harm.
            continue


async def settled(wire: WireClient, jobs: Mapping[str, str], *, seconds: float | None) -> AsyncGenerator[Job, None]:
    """Yields each job once, as soon as it is final or needs attention. `jobs` holds each one's project, by its id.

    Raises TimeoutError after so many `seconds`, CallError, WatchInterrupted.
    """
    deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
    watches = [_settled(wire, chunk) for chunk in _chunks(jobs)]
    steps = {asyncio.ensure_future(anext(watch, None)): watch for watch in watches}
    try:
        while steps:
            left = None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())
            done, _ = await asyncio.wait(steps, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not done and seconds is not None:
                raise TimeoutError(f"after {seconds:g} s, not all of {len(jobs)} jobs are settled")
            for step in done:
                watch = steps.pop(step)
                if (job := step.result()) is not None:
                    steps[asyncio.ensure_future(anext(watch, None))] = watch
                    yield job
    finally:
        for step in steps:
            step.cancel()
        if steps:
            await asyncio.wait(steps)
        for watch in watches:
            await watch.aclose()


async def _settled(wire: WireClient, job_ids: list[str]) -> AsyncGenerator[Job, None]:
    pending = dict.fromkeys(job_ids)
    async with aclosing(changes(wire, job_ids)) as jobs:
        async for job in jobs:
            if job.job_id in pending and (job.is_final or job.state == "needs_attention"):
                del pending[job.job_id]
                yield job
                if not pending:
                    return


def _chunks(jobs: Mapping[str, str]) -> Iterable[list[str]]:
    for _, group in groupby(sorted(jobs, key=lambda job_id: (jobs[job_id], job_id)), key=lambda job_id: jobs[job_id]):
        while chunk := list(islice(group, MOST_WATCHED)):
            yield chunk
