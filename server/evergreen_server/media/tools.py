"""The entry to this package: fetches, pictures and clips, as the protocol `MediaTools`, and thumbnails."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from uuid import uuid4

from aiohttp.abc import AbstractResolver

from evergreen_server.media.decoders import Decoders
from evergreen_server.media.fetch import Fetcher
from evergreen_server.media.guard import ThreadResolver
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.orders import Order, Work
from evergreen_server.media.signatures import misfit, sniff
from evergreen_server.media.urls import UrlPolicy
from evergreen_server.ports.catalog import PictureRule
from evergreen_server.ports.media import Clip, Fetched, MediaRefused, Pauses, Picture
from evergreen_server.ports.specs import Kind
from evergreen_server.runtime.threads import OwnThreads

T = TypeVar("T")

_FILE_THREADS = 4
_NAME_THREADS = 8
_THUMBNAIL_THREADS = 2


class Media:
    """Fetches and examines what comes from outside; implements `MediaTools`. Open as a context.

    `private_hosts` are the `host` or `host:port` names that may be fetched although they are private.
    `temp_dir` must exist; bodies and pictures lie there while they are worked on. Without a `resolver`, names
    are resolved by the system. Sessions, threads and processes are its own: it leaves the loop's executor alone.
    """

    def __init__(
        self,
        *,
        private_hosts: Iterable[str],
        limits: MediaLimits,
        temp_dir: Path,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._limits = limits
        self._policy = UrlPolicy(private_hosts=private_hosts, ports=limits.ports)
        self._resolver = resolver
        self._temp_dir = temp_dir

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._files = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="media-files")
            stack.callback(self._files.shutdown, wait=False)
            names = ThreadPoolExecutor(_NAME_THREADS, thread_name_prefix="media-names")
            stack.callback(names.shutdown, wait=False, cancel_futures=True)
            self._decoders = await stack.enter_async_context(Decoders(self._limits))
            self._fetcher = await stack.enter_async_context(
                Fetcher(
                    policy=self._policy,
                    limits=self._limits,
                    resolver=self._resolver or ThreadResolver(names),
                    executor=self._files,
                    temp_dir=self._temp_dir,
                )
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def fetch(self, uri: str, kind: Kind, *, owner: str) -> AbstractAsyncContextManager[Fetched]:
        """Fetches a caller's URL into a temporary file. Raises MediaRefused, MediaUnreachable."""
        return self._fetcher.fetch(uri, kind, owner=owner)

    def uri_error(self, uri: str) -> str | None:
        """Returns what is wrong with a URL by its text alone, or None. Needs no open context."""
        try:
            self._policy.check(uri)
        except MediaRefused as exc:
            return str(exc)
        return None

    def sniff(self, head: bytes) -> str | None:
        """Returns the content type of a file by its first HEAD_BYTES, or None. Needs no open context."""
        return sniff(head)

    def misfit(self, head: bytes, kind: Kind) -> str:
        """Returns why a file with these first bytes cannot be used; empty if it may be. Needs no open context."""
        return misfit(head, kind)

    def may_pass_on(self, uri: str) -> bool:
        """Returns whether this URL may be passed to the provider as it is. Needs no open context."""
        return self._policy.may_pass_on(uri)

    async def picture(self, source: Path | bytes, rule: PictureRule, *, owner: str) -> Picture:
        """Decodes, normalises and encodes a picture. Raises MediaRefused; MediaUnreachable when too busy."""
        async with AsyncExitStack() as stack:
            if isinstance(source, bytes):
                source = await stack.enter_async_context(self._file(source))
            return await self._picture(Work.PICTURE, source, rule, owner)

    async def last_frame(self, path: Path, *, owner: str) -> Picture:
        """Takes the last frame out of a clip. Raises MediaRefused; MediaUnreachable when too busy."""
        return await self._picture(Work.LAST_FRAME, path, PictureRule(), owner)

    async def _picture(self, work: Work, source: Path, rule: PictureRule, owner: str) -> Picture:
        async with self._file(b"") as made:
            order = Order(work=work, source=str(source), target=str(made), rule=rule)
            answer = await self._decoders.run(order, owner=owner)
            data = await self._in_thread(made.read_bytes)
        return Picture(
            data=data,
            content_type=answer.content_type,
            width=answer.width,
            height=answer.height,
            warnings=answer.warnings,
        )

    async def probe(self, path: Path, *, owner: str) -> Clip:
        """Reads a video's or sound's container. Raises MediaRefused; MediaUnreachable when too busy."""
        return await self._measured(Work.PROBE, path, owner)

    async def measure(self, path: Path, *, owner: str) -> Clip:
        """Decodes a whole picture. Raises MediaRefused; MediaUnreachable when too busy."""
        return await self._measured(Work.MEASURE, path, owner)

    async def hear(self, path: Path, *, owner: str) -> Clip:
        """Decodes a whole sound. Raises MediaRefused; MediaUnreachable when too busy."""
        return await self._measured(Work.HEAR, path, owner)

    async def pauses(self, path: Path, *, owner: str) -> Pauses:
        """Finds the pauses of a speech. Raises MediaRefused; MediaUnreachable when too busy."""
        return (await self._decoders.run(Order(work=Work.PAUSES, source=str(path)), owner=owner)).pauses

    async def _measured(self, work: Work, path: Path, owner: str) -> Clip:
        answer = await self._decoders.run(Order(work=work, source=str(path)), owner=owner)
        return Clip(
            content_type=answer.content_type,
            width=answer.width,
            height=answer.height,
            duration_seconds=answer.duration_seconds,
            codec=answer.codec,
            frame_rate=answer.frame_rate,
        )

    async def poster(self, path: Path, *, owner: str) -> bytes:
        """Makes a JPEG of a frame near the start. Raises MediaRefused; MediaUnreachable when too busy."""
        async with self._file(b"") as made:
            await self._decoders.run(Order(work=Work.POSTER, source=str(path), target=str(made)), owner=owner)
            return await self._in_thread(made.read_bytes)

    @asynccontextmanager
    async def _file(self, data: bytes) -> AsyncIterator[Path]:
        """Writes bytes into a file that is removed when the context ends."""
        path = self._temp_dir / f"decode-{uuid4().hex}"
        try:
            await self._in_thread(partial(path.write_bytes, data))
            yield path
        finally:
            await asyncio.shield(self._in_thread(partial(path.unlink, missing_ok=True)))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._files, work)


class Thumbnailer:
    """Makes thumbnails in processes of its own, so that no job waits for those who look at pictures. Open as a context.

    `temp_dir` must exist; each picture lies there while it is worked on.
    """

    def __init__(self, *, limits: MediaLimits, temp_dir: Path) -> None:
        self._limits = limits
        self._temp_dir = temp_dir

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._threads = await stack.enter_async_context(OwnThreads(_THUMBNAIL_THREADS, name="thumbnails"))
            self._decoders = await stack.enter_async_context(Decoders(self._limits))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def thumbnail(self, data: bytes, width: int, *, owner: str) -> bytes:
        """Returns a JPEG at most `width` pixels wide. Raises MediaRefused; MediaUnreachable when too busy."""
        source, made = (self._temp_dir / f"thumbnail-{uuid4().hex}" for _ in range(2))
        try:
            await self._threads.run(partial(source.write_bytes, data), owner=owner)
            order = Order(work=Work.THUMBNAIL, source=str(source), target=str(made), width=width)
            await self._decoders.run(order, owner=owner)
            return await self._threads.run(made.read_bytes, owner=owner)
        finally:
            for path in (source, made):
                await asyncio.shield(self._threads.run(partial(path.unlink, missing_ok=True), owner=owner))
