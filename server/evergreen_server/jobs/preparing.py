"""The first step: every input is fetched or read, checked and kept in the scene, before a slot is waited for.

All inputs are looked at before any is kept, so that a refused request leaves no file.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from evergreen_server.jobs import outcomes
from evergreen_server.jobs.files import keep
from evergreen_server.jobs.media import MediaError, MediaRefused, MediaUnreachable
from evergreen_server.jobs.model import Input, Job, JobFault, JobWarning, Stage, State
from evergreen_server.jobs.names import input_path
from evergreen_server.jobs.provider import Kind, Media, kind_of
from evergreen_server.jobs.trouble import own_input
from evergreen_server.jobs.work import Tools, cancelled_before_submission, free, start_limit
from evergreen_storage import Asset, InvalidKey, Sealed

EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "video/quicktime": "mov"}
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One checked input, not yet kept: bytes, a file, an asset that is in the scene already, or a URL."""

    media: Media
    data: bytes = b""
    path: Path | None = None
    asset: str = ""
    uri: str = ""
    content_type: str = ""
    width: int = 0
    height: int = 0
    duration_seconds: float = 0.0
    warnings: tuple[JobWarning, ...] = ()


async def prepare(tools: Tools, job: Job, execution: str) -> Job:
    """Keeps the inputs and moves the job to WAITING; or ends it where an input can never be used."""
    if job.state is State.CANCELLING:
        return await tools.store.change(job, cancelled_before_submission, execution=execution)
    if job.state is not State.QUEUED or job.stage is not Stage.PREPARING:
        return job
    limit, reason, text = start_limit(job)
    if tools.seconds_until(limit) <= 0:
        fault = JobFault(reason=reason, message=f"the job expired: {text}")
        return await tools.store.change(
            job, lambda job: replace(free(job), error=fault).ended(State.EXPIRED), execution=execution
        )
    async with AsyncExitStack() as stack:
        try:
            found = [await _find(tools, job, media, stack) for media in job.request.spec.media]
        except MediaError as exc:
            reason = exc.reason if isinstance(exc, MediaRefused) else "MEDIA_UNREACHABLE"
            fault = JobFault(reason=reason, message=str(exc), retryable=isinstance(exc, MediaUnreachable))
            return await tools.store.change(job, lambda job: free(job).failed(fault), execution=execution)
        scenes, request = tools.scenes, job.request
        try:
            if found:
                await scenes.create(request.project_id, request.scene_id)
            kept = [await _keep(tools, job, execution, number, item) for number, item in enumerate(found, start=1)]
            assets = [asset for _, asset, _ in kept if asset is not None]
            await scenes.record_request(request.project_id, request.scene_id, job.job_id, assets=assets)
        except InvalidKey as exc:
            # Such as an id that a disk takes for another one. It will be no better however often it is tried.
            fault = JobFault(reason="SCENE_REFUSED", message=f"the storage cannot keep the scene: {exc}")
            return await tools.store.change(job, partial(outcomes.unusable, fault=fault), execution=execution)

    def edit(job: Job) -> Job:
        if job.state is State.CANCELLING:
            return cancelled_before_submission(job)
        named = [warning for *_, warnings in kept for warning in warnings]
        for warning in [*(warning for item in found for warning in item.warnings), *named]:
            job = job.warned(warning.code, warning.message)
        return replace(job, inputs=tuple(item for item, *_ in kept), stage=Stage.WAITING)

    return await tools.store.change(job, edit, execution=execution)


