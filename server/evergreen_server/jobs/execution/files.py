"""The files that a job makes: each is recorded by size and CRC32C before its name appears, to distinguish it.

So a crash leaves a record without a file, which is made again, or the job's own file, which is adopted. A file that
does not match the record is not the job's: it is left alone, and the job takes the next name.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from evergreen_server.jobs.db.database import insert_new
from evergreen_server.jobs.db.schema import job_files, jobs
from evergreen_server.jobs.execution.context import StepContext
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.errors import Superseded
from evergreen_server.jobs.model.job import Job, JobWarning
from evergreen_server.jobs.model.names import choices
from evergreen_storage import Asset, AssetConflict, InvalidKey, Sealed, Unavailable

NAME_TAKEN = "NAME_TAKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file that the job has made, and warnings about its name for the caller."""

    asset: Asset
    warnings: tuple[JobWarning, ...]


async def find(context: StepContext, job: Job, *paths: str) -> Kept | None:
    """Returns the file that the job has made under one of these names or one of the next; None if there is none."""
    request, known = job.request, await context.store.files(job.job_id)
    for first, choice in ((path, choice) for path in paths for choice in choices(path)):
        if choice in known:
            size, crc32c = known[choice]
            with suppress(InvalidKey):
                asset = await context.scenes.adopt(
                    request.project_id, request.scene_id, choice, size_bytes=size, crc32c=crc32c
                )
                if asset is not None:
                    return _kept(asset, first)
    return None


async def keep(
    context: StepContext, job: Job, fencing_token: str, path: str, make: Callable[[str, Sealed], Awaitable[Asset]]
) -> Kept:
    """Returns the job's file of this name, which `make` stores unless an earlier execution did.

    `make` takes the name to use, and a function to call before that name appears. Raises what `make` raises,
    Superseded, and Unavailable if every name is taken.
    """
    if (found := await find(context, job, path)) is not None:
        return found
    request = job.request
    for choice in choices(path):
        # A link, or a file that the disk treats as another spelling of this name, is not the job's either.
        with suppress(AssetConflict, InvalidKey):
            if not await context.scenes.holds(request.project_id, request.scene_id, choice):
                return _kept(await make(choice, partial(_record, context, job, fencing_token, choice)), path)
    raise Unavailable(f"{path!r} cannot be written: other files have this name and all that might stand for it")


def _kept(asset: Asset, path: str) -> Kept:
    if asset.path == path:
        return Kept(asset=asset, warnings=())
    text = f"{path} is a file that this job has not made: it was left alone, and the job's own is {asset.path}"
    return Kept(asset=asset, warnings=(JobWarning(code=NAME_TAKEN, message=text),))


async def _record(context: StepContext, job: Job, fencing_token: str, path: str, size: int, crc32c: int) -> None:
    def work(db: sa.Connection) -> tuple[None, list[Change]]:
        owner = db.execute(sa.select(jobs.c.execution).where(jobs.c.job_id == job.job_id)).scalar()
        if owner != fencing_token:
            raise Superseded(job.job_id)
        key, content = {"job_id": job.job_id, "path": path}, {"size_bytes": size, "crc32c": crc32c}
        if not insert_new(db, job_files, {**key, **content}):
            mine = (job_files.c.job_id == job.job_id, job_files.c.path == path)
            db.execute(job_files.update().where(*mine).values(**content))
        return None, []

    await context.store.write(work)
