"""Uploads a long body to a bucket, part by part; finished, or aborted so that no part is left."""

import logging
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import obstore
from obstore.exceptions import BaseError

from evergreen_storage.content_types import headers_of
from evergreen_storage.engines.buckets.errors import translated

if TYPE_CHECKING:
    from obstore.store import ObjectStore

logger = logging.getLogger(__name__)

# With this many parts of 5 MiB being sent, a stream holds about 20 MiB.
_PARTS_AT_ONCE: Final = 3


class Upload:
    """A multipart upload, as a context; leaving it without `finish` aborts the upload."""

    def __init__(self, store: "ObjectStore", *, key: str, path: str, content_type: str, part: int) -> None:
        self._key = key
        self._writer = obstore.open_writer_async(
            store,
            path,
            attributes=headers_of(content_type),
            buffer_size=part,
            max_concurrency=_PARTS_AT_ONCE,
        )
        self._finished = False

    async def write(self, block: bytes) -> None:
        """Adds the next bytes; waits while enough parts are being sent."""
        with translated(self._key, "written"):
            await self._writer.write(block)

    async def finish(self) -> None:
        """Ends the upload: completes it, or aborts it where that fails."""
        self._finished = True
        with translated(self._key, "written"):
            await self._writer.close()

    async def __aenter__(self) -> Self:
        await self._writer.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._finished:
            return
        try:
            await self._writer.__aexit__(kind, exc, traceback)
        except (BaseError, OSError):
            # The caller gets what made the upload fail; this is for the operator of the bucket.
            logger.warning("multipart upload not aborted", extra={"key": self._key})
