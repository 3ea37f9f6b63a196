"""Reads bodies: bounded in bytes and in time, as they came, never decompressed."""

import asyncio

import grpc
from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.http_exceptions import HttpProcessingError

from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import refused
from evergreen_server.gateway.upstream import MAX_MESSAGE_BYTES
from evergreen_server.gateway.visitors import malformed, only, visitor_of

__all__ = ["JSON_BYTES", "MESSAGE_BYTES", "invite", "leave_rest", "read_body", "refuse_compression"]

MESSAGE_BYTES = MAX_MESSAGE_BYTES
JSON_BYTES = 5_600_000
"""The same message where base64 makes a third more of its bytes."""
SMALL_BYTES = 64 << 10
CHUNK_SECONDS = 15.0
BODY_SECONDS = 60.0


async def read_body(request: web.Request, most: int, places: Places) -> bytes:
    """Returns the body. Raises Refused if it is longer than `most` bytes, not whole, or not there in time."""
    if (announced := request.content_length) is not None and announced > most:
        raise _too_large(most)
    await invite(request)
    chunks = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            if not await _read(request, chunks, min(most, SMALL_BYTES)):
                async with places.body(visitor_of(request).address):
                    if not await _read(request, chunks, most):
                        raise _too_large(most)
    except TimeoutError:
        raise refused(
            grpc.StatusCode.DEADLINE_EXCEEDED, "REQUEST_STALLED", message="the body did not come in time", status=408
        ) from None
    except (ClientPayloadError, HttpProcessingError, ValueError):
        raise malformed("the body is not as its header fields say") from None
    return bytes(chunks)


async def invite(request: web.Request) -> None:
    """Tells a sender that waits for it that its body may come: only now, when all else is in order."""
    if request.headers.get("Expect"):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


def leave_rest(request: web.Request, response: web.StreamResponse) -> None:
    """Closes the connection after an answer for which the body was not read to its end: the rest is not waited for."""
    if not request.content.is_eof():
        response.force_close()


async def _read(request: web.Request, chunks: bytearray, most: int) -> bool:
    """Reads on until the end, or until there are more than `most` bytes; returns whether it was the end."""
    while len(chunks) <= most:
        async with asyncio.timeout(CHUNK_SECONDS):
            chunk = await request.content.readany()
        if not chunk:
            return True
        chunks += chunk
    return False


def refuse_compression(request: web.Request) -> None:
    """Raises Refused for a body that is compressed: what little bytes become is not known before they are read."""
    for name in ("Content-Encoding", "Connect-Content-Encoding", "Grpc-Encoding"):
        if only(request, name).lower() not in ("", "identity"):
            raise refused(
                grpc.StatusCode.UNIMPLEMENTED,
                "COMPRESSION_UNSUPPORTED",
                message=f"{name}: bodies must come as they are",
                status=415,
            )


def _too_large(most: int) -> Exception:
    return refused(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "BODY_TOO_LARGE",
        message=f"a body may have {most} bytes here",
        status=413,
    )
