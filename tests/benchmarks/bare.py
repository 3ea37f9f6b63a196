"""The reference: grpc.aio with nothing behind it, on the same loop. A hello, and one slot of bytes per watcher."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import uvloop
from google.protobuf.wrappers_pb2 import BytesValue, StringValue

from evergreen_server.rpc.server import OPTIONS
from tests.benchmarks.commanded import obey

HELLO = "/bare.Bare/Hello"
WATCH = "/bare.Bare/Watch"


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
        self._slots: set[Slot] = set()

    async def hello(self, request: StringValue, _context: object) -> BytesValue:
        return BytesValue(value=b"x" * int(request.value))

    async def watch(self, request: StringValue, _context: object) -> AsyncIterator[bytes]:
        slot = Slot(b"x" * int(request.value))
        self._slots.add(slot)
        try:
            while True:
                value, slot.value = slot.value, None
                if value is not None:
                    yield value
                if slot.value is None:
                    slot.future = asyncio.get_running_loop().create_future()
                    await slot.future
        finally:
            self._slots.discard(slot)

    async def publish(self, command: list[str]) -> str:
        """`SIZE`: puts a value of so many bytes into every slot."""
        value = b"x" * int(command[0])
        for done, slot in enumerate(list(self._slots), start=1):
            slot.put(value)
            if done % 200 == 0:
                await asyncio.sleep(0)
        return "published"


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
    await obey(f"127.0.0.1:{port}", bare.publish)
    await server.stop(0)


if __name__ == "__main__":
    uvloop.run(main())
