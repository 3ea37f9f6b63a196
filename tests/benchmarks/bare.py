"""The reference: grpc.aio with nothing behind it, on the same loop. A hello, and one slot of bytes per watcher.

A watcher asks for `SIZE`, or for `SIZE GROUP` where what is published goes to one group of them at a time.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import uvloop
from google.protobuf.wrappers_pb2 import BytesValue, StringValue

from evergreen_server.rpc.server import OPTIONS
from tests.benchmarks.commanded import obey, paced

HELLO = "/bare.Bare/Hello"
WATCH = "/bare.Bare/Watch"
STAMP_BYTES = 8


class Slot:
    """The newest value that its watcher has not sent yet."""

    __slots__ = ("future", "value")

    def __init__(self, value: bytes) -> None:
        self.value: bytes | None = value
        self.future: asyncio.Future[None] | None = None

    def put(self, value: bytes) -> None:
        self.value = value
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Bare:
    def __init__(self) -> None:
        self._groups: dict[str, set[Slot]] = {}

    async def hello(self, request: StringValue, _context: object) -> BytesValue:
        return BytesValue(value=b"x" * int(request.value))

    async def watch(self, request: StringValue, _context: object) -> AsyncIterator[bytes]:
        size, _, group = request.value.partition(" ")
        slot, slots = Slot(b"x" * int(size)), self._groups.setdefault(group, set())
        slots.add(slot)
        try:
            while True:
                value, slot.value = slot.value, None
                if value is not None:
                    yield value
                if slot.value is None:
                    slot.future = asyncio.get_running_loop().create_future()
                    await slot.future
        finally:
            slots.discard(slot)

    async def obey(self, command: list[str]) -> str:
        """`SIZE`: puts a value of so many bytes into every slot. `SIZE TIMES HERTZ`: so often, group by group."""
        size, *pace = command
        if not pace:
            await self._put("", b"x" * int(size))
            return "published"
        groups = sorted(self._groups)

        async def publish(number: int) -> None:
            await self._put(groups[number % len(groups)], stamped(int(size)))

        return str(await paced(publish, int(pace[0]), float(pace[1])))

    async def _put(self, group: str, value: bytes) -> None:
        for done, slot in enumerate(list(self._groups[group]), start=1):
            slot.put(value)
            if done % 200 == 0:
                await asyncio.sleep(0)


def stamped(size: int) -> bytes:
    """Gives so many bytes that begin with the time."""
    return time.time_ns().to_bytes(STAMP_BYTES, "big").ljust(size, b"x")


async def main() -> None:
    bare = Bare()
    server = grpc.aio.server(options=OPTIONS)
    methods = {
        "Hello": grpc.unary_unary_rpc_method_handler(
            bare.hello, request_deserializer=StringValue.FromString, response_serializer=BytesValue.SerializeToString
        ),
        "Watch": grpc.unary_stream_rpc_method_handler(
            bare.watch, request_deserializer=StringValue.FromString, response_serializer=None
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare.Bare", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await obey(f"127.0.0.1:{port}", bare.obey)
    await server.stop(0)


if __name__ == "__main__":
    uvloop.run(main())
