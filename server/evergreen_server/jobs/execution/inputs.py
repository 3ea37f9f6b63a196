"""Turns the inputs kept in the scene into what the provider accepts: a data URI, or an upload if too large for one.

Only the bytes that were checked are sent: a file that has changed since is refused.
"""

import base64
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from evergreen_server.jobs.execution.context import StepContext
from evergreen_server.jobs.execution.pins import Source, pin_of
from evergreen_server.jobs.model.job import Input, Job, Pin
from evergreen_server.ports.media import MediaRefused
from evergreen_server.ports.specs import PreparedMedia, Role
from evergreen_storage import NotFound

MAX_DATA_URI = 5 * 1024 * 1024
"""The most characters of one encoded URI, by the provider's rule."""
MAX_DATA_URIS = 8 * 1024 * 1024
"""The most characters of all of a job's URIs: the provider's gateway refuses requests of 10 MB."""


async def load_inputs(context: StepContext, job: Job) -> list[PreparedMedia]:
    """Loads every input of a job.

    Raises MediaRefused if one is gone or has changed, StorageError and OSError if it cannot be read, and ProviderError
    if an upload fails.
    """
    loaded: list[PreparedMedia] = []
    left = MAX_DATA_URIS
    for number, (item, pin, media) in enumerate(zip(job.inputs, job.pins, job.request.spec.media, strict=True)):
        uri = item.uri
        if pin is not None:
            uri = await _uri(context, job, number, pin, left)
            left -= len(uri)
        loaded.append(
            PreparedMedia(
                role=Role(item.role), uri=uri, at_seconds=item.at_seconds, tag=media.tag, subject=media.subject
            )
        )
    return loaded


def scene_of(job: Job, number: int) -> str:
    """Returns the scene that has an input: the one that the request names, unless the job made a file of its own."""
    media = job.request.spec.media[number]
    return media.scene_id if media.scene_id and job.inputs[number].asset == media.asset else job.request.scene_id


async def _uri(context: StepContext, job: Job, number: int, pin: Pin, left: int) -> str:
    owner, item = job.request.project_id, job.inputs[number]
    async with AsyncExitStack() as stack:
        opening = context.scenes.local_path(owner, scene_of(job, number), item.asset)
        try:
            path: Path = await stack.enter_async_context(opening)
        except NotFound:
            raise MediaRefused(f"the input {item.asset} is no longer in the scene", reason="MEDIA_REFUSED") from None
        prefix = f"data:{item.content_type};base64,"
        source = Source(files=context.files, path=path, owner=owner)
        if len(prefix) + 4 * -(-pin.size_bytes // 3) <= min(MAX_DATA_URI, left):
            # One byte more, to notice if the file has grown.
            data = await source.read(0, pin.size_bytes + 1)
            _require_unchanged(item, source.pin, pin)
            return prefix + base64.b64encode(data).decode()
        # Checked before it is sent and as it was sent: the file may be written to meanwhile.
        _require_unchanged(item, await context.files.run(partial(pin_of, path), owner=owner), pin)
        uri = await context.provider.upload(
            item.asset.rpartition("/")[2], item.content_type, pin.size_bytes, source.read
        )
        _require_unchanged(item, source.pin, pin)
        return uri


def _require_unchanged(item: Input, found: Pin, pin: Pin) -> None:
    if found != pin:
        text = f"the input {item.asset} has changed since it was checked: it has other bytes now"
        raise MediaRefused(text, reason="MEDIA_REFUSED")
