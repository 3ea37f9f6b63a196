"""Turns the inputs that the scene keeps into what the provider accepts: a data URI, or an upload beyond its limit."""

import asyncio
import base64
from contextlib import AsyncExitStack
from pathlib import Path

from evergreen_server.jobs.media import MediaRefused
from evergreen_server.jobs.model import Input, Job
from evergreen_server.jobs.provider import PreparedMedia, Role
from evergreen_server.jobs.work import Tools
from evergreen_storage import NotFound

MAX_DATA_URI = 5 * 1024 * 1024
"""Characters of the whole encoded URI, the provider's bound."""


async def load_inputs(tools: Tools, job: Job) -> list[PreparedMedia]:
    """Loads every input of a job.

    Raises MediaRefused where one is gone, else StorageError, and ProviderError where an upload fails.
    """
    return [
        PreparedMedia(role=Role(item.role), uri=item.uri or await _uri(tools, job, item), at_seconds=item.at_seconds)
        for item in job.inputs
    ]


async def _uri(tools: Tools, job: Job, item: Input) -> str:
    request = job.request
    async with AsyncExitStack() as stack:
        opening = tools.scenes.local_path(request.project_id, request.scene_id, item.asset)
        try:
            path: Path = await stack.enter_async_context(opening)
        except NotFound:
            raise MediaRefused(f"the input {item.asset} is no longer in the scene", reason="MEDIA_REFUSED") from None
        prefix = f"data:{item.content_type};base64,"
        data = await asyncio.to_thread(_head, path, MAX_DATA_URI)
        if len(prefix) + 4 * -(-len(data) // 3) <= MAX_DATA_URI:
            return prefix + base64.b64encode(data).decode()
        return await tools.provider.upload(item.asset.rpartition("/")[2], item.content_type, path)


def _head(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)
