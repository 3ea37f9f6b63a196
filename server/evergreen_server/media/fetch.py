"""Fetches what a caller's URL names into a temporary file, bounded in size and time, from public hosts only.

Redirects are followed by hand: `urls` judges the text of each, `guard` the address of each connection.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, assert_never
from uuid import uuid4

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from aiohttp.http_parser import RawResponseMessage
from yarl import URL

from evergreen_server.media.guard import NotPublic, guarded_connector, trusting_connector
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.signatures import HEAD_BYTES, as_sound, sniff
from evergreen_server.media.spool import Spool
from evergreen_server.media.urls import UrlPolicy
from evergreen_server.ports.media import Fetched, MediaError, MediaRefused, MediaUnreachable
from evergreen_server.ports.specs import Kind
from evergreen_server.runtime.turns import Turns

MAX_REDIRECTS = 3
MAX_HEADS = 20
"""Interim answers (1xx) and the final one."""

T = TypeVar("T")

_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK_BYTES = 256 * 1024
_UNCHANGED = frozenset({"", "identity", "none", "binary", "aws-chunked", "utf-8"})
"""What servers state as the encoding of plain bytes; object stores keep the aws-chunked of a signed upload."""


class Fetcher:
    """Fetches callers' URLs over sessions that carry no cookie, no proxy and no credentials of ours.

    Open as a context. Files are written by `executor`; names are resolved by `resolver`.
    """

    def __init__(
        self, *, policy: UrlPolicy, limits: MediaLimits, resolver: AbstractResolver, executor: Executor, temp_dir: Path
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._resolver = resolver
        self._executor = executor
        self._temp_dir = temp_dir
        self._places = Turns(limits.fetches_at_once)

    async def __aenter__(self) -> Self:
        # The socket guard does not know the host name, so trusted hosts have a session of their own.
        self._guarded = self._session(guarded_connector(self._resolver))
        self._trusted = self._session(trusting_connector(self._resolver))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._guarded.close()
        await self._trusted.close()

    @asynccontextmanager
    async def fetch(self, uri: str, kind: Kind, *, owner: str) -> AsyncIterator[Fetched]:
        """Fetches `uri` into a file that is removed when the context ends, in any case.

        Raises MediaRefused and MediaUnreachable; an OSError of the local disk passes through.
        """
        url = self._policy.check(uri)
        spool = Spool(self._temp_dir / f"fetch-{uuid4().hex}")
        try:
            yield await self._download(url, kind, spool, owner)
        finally:
            # Shielded, so that a second cancellation leaves the file to be removed by its thread.
            await asyncio.shield(self._in_thread(spool.discard))

    async def _download(self, url: URL, kind: Kind, spool: Spool, owner: str) -> Fetched:
        seconds = self._limits.picture_seconds if kind is Kind.PICTURE else self._limits.stream_seconds
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._limits.wait_seconds):
                    await stack.enter_async_context(self._places.of(owner))
            except TimeoutError:
                raise MediaUnreachable("too many fetches are under way; try again later") from None
            try:
                async with asyncio.timeout(seconds):
                    return await self._follow(url, kind, spool)
            except TimeoutError:
                raise MediaUnreachable(f"{url.raw_host} did not deliver the whole body in {seconds:g} s") from None

    async def _follow(self, url: URL, kind: Kind, spool: Spool) -> Fetched:
        for hop in range(MAX_REDIRECTS + 1):
            try:
                async with self._get(url, kind) as response:
                    if response.status == 200:
                        return replace(await self._receive(response, kind, spool), redirected=hop > 0)
                    url = self._next(url, response)
            except (aiohttp.ClientError, TimeoutError) as exc:
                error = _media_error(exc, url.raw_host or "")
                error.redirected = hop > 0
                raise error from exc
            except MediaError as exc:
                exc.redirected = hop > 0
                raise
        raise MediaRefused(f"the URL leads to more than {MAX_REDIRECTS} redirects", reason="MEDIA_REFUSED")

    @asynccontextmanager
    async def _get(self, url: URL, kind: Kind) -> AsyncIterator[aiohttp.ClientResponse]:
        session = self._trusted if self._policy.trusts(url) else self._guarded
        try:
            response = await session.get(url, allow_redirects=False, headers=_headers(kind))
        except (OSError, ValueError, LookupError) as exc:
            if isinstance(exc, aiohttp.ClientError | TimeoutError):
                raise
            # Nothing has touched the disk yet, so the library failed on an answer or an address.
            raise aiohttp.ClientConnectionError("the answer makes no sense") from exc
        async with response:
            yield response

    def _next(self, url: URL, response: aiohttp.ClientResponse) -> URL:
        location = response.headers.get(hdrs.LOCATION)
        if response.status not in _REDIRECTS or location is None:
            raise MediaUnreachable(f"{url.raw_host} answered with HTTP status {response.status}")
        try:
            target = url.join(URL(location, encoded=location.isascii()))
            # A port out of range raises only here.
            text = str(target)
        except ValueError:
            raise MediaRefused(f"{url.raw_host} redirects to a malformed URL", reason="MEDIA_REFUSED") from None
        if url.scheme == "https" and target.scheme == "http":
            raise MediaRefused(f"{url.raw_host} redirects from https to http", reason="MEDIA_REFUSED")
        try:
            return self._policy.check(text)
        except MediaRefused as exc:
            raise MediaRefused(f"{url.raw_host} redirects to a refused URL: {exc}", reason=exc.reason) from None

    async def _receive(self, response: aiohttp.ClientResponse, kind: Kind, spool: Spool) -> Fetched:
        limit = self._limits.picture_bytes if kind is Kind.PICTURE else self._limits.stream_bytes
        words = ",".join(response.headers.getall(hdrs.CONTENT_ENCODING, [])).lower().split(",")
        if not _UNCHANGED.issuperset(word.strip() for word in words):
            raise MediaRefused("the body came compressed although that was not asked for", reason="MEDIA_REFUSED")
        if (response.content_length or 0) > limit:
            raise _too_large(kind, limit)
        size, head = 0, b""
        await self._in_thread(spool.open)
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            size += len(chunk)
            if size > limit:
                raise _too_large(kind, limit)
            if len(head) < HEAD_BYTES:
                head = (head + chunk)[:HEAD_BYTES]
            await self._in_thread(partial(spool.write, chunk))
        await self._in_thread(spool.close)
        return Fetched(path=spool.path, size=size, content_type=_content_type(head, kind))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        limits = self._limits
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            # A compressed body of a few kilobytes can unpack to gigabytes.
            auto_decompress=False,
            read_bufsize=_CHUNK_BYTES,
            response_class=_Answer,
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=limits.connect_seconds,
                sock_connect=limits.connect_seconds,
                sock_read=limits.read_seconds,
            ),
        )


class _Answer(aiohttp.ClientResponse):
    """An answer after few interim ones. The library reads any number of them without yielding to other tasks."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol, left = connection.protocol, MAX_HEADS
        assert protocol is not None
        take = protocol.feed_data

        def take_few(data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                take(data, size)
            elif protocol.transport is not None:
                protocol.transport.abort()
                protocol.set_exception(aiohttp.ServerDisconnectedError())

        protocol.feed_data = take_few  # type: ignore[method-assign]  # there is no other way into it
        return await super().start(connection)


def _headers(kind: Kind) -> dict[str, str]:
    accept = f"{'image' if kind is Kind.PICTURE else kind.value}/*, */*;q=0.1"
    return {hdrs.ACCEPT: accept, hdrs.ACCEPT_ENCODING: "identity", hdrs.USER_AGENT: "evergreen"}


def _content_type(head: bytes, kind: Kind) -> str:
    """Returns the type of what arrived. Raises MediaRefused; an unknown picture format is left to the decoder."""
    if not head:
        reason = "PICTURE_INVALID" if kind is Kind.PICTURE else "MEDIA_REFUSED"
        raise MediaRefused("the URL's body is empty", reason=reason)
    found = sniff(head)
    match kind:
        case Kind.PICTURE:
            content_type = found or "application/octet-stream"
            fits = found is None or found.startswith("image/")
        case Kind.VIDEO:
            content_type = found or "of no known kind"
            fits = content_type.startswith("video/")
        case Kind.AUDIO:
            content_type = as_sound(found or "of no known kind")
            fits = content_type.startswith("audio/")
        case _:
            assert_never(kind)
    if not fits:
        raise MediaRefused(f"the URL's body is {content_type}, not a {kind.value}", reason="MEDIA_REFUSED")
    return content_type


def _too_large(kind: Kind, limit: int) -> MediaRefused:
    return MediaRefused(f"the {kind.value} is larger than {limit} bytes", reason="MEDIA_REFUSED")


def _media_error(exc: aiohttp.ClientError | TimeoutError, host: str) -> MediaRefused | MediaUnreachable:
    """Translates a failure into a text of our own: the library's may repeat the URL, which may be signed."""
    match exc:
        case aiohttp.ClientConnectorError(os_error=NotPublic()):
            return MediaRefused(f"{host} is not at a public address", reason="MEDIA_REFUSED")
        case aiohttp.ClientConnectorDNSError():
            return MediaUnreachable(f"the name {host} does not resolve")
        case aiohttp.ClientSSLError():
            return MediaUnreachable(f"no trusted TLS connection to {host}")
        case aiohttp.ClientConnectorError():
            return MediaUnreachable(f"no connection to {host}")
        case TimeoutError():
            return MediaUnreachable(f"{host} was silent for too long")
        case _:
            return MediaUnreachable(f"the transfer from {host} broke off")
