"""Transfers files to and from scenes. An interrupted upload starts again; an interrupted download resumes.

An upload from a stream cannot start again once bytes were read from it; the caller must repeat it.

The received bytes are compared with the sent bytes: by length, and by CRC32C.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import grpc

from evergreen.calls import Calls
from evergreen.errors import (
    CallError,
    EvergreenError,
    InternalError,
    InvalidRequest,
    TooManyTransfers,
    TransferBroken,
    TransferStalled,
    Unavailable,
)
from evergreen.status import call_error
from evergreen.transfers.checksums import Checksum
from evergreen.transfers.part import Part, check_free
from evergreen.transfers.sources import Source, Supply
from evergreen.v1.scene_pb2 import (
    Asset,
    DownloadAssetRequest,
    DownloadAssetResponse,
    UploadAssetRequest,
    UploadAssetResponse,
    UploadInfo,
)
from evergreen.watch import Reconnect, is_reset

if TYPE_CHECKING:
    # Exists only in the stubs' type information.
    from evergreen.v1.scene_pb2_grpc import SceneServiceAsyncStub

CHUNK_BYTES = 512 * 1024
UPLOAD_TRIES = 8
HEED_SECONDS = 0.5
ANSWER_SECONDS = 300.0
"""How long the service may take to make a complete file durable and to examine it."""

_Upload: TypeAlias = "grpc.aio.StreamUnaryCall[UploadAssetRequest, UploadAssetResponse]"
_Download: TypeAlias = "grpc.aio.UnaryStreamCall[DownloadAssetRequest, DownloadAssetResponse]"

Moved = Callable[[int, int], None]
"""Receives the number of bytes transferred so far, and the total number of bytes; 0 if the total is not known."""


def ignore(_moved: int, _size: int) -> None:
    """Ignores the progress."""


class Patience:
    """Waits between tries, and gives up if nothing was transferred for too long."""

    def __init__(self, reconnect: Reconnect) -> None:
        self._reconnect = reconnect
        self._failures = 0
        self._moved_at = time.monotonic()

    def moved(self) -> None:
        self._failures = 0
        self._moved_at = time.monotonic()

    async def wait(self, fault: EvergreenError) -> None:
        """Waits before the next try. Raises `fault` if there is no further try."""
        self._failures += 1
        delay = self._reconnect.delay(self._failures, fault)
        if time.monotonic() + delay - self._moved_at > self._reconnect.patience:
            raise fault
        await asyncio.sleep(delay)


async def upload(
    stub: "SceneServiceAsyncStub",
    info: UploadInfo,
    source: Source,
    *,
    calls: Calls,
    reconnect: Reconnect,
    moved: Moved = ignore,
) -> Asset:
    """Sends a file, bytes or a stream until the service has all of it. Raises CallError, TransferBroken, OSError."""
    supply = Supply(source)
    failures, heed_seconds = 0, 0.0
    while True:
        try:
            call = stub.UploadAsset(metadata=calls.metadata())
            return await _send(call, info, supply, reconnect.silence, heed_seconds, moved)
        except (Unavailable, TooManyTransfers, TransferStalled, InternalError) as fault:
            failures += 1
            if failures >= UPLOAD_TRIES or supply.spent or (isinstance(fault, InternalError) and fault.reason):
                raise
            # Without a reason of the service, this is how grpc.aio reports any call that ended while it was sending.
            # The next try pauses after its first message, so that it sees an early refusal as it is.
            heed_seconds = HEED_SECONDS
            await asyncio.sleep(reconnect.delay(failures, fault))


async def read(
    stub: "SceneServiceAsyncStub", request: DownloadAssetRequest, *, calls: Calls, reconnect: Reconnect
) -> AsyncGenerator[DownloadAssetResponse, None]:
    """Yields an asset's description, then its bytes, across lost connections and restarts.

    Raises CallError, and TransferBroken if the file was replaced meanwhile.
    """
    patience, told, received = Patience(reconnect), None, 0
    while True:
        rest = _from(request, received)
        if request.limit:
            rest.limit -= received
        try:
            call = stub.DownloadAsset(rest, metadata=calls.metadata())
            async with aclosing(_messages(call, reconnect.silence)) as messages:
                async for message in messages:
                    if not message.HasField("info"):
                        received += len(message.chunk)
                        patience.moved()
                        yield message
                    elif told is None:
                        told = message.info
                        yield message
                    elif (told.size_bytes, told.crc32c) != (message.info.size_bytes, message.info.crc32c):
                        raise TransferBroken(f"{request.path} was replaced while it was read; start again")
            return
        except CallError as fault:
            if not isinstance(fault, (Unavailable, TooManyTransfers, TransferStalled)) and not is_reset(fault):
                raise
            if told is not None and request.limit and received >= request.limit:
                return
            await patience.wait(fault)


async def download(
    stub: "SceneServiceAsyncStub",
    request: DownloadAssetRequest,
    target: "str | PathLike[str]",
    *,
    calls: Calls,
    reconnect: Reconnect,
    overwrite: bool = False,
    moved: Moved = ignore,
) -> Asset:
    """Fetches an asset into a file, which appears when it is complete; goes on with what an earlier try left.

    Raises CallError, TransferBroken, FileExistsError without `overwrite`, OSError.
    """
    path = Path(target)
    if not overwrite:
        await asyncio.to_thread(check_free, path)
    source = f"{request.project_id}/{request.scene_id}/{request.path}"
    async with Part.opened(path, source) as part:
        resumed = part.size > 0
        while True:
            try:
                asset = await _fill(
                    part, read(stub, _from(request, part.size), calls=calls, reconnect=reconnect), moved
                )
                break
            except (_Differs, InvalidRequest):
                # What was left may be of another file that had this path, or be longer than the present one.
                await part.clear()
                if not resumed:
                    raise
                resumed = False
        await part.become(path, overwrite=overwrite)
    return asset


class _Differs(TransferBroken):
    """The received bytes differ from the sent bytes."""


async def _fill(part: Part, messages: AsyncGenerator[DownloadAssetResponse, None], moved: Moved) -> Asset:
    asset = Asset()
    async with aclosing(messages):
        async for message in messages:
            if message.HasField("info"):
                asset = message.info
            else:
                await part.write(message.chunk)
            moved(part.size, asset.size_bytes)
    _compare(asset, part.size, part.checksum)
    return asset


def _from(request: DownloadAssetRequest, offset: int) -> DownloadAssetRequest:
    rest = DownloadAssetRequest()
    rest.CopyFrom(request)
    rest.offset += offset
    return rest


async def _send(
    call: _Upload, info: UploadInfo, supply: Supply, silence: float, heed_seconds: float, moved: Moved
) -> Asset:
    checksum, sent = Checksum(), 0
    try:
        async with supply.open() as (size, blocks), aclosing(blocks):
            announced = UploadInfo()
            announced.CopyFrom(info)
            if size is not None:
                announced.size_bytes = size
            taken = await _write(call, UploadAssetRequest(info=announced), silence)
            moved(0, size or 0)
            if heed_seconds:
                with suppress(TimeoutError):
                    async with asyncio.timeout(heed_seconds):
                        await call.code()
            while taken and (block := await anext(blocks, None)) is not None:
                checksum.extend(block)
                for chunk in _chunks(block):
                    taken = taken and await _write(call, UploadAssetRequest(chunk=chunk), silence)
                    sent += len(chunk)
                    moved(sent, size or 0)
            asset = await _answer(call)
    finally:
        call.cancel()
    _compare(asset, sent, checksum)
    return asset


def _chunks(block: bytes) -> Iterator[bytes]:
    for start in range(0, len(block), CHUNK_BYTES):
        yield block[start : start + CHUNK_BYTES]


async def _write(call: _Upload, message: UploadAssetRequest, silence: float) -> bool:
    """Sends a message. Returns False if the service has ended the call, whose status says why."""
    try:
        async with asyncio.timeout(silence):
            await call.write(message)
    except TimeoutError:
        raise TransferBroken(f"the service took nothing for {silence:g} s") from None
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return False
    return True


async def _answer(call: _Upload) -> Asset:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            # Fails if the service has ended the call; the status is read next.
            with suppress(asyncio.InvalidStateError):
                await call.done_writing()
            return (await call).asset
    except TimeoutError:
        raise TransferBroken(f"the service did not answer within {ANSWER_SECONDS:g} s") from None
    except grpc.aio.AioRpcError as error:
        raise call_error(error) from error


async def _messages(call: _Download, silence: float) -> AsyncGenerator[DownloadAssetResponse, None]:
    responses = aiter(call)
    try:
        while True:
            async with asyncio.timeout(silence):
                message = await anext(responses, None)
            if message is None:
                return
            yield message
    except grpc.aio.AioRpcError as error:
        raise call_error(error) from error
    except TimeoutError:
        raise TransferBroken(f"nothing came for {silence:g} s") from None
    finally:
        # A call that is only dropped may stay open on the server.
        call.cancel()


def _compare(asset: Asset, size: int, checksum: Checksum) -> None:
    if asset.size_bytes != size:
        raise _Differs(f"{asset.path} has {asset.size_bytes} bytes there and {size} here")
    if asset.HasField("crc32c") and checksum.value != asset.crc32c:
        raise _Differs(f"{asset.path} has another checksum there than here")
