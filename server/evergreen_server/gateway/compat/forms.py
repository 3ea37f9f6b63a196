"""Reads bodies that are forms: bounded in bytes, in parts and in time; a file is held whole."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import grpc
from aiohttp import BodyPartReader, web
from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.http_exceptions import HttpProcessingError

from evergreen_server.gateway.bodies import BODY_SECONDS, CHUNK_SECONDS, SMALL_BYTES, invite, refuse_compression
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import invalid, refused
from evergreen_server.gateway.visitors import malformed, visitor_of

__all__ = ["FORM_BYTES", "Form", "read_form"]

FORM_BYTES = 20 << 20
FIELD_BYTES = 64 << 10
MOST_PARTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The parts of a form by their names: texts, and files with their types."""

    fields: dict[str, object] = field(default_factory=dict)
    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)


async def read_form(request: web.Request, places: Places) -> Form:
    """Returns the parts of a `multipart/form-data` body. Raises Refused."""
    refuse_compression(request)
    announced = request.content_length
    if announced is not None and announced > FORM_BYTES:
        raise _too_large()
    async with AsyncExitStack() as stack:
        if announced is None or announced > SMALL_BYTES:
            await stack.enter_async_context(places.form(visitor_of(request).address))
        await invite(request)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await _read(request)
        except TimeoutError:
            raise refused(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                "REQUEST_STALLED",
                message="the body did not come in time",
                status=408,
            ) from None
        except (ClientPayloadError, HttpProcessingError, ValueError, AssertionError, LookupError, RuntimeError):
            # What aiohttp raises for a body that is no form is not documented.
            raise malformed("the body is no form as its header fields say") from None


async def _read(request: web.Request) -> Form:
    form, left = Form(), FORM_BYTES
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise ValueError("a part without a name, or one that has parts of its own")
        if len(form.fields) + len(form.files) == MOST_PARTS:
            raise invalid(part.name[:100], f"a form may have {MOST_PARTS} parts")
        if part.name in form.fields or part.name in form.files:
            raise invalid(part.name[:100], "came twice")
        data = await _whole(part, left if part.filename is not None else min(left, FIELD_BYTES))
        left -= len(data)
        if part.filename is not None:
            form.files[part.name] = data, part.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        else:
            form.fields[part.name] = data.decode()
    return form


async def _whole(part: BodyPartReader, most: int) -> bytes:
    held = bytearray()
    while True:
        async with asyncio.timeout(CHUNK_SECONDS):
            data = await part.read_chunk()
        if not data:
            return bytes(held)
        held += data
        if len(held) > most:
            raise _too_large()


def _too_large() -> Exception:
    return refused(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "BODY_TOO_LARGE",
        message=f"a form may have {FORM_BYTES} bytes, and each field that is no file {FIELD_BYTES}",
        status=413,
    )
