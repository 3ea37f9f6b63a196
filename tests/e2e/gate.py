"""Stands before a port or a socket, and lets a test cut the way to it, hold what goes through, or let nobody in."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

CHUNK = 1 << 16

Dial = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Gate:
    """Forwards every connection made to `port` on loopback. It starts open."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._there = asyncio.Event()
        self._back = asyncio.Event()
        self._admitted = asyncio.Event()
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._crowd: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def open(self) -> None:
        """Lets everything through: what was held, and whoever stands before it."""
        for event in (self._there, self._back, self._admitted):
            event.set()
        while self._crowd:
            self._crowd.pop().close()
        if self._accepting is None:
            self._listener = _listener(self.port)
            self.port = self._listener.getsockname()[1]
            self._accepting = asyncio.create_task(self._accept(self._listener), name="gate")

    def mute(self) -> None:
        """Holds every byte from now on, in both directions, as a network that is gone: nobody is told."""
        self._there.clear()
        self._back.clear()

    def hold_answers(self) -> None:
        """Lets questions through, and holds what is answered."""
        self._back.clear()

    async def hold_callers(self) -> None:
        """Lets no new connection come about: whoever connects waits for it until the gate opens."""
        self._admitted.clear()
        # One that was accepted already, then as many as the listener's queue takes; the rest the kernel leaves waiting.
        loop = asyncio.get_running_loop()
        while True:
            caller = socket.socket()
            caller.setblocking(False)
            self._crowd.append(caller)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await loop.sock_connect(caller, ("127.0.0.1", self.port))
            if not _is_connected(caller):
                return

    async def shut(self) -> None:
        """Breaks every connection and refuses new ones."""
        if self._accepting is not None and self._listener is not None:
            self._accepting.cancel()
            await asyncio.wait({self._accepting})
            self._accepting = None
            self._listener.close()
        for writer in list(self._writers):
            writer.transport.abort()
        if self._pipes:
            await asyncio.wait(self._pipes)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._admitted.wait()
            caller, _ = await loop.sock_accept(listener)
            task = asyncio.create_task(self._pass(caller), name="gate pipe")
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)

    async def _pass(self, caller: socket.socket) -> None:
        near = await asyncio.open_connection(sock=caller)
        self._writers.add(near[1])
        try:
            far = await self._dial()
        except OSError:
            near[1].transport.abort()
            self._writers.discard(near[1])
            return
        self._writers.add(far[1])
        try:
            if self._accepting is None:
                # Shut meanwhile, which broke only what was there already.
                return
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(near[0], far[1], self._there))
                group.create_task(self._pump(far[0], near[1], self._back))
        except* OSError:
            pass
        finally:
            for writer in (near[1], far[1]):
                writer.transport.abort()
                self._writers.discard(writer)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, passable: asyncio.Event) -> None:
        while data := await source.read(CHUNK):
            # A connection that breaks meanwhile must end here too.
            while not passable.is_set() and not sink.transport.is_closing():
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await passable.wait()
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()


def _is_connected(caller: socket.socket) -> bool:
    """Tells it by the system, since this loop may hear of a connection late."""
    try:
        caller.getpeername()
    except OSError:
        return False
    return True


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    # Short, so that `hold_callers` can fill it.
    listener.listen(16)
    listener.setblocking(False)
    return listener


@asynccontextmanager
async def gate_before(*, port: int | None = None, path: str | None = None) -> AsyncIterator[Gate]:
    """Puts an open gate before a port on loopback, or before a Unix socket."""

    async def dial() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if path is not None:
            return await asyncio.open_unix_connection(path)
        return await asyncio.open_connection("127.0.0.1", port)

    gate = Gate(dial)
    gate.open()
    try:
        yield gate
    finally:
        gate.open()
        await gate.shut()
