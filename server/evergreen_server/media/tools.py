"""The room's one door: fetches, pictures and clips behind the protocol that jobs declare."""

import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from aiohttp.abc import AbstractResolver

from evergreen_server.jobs.media import Clip, Fetched, MediaRefused, MediaUnreachable, Picture
from evergreen_server.jobs.provider import Kind, PictureRule
from evergreen_server.media import clips, pictures
from evergreen_server.media.fetch import Fetcher
from evergreen_server.media.guard import ThreadResolver
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.signatures import sniff
from evergreen_server.media.urls import UrlPolicy
from evergreen_server.media.workers import Busy, TooSlow, Workers

T = TypeVar("T")

_FILE_THREADS = 4
_NAME_THREADS = 8


class Media:
    """Fetches and examines what comes from outside; fits `MediaTools`. Open as a context.

    `private_hosts` are the `host` or `host:port` names that may be fetched although they are private.
    `temp_dir` must exist; a fetched body lies there while its context is open. Without a `resolver`, names
    are resolved by the system. Sessions and threads are its own: it leaves the loop's executor alone.
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
        # Pillow reports damaged metadata and large sizes as Python warnings; what matters is judged here.
        # Set once for the process, because a filter set around each call would race between threads.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        async with AsyncExitStack() as stack:
            files = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="media-files")
            stack.callback(files.shutdown, wait=False)
            names = ThreadPoolExecutor(_NAME_THREADS, thread_name_prefix="media-names")
            stack.callback(names.shutdown, wait=False, cancel_futures=True)
            self._pictures = self._workers("media-pictures", stack)
            self._clips = self._workers("media-clips", stack)
            self._fetcher = await stack.enter_async_context(
                Fetcher(
                    policy=self._policy,
                    limits=self._limits,
                    resolver=self._resolver or ThreadResolver(names),
                    executor=files,
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

    def uri_faults(self, uri: str) -> str | None:
        """Tells what is wrong with a URL by its text alone, or None. Needs no open context."""
        try:
            self._policy.checked(uri)
        except MediaRefused as exc:
            return str(exc)
        return None

    def sniff(self, head: bytes) -> str | None:
        """Names the content type of a file by its first HEAD_BYTES, or None. Needs no open context."""
        return sniff(head)

    def may_pass_on(self, uri: str) -> bool:
        """Tells whether the provider may be given this URL itself. Needs no open context."""
        return self._policy.may_pass_on(uri)

    async def picture(self, source: Path | bytes, rule: PictureRule, *, owner: str) -> Picture:
        """Decodes, normalises and encodes a picture. Raises MediaRefused; MediaUnreachable when too busy."""
        return await self._work(
            self._pictures, partial(pictures.prepare, source, rule, self._limits), owner, reason="PICTURE_INVALID"
        )

    async def probe(self, path: Path, *, owner: str) -> Clip:
        """Reads a video's or sound's container. Raises MediaRefused; MediaUnreachable when too busy."""
        return await self._work(self._clips, partial(clips.probe, path, self._limits), owner, reason="MEDIA_REFUSED")

    async def poster(self, path: Path, *, owner: str) -> bytes:
        """Makes a JPEG of a frame near the start. Raises MediaRefused; MediaUnreachable when too busy."""
        return await self._work(self._clips, partial(clips.poster, path, self._limits), owner, reason="MEDIA_REFUSED")

    async def _work(self, workers: Workers, work: Callable[[], T], owner: str, *, reason: str) -> T:
        try:
            return await workers.run(work, owner=owner)
        except Busy:
            raise MediaUnreachable("too many files are being decoded; try again later") from None
        except TooSlow:
            raise MediaRefused("the file took too long to decode", reason=reason) from None

    def _workers(self, name: str, stack: AsyncExitStack) -> Workers:
        workers = Workers(
            name=name,
            at_once=self._limits.decoders_at_once,
            wait_seconds=self._limits.wait_seconds,
            # The work watches the same bound by itself, and then names the cause better.
            work_seconds=self._limits.work_seconds * 1.5,
        )
        stack.callback(workers.close)
        return workers