async def _find(tools: Tools, job: Job, media: Media, stack: AsyncExitStack) -> _Found:
    if media.digest is not None:
        return await _examine(tools, job, media, await tools.store.inline(job.job_id, media.digest))
    if media.asset is not None:
        request = job.request
        if await tools.scenes.existing(request.project_id, request.scene_id, media.asset) is None:
            raise MediaRefused(f"the scene has no asset {media.asset}", reason="MEDIA_REFUSED")
        path = await stack.enter_async_context(
            tools.scenes.local_path(request.project_id, request.scene_id, media.asset)
        )
        found = await _examine(tools, job, media, path)
        if found.data and found.data != await asyncio.to_thread(path.read_bytes):
            # Changed to suit the model, it is kept beside the one that it came from.
            return found
        return replace(found, data=b"", path=None, asset=media.asset)
    assert media.uri is not None
    for tries in range(tools.limits.media_tries):
        try:
            fetched = await stack.enter_async_context(
                tools.media.fetch(media.uri, kind_of(media.role), owner=job.request.project_id)
            )
            redirected = fetched.redirected
            return await _examine(tools, job, media, fetched.path)
        except MediaUnreachable as exc:
            redirected = exc.redirected
            last: MediaError = exc
            if tries + 1 < tools.limits.media_tries:
                await tools.pause(job.job_id, tools.backoff(tries))
        except MediaRefused as exc:
            if not exc.unreadable:
                raise
            last = exc
            break
    # The provider follows no redirect, and would refuse what we could not use.
    if redirected or not tools.media.may_pass_on(media.uri):
        raise last
    text = f"the provider is to fetch the URL itself, since we could not use it: {last}"
    return _Found(media=media, uri=media.uri, warnings=(JobWarning(code="URI_PASSED_ON", message=text),))


async def _examine(tools: Tools, job: Job, media: Media, source: Path | bytes) -> _Found:
    if kind_of(media.role) is Kind.PICTURE:
        with own_input():
            rule = tools.models.picture_rule(job.request.spec, media.role)
            picture = await tools.media.picture(source, rule, owner=job.request.project_id)
        return _Found(
            media=media,
            data=picture.data,
            content_type=picture.content_type,
            width=picture.width,
            height=picture.height,
            warnings=tuple(_warning(text) for text in picture.warnings),
        )
    if isinstance(source, bytes):
        raise MediaRefused("only pictures may be sent inline; give a video or a sound by uri", reason="MEDIA_REFUSED")
    with own_input():
        clip = await tools.media.probe(source, owner=job.request.project_id)
    return _Found(
        media=media,
        path=source,
        content_type=clip.content_type,
        width=clip.width,
        height=clip.height,
        duration_seconds=clip.duration_seconds,
    )


def _warning(text: str) -> JobWarning:
    code, found, message = text.partition(": ")
    return JobWarning(code=code, message=message) if found else JobWarning(code="PICTURE_CHANGED", message=text)


async def _keep(
    tools: Tools, job: Job, execution: str, number: int, item: _Found
) -> tuple[Input, Asset | None, tuple[JobWarning, ...]]:
    request, media = job.request, item.media
    kept = Input(
        role=media.role.value,
        asset=item.asset,
        uri=item.uri,
        content_type=item.content_type,
        at_seconds=media.at_seconds,
    )
    if item.asset or item.uri:
        return kept, None, ()
    folder = "audio" if kind_of(media.role) is Kind.AUDIO else "images"
    extension = EXTENSIONS.get(item.content_type) or item.content_type.rpartition("/")[2].removeprefix("x-")

    async def store(path: str, sealed: Sealed) -> Asset:
        where = (request.project_id, request.scene_id, path)
        if item.path is not None:
            return await tools.scenes.add_stream(*where, _chunks(item.path), None, item.content_type, sealed=sealed)
        return await tools.scenes.add(*where, item.data, item.content_type, sealed=sealed)

    # What an earlier execution kept is used, even if the caller's URL has another content by now.
    made = await keep(tools, job, execution, input_path(folder, job.job_id, number, extension), store)
    measured = replace(
        made.asset,
        width=item.width or None,
        height=item.height or None,
        duration_seconds=item.duration_seconds or None,
    )
    return replace(kept, asset=measured.path), measured, made.warnings


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
