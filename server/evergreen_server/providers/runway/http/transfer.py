"""Moves files: uploads of inputs to the provider's storage, and downloads of outputs from signed URLs.

Signed URLs are secrets: they carry their own authority, go into no log and no error text, and get no API key.
"""

import errno
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from yarl import URL

from evergreen_server.ports.provider import Download, OutputUnavailable, ProviderUnavailable, Read
from evergreen_server.providers.runway.http.exchange import NETWORK_ERRORS
from evergreen_server.providers.runway.http.retry import Retryable

__all__ = ["UPLOAD_LEAST", "UPLOAD_MOST", "FileBody", "NotStored", "open_download", "signed_url", "store"]

UPLOAD_LEAST, UPLOAD_MOST = 512, 200_000_000

CHUNK_LEAST, CHUNK_READ = 256 << 10, 512 << 10
PIECE = 1 << 20

GONE_STATUSES = (401, 403, 404, 410)
SEND_ERRORS = (*NETWORK_ERRORS, ValueError)
"""ValueError: a URL or form field that the provider returned may be one that cannot be sent."""
TEMPORARY_STATUSES = (408, 425, 429)
"""Refusals that another try may not meet."""


class NotStored(Retryable):
    """The provider's storage refused a file. Another upload URL may help; if none does, the file is unusable."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The provider's storage refused the upload with HTTP {status}.")
        self.status = status


def signed_url(url: str, *, allow_http: bool) -> URL:
    """Returns a URL unchanged, since its signature covers its spelling. Raises ValueError where it is not usable."""
    parsed = URL(url, encoded=True)
    if parsed.scheme not in (("https", "http") if allow_http else ("https",)) or not parsed.host:
        raise ValueError("not an https URL")
    return parsed


class FileBody(Payload):
    """A file as a part of a form, read piece by piece by the caller's `read`; `error` is what it raised."""

    def __init__(self, name: str, content_type: str, size: int, read: Read) -> None:
        super().__init__(None, content_type=content_type)
        self.name = name
        self._size = size
        self._read = read
        self.error: OSError | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a file is no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        size, sent = self._size or 0, 0
        while sent < size:
            try:
                piece = await self._read(sent, min(PIECE, size - sent))
            except OSError as exc:
                self.error = exc
                raise
            if not piece:
                self.error = OSError(errno.EIO, "the file became shorter")
                raise self.error
            await writer.write(piece)
            sent += len(piece)


async def store(
    session: aiohttp.ClientSession,
    url: URL,
    fields: Mapping[str, str],
    file: FileBody,
    *,
    limits: aiohttp.ClientTimeout,
    proxy: URL | None,
) -> None:
    """Posts a file to storage, after its fields.

    Raises NotStored, the OSError of reading the file, or else Retryable; the caller decides what to repeat.
    """
    form = aiohttp.FormData()
    for key, value in fields.items():
        form.add_field(key, value)
    form.add_field("file", file, filename=file.name)
    try:
        async with session.post(url, data=form, timeout=limits, allow_redirects=False, proxy=proxy) as response:
            status = response.status
    except SEND_ERRORS:
        if file.error is not None:
            raise file.error from None
        raise Retryable("The upload to the provider's storage broke off.") from None
    if 400 <= status < 500 and status not in TEMPORARY_STATUSES:
        raise NotStored(status)
    if not 200 <= status < 300:
        raise Retryable(f"The provider's storage answered HTTP {status}.")


@asynccontextmanager
async def open_download(
    session: aiohttp.ClientSession, url: URL, *, offset: int, limits: aiohttp.ClientTimeout, proxy: URL | None
) -> AsyncIterator[Download]:
    """Opens an output from `offset`, or from its start where the server supports no ranges."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    try:
        response = await session.get(
            url,
            headers=headers,
            timeout=limits,
            allow_redirects=False,
            read_bufsize=CHUNK_READ,
            auto_decompress=False,
            proxy=proxy,
        )
    except SEND_ERRORS:
        raise ProviderUnavailable("The output could not be opened.") from None
    try:
        yield _describe(response, offset)
    finally:
        # Closes the connection, so that an unread rest is not read before it returns to the pool.
        response.close()


def _describe(response: aiohttp.ClientResponse, offset: int) -> Download:
    content_type = response.headers.get("Content-Type", "application/octet-stream")
    match response.status:
        case 200:
            size = response.content_length
            return Download(chunks=_chunks(response, size), size=size, offset=0, content_type=content_type)
        case 206 if (found := _content_range(response)) and found[0] == offset:
            size = found[1]
            rest = response.content_length if size is None else size - offset
            return Download(chunks=_chunks(response, rest), size=size, offset=offset, content_type=content_type)
        case 416 if response.headers.get("Content-Range", "").strip() == f"bytes */{offset}":
            return Download(chunks=_nothing(), size=offset, offset=offset, content_type=content_type)
        case status if status in GONE_STATUSES:
            raise OutputUnavailable(f"The output's URL answers HTTP {status}; it has expired or the output is gone.")
        case status:
            raise ProviderUnavailable(f"The output's server answered HTTP {status}.")


def _content_range(response: aiohttp.ClientResponse) -> tuple[int, int | None] | None:
    found = re.fullmatch(
        r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", response.headers.get("Content-Range", "").strip()
    )
    return (int(found[1]), None if found[2] == "*" else int(found[2])) if found else None


async def _chunks(response: aiohttp.ClientResponse, expected: int | None) -> AsyncIterator[bytes]:
    """Yields pieces of 256 to 768 KiB, joining small network reads. Raises ProviderUnavailable for a wrong length."""
    received, waiting = 0, bytearray()
    pieces = response.content.iter_chunked(CHUNK_READ)
    while True:
        try:
            piece = await anext(pieces, b"")
        except NETWORK_ERRORS:
            raise ProviderUnavailable("The output broke off before its end.") from None
        received += len(piece)
        waiting += piece
        if waiting and (len(waiting) >= CHUNK_LEAST or not piece):
            yield bytes(waiting)
            waiting.clear()
        if not piece:
            break
    if expected is not None and received != expected:
        raise ProviderUnavailable("The output ended before its promised length.")


async def _nothing() -> AsyncIterator[bytes]:
    for _ in range(0):
        yield b""
