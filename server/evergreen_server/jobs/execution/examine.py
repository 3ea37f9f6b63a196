"""Looks at one input of a job: fetches or reads it, and checks that it is what the model takes and what was quoted."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from evergreen_server.jobs.execution.context import StepContext
from evergreen_server.jobs.execution.pins import pin_of, spool
from evergreen_server.jobs.execution.trouble import DecodersBusy, own_input
from evergreen_server.jobs.model.job import Job, JobWarning, Pin
from evergreen_server.jobs.model.states import Stage
from evergreen_server.ports.catalog import MEASURED_MORE, MediaRule
from evergreen_server.ports.media import Clip, MediaError, MediaRefused, MediaUnreachable
from evergreen_server.ports.specs import Kind, Media, kind_of
from evergreen_storage import AssetConflict, InvalidKey, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
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


async def find_input(context: StepContext, job: Job, number: int, media: Media, stack: AsyncExitStack) -> Found:
    """Returns one input, counted from 0, checked; its file lasts as long as the stack. Raises MediaError, DecodersBusy,
    InputFailure, StorageError.
    """
    if media.digest is not None:
        data = await context.store.inline(job.job_id, media.digest)
        return await _examine(context, job, number, media, data, stack)
    if media.asset is not None:
        return await find_asset(context, job, number, media, stack)
    assert media.uri is not None
    if job.stage is not Stage.PREPARING:
        # It was passed on then.
        return Found(media=media, uri=media.uri)
    for tries in range(context.limits.media_tries):
        try:
            with own_input():
                fetched = await stack.enter_async_context(
                    context.media.fetch(media.uri, kind_of(media.role), owner=job.request.project_id)
                )
            redirected = fetched.redirected
            return await _examine(context, job, number, media, fetched.path, stack)
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
    # The provider follows no redirects, and would refuse what we could not use. The length of a source that nobody
    # measured may cost more than was quoted.
    priced = job.request.spec.operation is not None and kind_of(media.role) is not Kind.PICTURE
    if redirected or priced or not context.media.may_pass_on(media.uri):
        raise last
    text = f"the provider is to fetch the URL itself, since we could not use it: {last}"
    return Found(media=media, uri=media.uri, warnings=(JobWarning(code="URI_PASSED_ON", message=text),))


async def find_asset(context: StepContext, job: Job, number: int, media: Media, stack: AsyncExitStack) -> Found:
    """Returns an input that is a file of a scene, as `find_input` does."""
    owner, scene_id, asset = job.request.project_id, media.scene_id or job.request.scene_id, media.asset
    assert asset is not None
    try:
        if await context.scenes.existing(owner, scene_id, asset) is None:
            raise MediaRefused(f"the scene has no asset {asset}", reason="MEDIA_REFUSED")
        path = await stack.enter_async_context(context.scenes.local_path(owner, scene_id, asset))
    except (NotFound, InvalidKey, AssetConflict) as exc:
        text = f"the asset {asset} is gone, or is not the file that the scene names: {exc}"
        raise MediaRefused(text, reason="MEDIA_REFUSED") from exc
    # First, so that a file that replaces it from now on is recognized as another.
    pin = await context.files.run(partial(pin_of, path), owner=owner)
    found = await _examine(context, job, number, media, path, stack)
    if found.path != path and found.pin != pin:
        # It was changed to suit the model, and is kept beside the original.
        return found
    return replace(found, path=None, pin=pin, asset=asset)


async def _examine(
    context: StepContext, job: Job, number: int, media: Media, source: Path | bytes, stack: AsyncExitStack
) -> Found:
    owner = job.request.project_id
    if kind_of(media.role) is Kind.PICTURE:
        with own_input(), _decoding():
            rule = context.models.picture_rule(job.request.spec, media.role)
            picture = await context.media.picture(source, rule, owner=owner)
        # On disk from here on: a job may have many, and several jobs are prepared at once.
        path, pin = await stack.enter_async_context(_spooled(context, owner, picture.data))
        return Found(
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
    if text := _unfit(clip, context.models.media_rule(job.request.spec, number)):
        noun = media.role.value.replace("_", " ").lower()
        raise MediaRefused(f"the {noun} {text}", reason="MEDIA_REFUSED")
    return Found(
        media=media,
        path=source,
        content_type=clip.content_type,
        width=clip.width,
        height=clip.height,
        duration_seconds=clip.duration_seconds,
    )


def _unfit(clip: Clip, rule: MediaRule) -> str:
    """Returns why the model cannot take a video or sound, or would cost more than was quoted; empty if it fits."""
    seconds = clip.duration_seconds
    if rule.min_seconds is not None and seconds < rule.min_seconds:
        return f"is {seconds:.1f} s long; the model takes {rule.min_seconds:g} s at least"
    if rule.max_seconds is not None and seconds > rule.max_seconds + MEASURED_MORE:
        return f"is {seconds:.1f} s long; the request allows {rule.max_seconds:g} s at most"
    if rule.max_frame_rate is not None and clip.frame_rate > rule.max_frame_rate + MEASURED_MORE:
        return f"has {clip.frame_rate:g} frames per second; {rule.max_frame_rate:g} at most"
    size = f"has {clip.width}x{clip.height} pixels"
    if rule.max_side is not None and max(clip.width, clip.height) > rule.max_side:
        return f"{size}; no side may have more than {rule.max_side}"
    if rule.min_aspect is not None and clip.width < clip.height * rule.min_aspect:
        return f"{size}; it must be at least {rule.min_aspect:g} times as wide as high"
    if rule.max_aspect is not None and clip.width > clip.height * rule.max_aspect:
        return f"{size}; it may be {rule.max_aspect:g} times as wide as high at most"
    return ""


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
