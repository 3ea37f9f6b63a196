"""What callers share: calls at once, streams, bodies on their way, and tries to log in; each with its bound."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

import grpc

from evergreen_server.gateway.problems import refused
from evergreen_server.runtime.turns import Turns

__all__ = ["Logins", "Places", "gateways_files", "most_connections"]

CALLS = 200
"""Calls with one answer; one caller alone gets half of them, and more of its calls wait."""
BODIES = 32
"""Bodies beyond `SMALL_BYTES` in memory. By address, since whoever sends one may have no token yet."""
TRANSFERS = 36
"""Of the server's 48 transfers, so that callers over gRPC find one free. One caller alone gets half of them."""
SLICES = 64
"""Parts of files in memory, 2 MiB each, of which one caller alone gets half."""
THUMBNAILS = 4
"""Pictures in memory that thumbnails are made of, 16 MiB each."""
FORMS = 8
"""Forms beyond `SMALL_BYTES` in memory, up to 20 MiB each; by address, as bodies."""
STREAMS = 10_000
STREAMS_EACH = 2000
KEPT_FILES = 512
SPARE_CONNECTIONS = 256
"""Connections beyond the streams, so that others are still answered where all streams are taken."""
WAIT_SECONDS = 30.0
TRANSFER_SECONDS = 10.0
FAILURES = 10
FAILURE_SECONDS = 60.0
MOST_ADDRESSES = 10_000


def gateways_files(files: int) -> int:
    """Returns how many files a gateway may have open that shares a process's so many with a gRPC server."""
    return files // 2


def most_streams(files: int) -> int:
    """Returns how many streams there may be if so many files may be open."""
    return max(16, min(STREAMS, files - KEPT_FILES))


def most_connections(files: int) -> int:
    """Returns how many connections there may be if so many files may be open."""
    return most_streams(files) + SPARE_CONNECTIONS


class Places:
    """Places for the requests of one gateway that may have `files` files open. Used on one loop."""

    def __init__(self, *, files: int, transfer_seconds: float = TRANSFER_SECONDS) -> None:
        self._transfer_seconds = transfer_seconds
        self.most = most_streams(files)
        """The most streams, and about as many connections."""
        self._calls = Turns(CALLS)
        self._bodies = Turns(BODIES)
        self._forms = Turns(FORMS)
        self._transfers = Turns(TRANSFERS)
        self._slices = Turns(SLICES)
        self._thumbnails = Turns(THUMBNAILS)
        self._streams: Counter[str] = Counter()

    @asynccontextmanager
    async def call(self, owner: str, seconds: float) -> AsyncIterator[float]:
        """Waits for a place of a call with one answer that is to end within so many seconds; yields how many are left.

        Raises Refused after half a minute, or when none are left.
        """
        ends = asyncio.get_running_loop().time() + seconds
        async with _in_time(self._calls, owner, "calls", min(seconds, WAIT_SECONDS)):
            yield max(0.0, ends - asyncio.get_running_loop().time())

    @asynccontextmanager
    async def body(self, address: str) -> AsyncIterator[None]:
        """Waits for a place of a large body. Raises Refused after half a minute."""
        async with _in_time(self._bodies, address, "bodies", WAIT_SECONDS):
            yield

    @asynccontextmanager
    async def form(self, address: str) -> AsyncIterator[None]:
        """Waits for a place of a large form. Raises Refused after half a minute."""
        async with _in_time(self._forms, address, "forms", WAIT_SECONDS):
            yield

    @asynccontextmanager
    async def transfer(self, owner: str) -> AsyncIterator[None]:
        """Waits for a place of a call that moves a file. Raises Refused after 10 s."""
        async with self.early_transfer(owner):
            yield

    @asynccontextmanager
    async def early_transfer(self, owner: str) -> AsyncIterator[Callable[[], None]]:
        """The same; yields what gives the place back before the end."""
        place = self._transfers.ask(owner)
        with ExitStack() as held:
            held.callback(self._transfers.give_back, owner, place)
            try:
                async with asyncio.timeout(self._transfer_seconds):
                    await place
            except TimeoutError:
                raise _busy("files are on their way") from None
            yield held.close

    @asynccontextmanager
    async def slice(self, owner: str) -> AsyncIterator[None]:
        """Waits for a place of a part of a file in memory. Raises Refused after 10 s."""
        async with _in_time(self._slices, owner, "files are being read", self._transfer_seconds, busy=_busy):
            yield

    @asynccontextmanager
    async def thumbnail(self, owner: str) -> AsyncIterator[None]:
        """Waits for a place of a thumbnail that is being made. Raises Refused after 10 s."""
        async with _in_time(self._thumbnails, owner, "thumbnails are being made", self._transfer_seconds, busy=_busy):
            yield

    @contextmanager
    def stream(self, owner: str) -> Iterator[None]:
        """Holds a place of a stream. Raises Refused at once if there is none."""
        self.take_stream(owner)
        try:
            yield
        finally:
            self.leave_stream(owner)

    def take_stream(self, owner: str) -> None:
        """Takes a place of a stream, until `leave_stream`. Raises Refused at once if there is none."""
        if self._streams[owner] >= STREAMS_EACH or self._streams.total() >= self.most:
            raise _full("streams")
        self._streams[owner] += 1

    def leave_stream(self, owner: str) -> None:
        self._streams[owner] -= 1
        if not self._streams[owner]:
            del self._streams[owner]


class Logins:
    """Counts tries to log in that failed, by address: ten a minute, then none until the oldest is a minute old."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def begin(self, address: str) -> None:
        """Counts a try, which fails unless `succeeded` is called. Raises Refused after too many."""
        now = self._monotonic()
        failed = self._failed.setdefault(address, deque(maxlen=FAILURES))
        self._failed.move_to_end(address)
        while failed and now - failed[0] >= FAILURE_SECONDS:
            failed.popleft()
        if len(failed) == FAILURES:
            raise refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "TOO_MANY_LOGINS",
                message=f"{FAILURES} tries to log in failed within a minute; wait before the next",
                retry_seconds=max(1, round(FAILURE_SECONDS - (now - failed[0]))),
            )
        failed.append(now)
        if len(self._failed) > MOST_ADDRESSES:
            self._failed.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Takes the newest try back."""
        if failed := self._failed.get(address):
            failed.pop()


@asynccontextmanager
async def _in_time(
    turns: Turns, owner: str, what: str, seconds: float, *, busy: Callable[[str], Exception] | None = None
) -> AsyncIterator[None]:
    place = turns.ask(owner)
    try:
        try:
            async with asyncio.timeout(seconds):
                await place
        except TimeoutError:
            raise (busy or _full)(what) from None
        yield
    finally:
        turns.give_back(owner, place)


def _full(what: str) -> Exception:
    return refused(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "QUEUE_FULL",
        message=f"too many {what} are open; close some, or try again later",
        retry_seconds=1,
    )


def _busy(what: str) -> Exception:
    return refused(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_TRANSFERS",
        message=f"too many {what}; try again later",
        status=503,
        retry_seconds=1,
    )
