"""The first step: every input is fetched or read, checked and kept in the scene, before the job waits for a slot.

All inputs are checked before any is kept, so that a refused request leaves no file. A few jobs do so at once, in turns
of their projects. What was checked is pinned by its content. Jobs that were prepared by a release that pinned nothing
are checked again before they are submitted.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from evergreen_server.jobs.execution.context import StepContext
from evergreen_server.jobs.execution.files import keep
from evergreen_server.jobs.execution.pins import CHUNK_BYTES, Source, pin_of, spool
from evergreen_server.jobs.execution.trouble import DecodersBusy, own_input
from evergreen_server.jobs.model import transitions
from evergreen_server.jobs.model.job import Input, Job, JobFailure, JobWarning, Pin
from evergreen_server.jobs.model.names import input_path
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.jobs.store.jobs import Edit
from evergreen_server.ports.media import MediaError, MediaRefused, MediaUnreachable
from evergreen_server.ports.specs import Kind, Media, Role, kind_of
from evergreen_storage import Asset, AssetConflict, InvalidKey, NotFound, Sealed, TooLarge

EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "video/quicktime": "mov"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One checked input, not yet kept: a file, an asset that is in the scene already, or a URL."""

    media: Media
    path: Path | None = None
    asset: str = ""
    uri: str = ""
    pin: Pin | None = None
    content_type: str = ""
    width: int = 0
    height: int = 0
    duration_seconds: float = 0.0
    warnings: tuple[JobWarning, ...] = ()


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
            found = [await _find(context, job, media, stack) for media in _media(job)]
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
        Media(role=Role(item.role), uri=item.uri or None, asset=item.asset or None, at_seconds=item.at_seconds)
        for item in job.inputs
    ]


async def _find(context: StepContext, job: Job, media: Media, stack: AsyncExitStack) -> _Found:
    if media.digest is not None:
        data = await context.store.inline(job.job_id, media.digest)
        return await _examine(context, job, media, data, stack)
    if media.asset is not None:
        return await _asset(context, job, media, media.asset, stack)
    assert media.uri is not None
    if job.stage is not Stage.PREPARING:
        # It was passed on then.
        return _Found(media=media, uri=media.uri)
    for tries in range(context.limits.media_tries):
        try:
            with own_input():
                fetched = await stack.enter_async_context(
                    context.media.fetch(media.uri, kind_of(media.role), owner=job.request.project_id)
                )
            redirected = fetched.redirected
            return await _examine(context, job, media, fetched.path, stack)
        except MediaUnreachable as exc:
            redirected = exc.redirected
            last: MediaError = exc
            if tries + 1 < context.limits.media_tries:
                await context.pause(job.job_id, context.backoff(tries))
        except MediaRefused as exc:
            if not exc.unreadable:
                raise
            last = exc
            break
    # The provider follows no redirects, and would refuse what we could not use.
    if redirected or not context.media.may_pass_on(media.uri):
        raise last
    text = f"the provider is to fetch the URL itself, since we could not use it: {last}"
    return _Found(media=media, uri=media.uri, warnings=(JobWarning(code="URI_PASSED_ON", message=text),))


async def _asset(context: StepContext, job: Job, media: Media, asset: str, stack: AsyncExitStack) -> _Found:
    owner, scene_id = job.request.project_id, job.request.scene_id
    try:
        if await context.scenes.existing(owner, scene_id, asset) is None:
            raise MediaRefused(f"the scene has no asset {asset}", reason="MEDIA_REFUSED")
        path = await stack.enter_async_context(context.scenes.local_path(owner, scene_id, asset))
    except (NotFound, InvalidKey, AssetConflict) as exc:
        text = f"the asset {asset} is gone, or is not the file that the scene names: {exc}"
        raise MediaRefused(text, reason="MEDIA_REFUSED") from exc
    # First, so that a file that replaces it from now on is recognized as another.
    pin = await context.files.run(partial(pin_of, path), owner=owner)
    found = await _examine(context, job, media, path, stack)
    if found.path != path and found.pin != pin:
        # It was changed to suit the model, and is kept beside the original.
        return found
    return replace(found, path=None, pin=pin, asset=asset)


async def _examine(context: StepContext, job: Job, media: Media, source: Path | bytes, stack: AsyncExitStack) -> _Found:
    owner = job.request.project_id
    if kind_of(media.role) is Kind.PICTURE:
        with own_input(), _decoding():
            rule = context.models.picture_rule(job.request.spec, media.role)
            picture = await context.media.picture(source, rule, owner=owner)
        # On disk from here on: a job may have many, and several jobs are prepared at once.
        path, pin = await stack.enter_async_context(_spooled(context, owner, picture.data))
        return _Found(
            media=media,
            path=path,
            pin=pin,
            content_type=picture.content_type,
            width=picture.width,
            height=picture.height,
            warnings=tuple(_warning(text) for text in picture.warnings),
        )
    if isinstance(source, bytes):
        raise MediaRefused("only pictures may be sent inline; give a video or a sound by uri", reason="MEDIA_REFUSED")
    with own_input(), _decoding():
        clip = await context.media.probe(source, owner=owner)
    return _Found(
        media=media,
        path=source,
        content_type=clip.content_type,
        width=clip.width,
        height=clip.height,
        duration_seconds=clip.duration_seconds,
    )


@asynccontextmanager
async def _spooled(context: StepContext, owner: str, data: bytes) -> AsyncIterator[tuple[Path, Pin]]:
    """Keeps bytes in a temporary file for as long as the context lasts."""
    path = context.temp_dir / f"input-{uuid4().hex}"
    try:
        yield path, await context.files.run(partial(spool, path, data), owner=owner)
    finally:
        await context.files.run(partial(path.unlink, missing_ok=True), owner=owner)


@contextmanager
def _decoding() -> Iterator[None]:
    """Raises DecodersBusy, to distinguish busy decoders from a URL that cannot be fetched."""
    try:
        yield
    except MediaUnreachable as exc:
        raise DecodersBusy(str(exc)) from exc


def _warning(text: str) -> JobWarning:
    code, found, message = text.partition(": ")
    return JobWarning(code=code, message=message) if found else JobWarning(code="PICTURE_CHANGED", message=text)


async def _keep(
    context: StepContext, job: Job, fencing_token: str, number: int, item: _Found, stack: AsyncExitStack
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
    folder = "audio" if kind_of(media.role) is Kind.AUDIO else "images"
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
        pin = (await _asset(context, job, media, measured.path, stack)).pin
    return _Kept(input=replace(kept, asset=measured.path), pin=pin, made=measured, warnings=made.warnings)


async def _chunks(source: Source) -> AsyncIterator[bytes]:
    sent = 0
    while chunk := await source.read(sent, CHUNK_BYTES):
        yield chunk
        sent += len(chunk)
