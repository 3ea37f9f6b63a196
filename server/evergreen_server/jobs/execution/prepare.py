"""The first step: every input is fetched or read, checked and kept in the scene, before the job waits for a slot.

All inputs are checked before any is kept, so that a refused request leaves no file. A few jobs do so at once, in turns
of their projects. What was checked is pinned by its content. Jobs that were prepared by a release that pinned nothing
are checked again before they are submitted.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

from evergreen_server.jobs.execution.context import StepContext
from evergreen_server.jobs.execution.examine import Found, find_asset, find_input
from evergreen_server.jobs.execution.files import keep
from evergreen_server.jobs.execution.inputs import scene_of
from evergreen_server.jobs.execution.pins import CHUNK_BYTES, Source
from evergreen_server.jobs.model import transitions
from evergreen_server.jobs.model.job import Input, Job, JobFailure, JobWarning, Pin
from evergreen_server.jobs.model.names import input_path
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.jobs.store.jobs import Edit
from evergreen_server.ports.media import MediaError, MediaRefused, MediaUnreachable
from evergreen_server.ports.specs import Kind, Media, Role, kind_of
from evergreen_storage import Asset, InvalidKey, Sealed, TooLarge

FOLDERS = {Kind.PICTURE: "images", Kind.VIDEO: "videos", Kind.AUDIO: "audio"}
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "video/quicktime": "mov"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """One input as the job has it from now on; `made` is a file that the job made, `warnings` are about its name."""

    input: Input
    pin: Pin | None
    made: Asset | None = None
    warnings: tuple[JobWarning, ...] = ()


async def prepare(context: StepContext, job: Job, fencing_token: str) -> Job:
    """Keeps the inputs and moves the job to WAITING, or ends it if an input can never be used.

    If the job is WAITING already, its inputs are checked and pinned.
    """
    if job.state is State.QUEUED and not job.request.spec.media:
        return await _prepare(context, job, fencing_token)
    place = context.places.prepares.ask(job.request.project_id)
    try:
        if not place.done():
            place.add_done_callback(lambda _: context.wakeups.wake(job.job_id))
        while not place.done():
            if (edit := _over(context, job)) is not None:
                return await context.store.change(job, edit, fencing_token=fencing_token)
            await context.pause(job.job_id, max(0.0, context.seconds_until(transitions.start_limit(job)[0])))
            job = await context.store.again(job)
            if job.fencing_token != fencing_token:
                return job
        return await _prepare(context, job, fencing_token)
    finally:
        context.places.prepares.give_back(job.request.project_id, place)


def _over(context: StepContext, job: Job) -> Edit | None:
    """Returns the transition of a job that is no longer to be prepared, else None."""
    if job.state is State.CANCELLING:
        return transitions.cancelled_before_submission
    limit, reason, text = transitions.start_limit(job)
    if context.seconds_until(limit) > 0:
        return None
    return partial(transitions.expired, error=JobFailure(reason=reason, message=f"the job expired: {text}"))


async def _prepare(context: StepContext, job: Job, fencing_token: str) -> Job:
    if (over := _over(context, job)) is not None:
        return await context.store.change(job, over, fencing_token=fencing_token)
    scenes, request = context.scenes, job.request
    async with AsyncExitStack() as stack:
        try:
            found = [await find_input(context, job, number, media, stack) for number, media in enumerate(_media(job))]
            if found:
                await scenes.create(request.project_id, request.scene_id)
            kept = [
                await _keep(context, job, fencing_token, number, item, stack)
                for number, item in enumerate(found, start=1)
            ]
            made = [item.made for item in kept if item.made is not None]
            await scenes.record_request(
                request.project_id, request.scene_id, job.job_id, assets=made, makes=context.deliverer(job).folder
            )
        except MediaError as exc:
            reason = exc.reason if isinstance(exc, MediaRefused) else "MEDIA_UNREACHABLE"
            error = JobFailure(reason=reason, message=str(exc), retryable=isinstance(exc, MediaUnreachable))
            return await context.store.change(
                job, partial(transitions.unusable, error=error), fencing_token=fencing_token
            )
        except (InvalidKey, TooLarge) as exc:
            # Such as an id that a disk confuses with another, or a full scene: no later try will succeed.
            error = JobFailure(reason="SCENE_REFUSED", message=f"the storage cannot keep the scene: {exc}")
            return await context.store.change(
                job, partial(transitions.unusable, error=error), fencing_token=fencing_token
            )

    prepared = partial(
        transitions.prepared,
        inputs=[item.input for item in kept],
        pins=[item.pin for item in kept],
        warnings=[warning for part in (found, kept) for item in part for warning in item.warnings],
    )
    return await context.store.change(job, prepared, fencing_token=fencing_token)


def _media(job: Job) -> list[Media]:
    if job.stage is Stage.PREPARING:
        return list(job.request.spec.media)
    return [
        Media(
            role=Role(item.role),
            uri=item.uri or None,
            asset=item.asset or None,
            at_seconds=item.at_seconds,
            scene_id=scene_of(job, number),
        )
        for number, item in enumerate(job.inputs)
    ]


async def _keep(
    context: StepContext, job: Job, fencing_token: str, number: int, item: Found, stack: AsyncExitStack
) -> _Kept:
    request, media = job.request, item.media
    kept = Input(
        role=media.role.value,
        asset=item.asset,
        uri=item.uri,
        content_type=item.content_type,
        at_seconds=media.at_seconds,
    )
    if item.path is None:
        return _Kept(input=kept, pin=item.pin)
    folder = FOLDERS[kind_of(media.role)]
    extension = EXTENSIONS.get(item.content_type) or item.content_type.rpartition("/")[2].removeprefix("x-")
    source = Source(files=context.files, path=item.path, owner=request.project_id)

    async def store(path: str, sealed: Sealed) -> Asset:
        where = (request.project_id, request.scene_id, path)
        return await context.scenes.add_stream(*where, _chunks(source), None, item.content_type, sealed=sealed)

    # What an earlier execution kept is used, even if the caller's URL has other content by now.
    made = await keep(context, job, fencing_token, input_path(folder, job.job_id, number, extension), store)
    measured = replace(
        made.asset,
        width=item.width or None,
        height=item.height or None,
        duration_seconds=item.duration_seconds or None,
    )
    pin: Pin | None = source.pin
    if not source.pin.size_bytes:
        # It was not stored just now, so the file that is there must be checked and pinned.
        own = replace(media, asset=measured.path, scene_id="")
        pin = (await find_asset(context, job, number - 1, own, stack)).pin
    return _Kept(input=replace(kept, asset=measured.path), pin=pin, made=measured, warnings=made.warnings)


async def _chunks(source: Source) -> AsyncIterator[bytes]:
    sent = 0
    while chunk := await source.read(sent, CHUNK_BYTES):
        yield chunk
        sent += len(chunk)
