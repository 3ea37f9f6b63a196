"""A handle of one job: what it was when last heard of, and what can be done with it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from os import PathLike
from pathlib import Path

from evergreen.client.watching import changes, settled
from evergreen.errors import job_error
from evergreen.job import Job, Resolution
from evergreen.transfers import Moved, ignore
from evergreen.wire import WireClient


class AsyncJobHandle:
    """A job that was requested, or asked for by its id. `job` is what was last heard of it."""

    def __init__(self, wire: WireClient, job: Job) -> None:
        self._wire = wire
        self.job = job

    @property
    def job_id(self) -> str:
        """Returns the job's id, by which `AsyncClient.job` finds it again."""
        return self.job.job_id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.job_id} {self.job.state}>"

    async def refresh(self) -> Job:
        """Returns the job as it is now. Raises CallError."""
        return self._heard(Job.of(await self._wire.status(self.job_id)))

    async def wait(self, timeout: float | None = None) -> Job:  # noqa: ASYNC109  # as in concurrent.futures
        """Returns the job when it has succeeded.

        Raises JobFailed, JobCancelled or JobExpired, NeedsAttention as soon as the job needs attention, TimeoutError
        after `timeout` seconds (the job goes on), CallError, WatchInterrupted.
        """
        jobs = settled(self._wire, {self.job_id: self.job.project_id}, seconds=timeout)
        async with aclosing(jobs):
            job = self._heard(await anext(jobs))
        if error := job_error(job):
            raise error
        return job

    async def watch(self) -> AsyncGenerator[Job, None]:
        """Yields the job as it is, then at each change, until it is final. Raises CallError, WatchInterrupted."""
        async with aclosing(changes(self._wire, [self.job_id])) as jobs:
            async for job in jobs:
                yield self._heard(job)

    async def cancel(self) -> Job:
        """Requests the cancellation, and returns the job. It may still succeed if it was finished by then."""
        return self._heard(Job.of(await self._wire.cancel(self.job_id)))

    async def resolve(self, resolution: Resolution, *, provider_task_id: str = "") -> Job:
        """Decides how to continue with a job that needs attention, and returns the job. Raises CallError."""
        return self._heard(Job.of(await self._wire.resolve(self.job_id, resolution, provider_task_id=provider_task_id)))

    async def download(
        self, target: "str | PathLike[str]", *, overwrite: bool = False, moved: Moved = ignore
    ) -> list[Path]:
        """Waits until the job has succeeded, copies its files to this machine, and returns where they are.

        `target` is a folder, or the path of the file; of several, the others get a number: `fox.png`, `fox-2.png`. An
        interrupted download goes on where it was, also in another process, and the CRC32C is compared. Raises what
        `wait` does, TransferBroken, FileExistsError without `overwrite`, OSError.
        """
        job = await self.wait()
        places = _places(job, Path(target))
        for asset, place in places:
            await self._wire.scenes.download(
                job.project_id, job.scene_id, asset, place, overwrite=overwrite, moved=moved
            )
        return [place for _, place in places]

    def _heard(self, job: Job) -> Job:
        """Keeps the job, with the request that was known: what a watch tells leaves it out."""
        known = self.job.message
        if job.model is None and self.job.model is not None:
            if known.HasField("request"):
                job.message.request.CopyFrom(known.request)
            else:
                job.message.generate_request.CopyFrom(known.generate_request)
            job = Job.of(job.message)
        self.job = job
        return job


def _places(job: Job, target: Path) -> list[tuple[str, Path]]:
    assets = [output.asset for output in job.outputs]
    if target.is_dir():
        return [(asset, target / asset.rpartition("/")[2]) for asset in assets]
    others = [target.with_stem(f"{target.stem}-{number}") for number in range(2, len(assets) + 1)]
    return list(zip(assets, [target, *others], strict=False))
