"""The last step: what the provider made becomes ours, and only then is the job SUCCEEDED.

Files first, then the name: the output under a name that is never overwritten, its poster, the sidecar, scene.json,
and at last the state. Everything may be done again after a crash: what this job stored is adopted, by its record.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from evergreen_server.jobs.execution.context import StepContext
from evergreen_server.jobs.execution.download import OutputBody, Undeliverable
from evergreen_server.jobs.execution.files import Kept, find, keep
from evergreen_server.jobs.execution.kinds.deliverer import Unusable
from evergreen_server.jobs.execution.sidecar import Delivered, output_of, sidecar
from evergreen_server.jobs.model import transitions
from evergreen_server.jobs.model.errors import Superseded
from evergreen_server.jobs.model.job import Job, JobFailure, JobWarning, Output
from evergreen_server.jobs.model.names import output_path, poster_path
from evergreen_server.ports.provider import TaskGone, TaskState
from evergreen_storage import Asset, Sealed

MOST_OUTPUTS = 16
"""No operation makes as many: those of a task that is gone are looked for up to here."""

logger = logging.getLogger(__name__)


async def deliver(context: StepContext, job: Job, fencing_token: str) -> Job:
    """Stores every output of the task and settles the job. Raises StorageError, ProviderError: then it is run again."""
    noun, tries, gone = context.deliverer(job).noun, 0, False
    while True:
        try:
            task = context.answers.pop(job.job_id, None) or await context.provider.task(job.task_id)
            if task.state is not TaskState.SUCCEEDED or not task.output_urls:
                raise Undeliverable("OUTPUT_UNAVAILABLE", f"the task is {task.status} and has no output")
            delivered = await _store_all(context, job, fencing_token, task.output_urls)
            break
        except (Undeliverable, TaskGone) as exc:
            logger.warning("delivery failed", extra={"job_id": job.job_id, "cause": str(exc), "tries": tries + 1})
            if isinstance(exc, TaskGone) and (delivered := await _stored(context, job, fencing_token)):
                gone = True
                break
            if tries + 1 >= context.limits.delivery_tries or isinstance(exc, TaskGone):
                reason = exc.reason if isinstance(exc, Undeliverable) else "OUTPUT_UNAVAILABLE"
                error = JobFailure(reason=reason, message=f"the {noun} was made, but could not be stored: {exc}")
                # What was stored is paid for, so it is delivered although the job fails.
                stored = await _stored(context, job, fencing_token)
                outputs = await _publish(context, job, stored)
                given_up = partial(
                    transitions.delivery_failed, outputs=outputs, error=error, warnings=_warnings(stored)
                )
                return await context.store.change(job, given_up, fencing_token=fencing_token)
            await context.pause(job.job_id, max(context.backoff(tries), context.pace.min_seconds / context.pace.scale))
            tries += 1
    outputs = await _publish(context, job, delivered)
    settled = partial(transitions.delivered, outputs=outputs, gone=gone, warnings=_warnings(delivered))
    return await context.store.change(job, settled, fencing_token=fencing_token)


async def _publish(context: StepContext, job: Job, delivered: list[Delivered]) -> tuple[Output, ...]:
    """Names the stored files in the sidecar, then in scene.json."""
    if delivered:
        request = job.request
        assets = [asset for item in delivered for asset in (item.output, item.poster) if asset is not None]
        await context.scenes.publish(
            request.project_id,
            request.scene_id,
            job_id=job.job_id,
            assets=assets,
            sidecar=sidecar(job, delivered),
            makes=context.deliverer(job).folder,
        )
    return tuple(output_of(item) for item in delivered)


def _warnings(delivered: list[Delivered]) -> tuple[JobWarning, ...]:
    return tuple(warning for item in delivered for warning in item.warnings)


async def _stored(context: StepContext, job: Job, fencing_token: str) -> list[Delivered]:
    """Adopts what an earlier execution stored whole before the task was deleted at the provider."""
    found = list[Delivered]()
    for number in range(MOST_OUTPUTS):
        kept = await find(context, job, *_paths(context, job, number).values())
        if kept is not None:
            found.append(await _examined(context, job, fencing_token, kept))
    return found


def _paths(context: StepContext, job: Job, number: int) -> dict[str, str]:
    """Returns the first choice for the name of an output, by its content type."""
    deliverer = context.deliverer(job)
    return {
        content_type: output_path(deliverer.folder, job.job_id, job.attempt, number + 1, extension)
        for content_type, extension in deliverer.extensions.items()
    }


async def _store_all(context: StepContext, job: Job, fencing_token: str, urls: Sequence[str]) -> list[Delivered]:
    """Stores every output. Raises Undeliverable for the first that cannot be: the others are stored, and paid for."""
    stored, broken = list[Delivered](), list[Undeliverable]()
    for number, url in enumerate(urls):
        try:
            stored.append(await _store(context, job, fencing_token, url, number))
        except Undeliverable as exc:
            broken.append(exc)
    if broken:
        raise broken[0]
    return stored


async def _store(context: StepContext, job: Job, fencing_token: str, url: str, number: int) -> Delivered:
    paths = _paths(context, job, number)
    kept = await find(context, job, *paths.values())
    if kept is None:
        kept = await _download(context, job, fencing_token, OutputBody(context, job, url, number), paths)
    return await _examined(context, job, fencing_token, kept)


async def _download(
    context: StepContext, job: Job, fencing_token: str, body: OutputBody, paths: Mapping[str, str]
) -> Kept:
    """Stores an output under the name that its first bytes ask for. Raises Undeliverable where they ask for none."""
    deliverer = context.deliverer(job)
    async with aclosing(body):
        head = await body.head()
        content_type = context.media.sniff(head)
        if content_type is None or content_type not in paths:
            found = content_type or ("of no known kind" if head else "empty")
            text = f"the output is not a {deliverer.noun}: the file is {found}"
            raise Undeliverable("OUTPUT_INVALID", text)

        async def store(path: str, sealed: Sealed) -> Asset:
            scene = (job.request.project_id, job.request.scene_id)
            chunks = body.chunks(most_bytes=deliverer.most_bytes)
            async with aclosing(chunks):
                return await context.scenes.add_stream(*scene, path, chunks, None, content_type, sealed=sealed)

        return await keep(context, job, fencing_token, paths[content_type], store)


async def _examined(context: StepContext, job: Job, fencing_token: str, output: Kept) -> Delivered:
    """Measures a stored output and makes its poster. Raises Undeliverable where it is unusable, and removes it."""
    scene, name = (job.request.project_id, job.request.scene_id), output.asset.path
    try:
        async with context.scenes.local_path(*scene, name) as path:
            examined = await context.deliverer(job).examine(job, path, output.asset.content_type)
    except Unusable as exc:
        await _discard(context, job, fencing_token, name)
        raise Undeliverable("OUTPUT_INVALID", str(exc)) from exc

    async def draw(path: str, sealed: Sealed) -> Asset:
        return await context.scenes.add(*scene, path, examined.poster, "image/jpeg", sealed=sealed)

    poster, warnings, probe = None, examined.warnings, examined.probe
    if examined.poster:
        kept = await keep(context, job, fencing_token, poster_path(name), draw)
        poster, warnings = kept.asset, kept.warnings
    measured = replace(
        output.asset,
        width=probe.width or None,
        height=probe.height or None,
        duration_seconds=probe.duration_seconds or None,
    )
    return Delivered(output=measured, poster=poster, probe=probe, warnings=output.warnings + warnings)


async def _discard(context: StepContext, job: Job, fencing_token: str, path: str) -> None:
    """Removes an unusable output. Raises Superseded, and NotOurs where another replica may own the job."""
    check = context.lease_check()
    if (await context.store.again(job)).fencing_token != fencing_token:
        raise Superseded(job.job_id)
    # To a replica that was paused every file seems too slow to decode, and the replica that took the job over may have
    # adopted this one and delivered it by now.
    check()
    await context.scenes.discard(job.request.project_id, job.request.scene_id, path)
