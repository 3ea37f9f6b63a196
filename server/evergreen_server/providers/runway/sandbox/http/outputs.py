"""Serves finished outputs by signed URLs that expire, with ranges, and with the faults of a real network."""

import asyncio
import base64
import hmac
import json
import re
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from aiohttp import web

from evergreen_server.providers.runway.sandbox.http.faults import Fault
from evergreen_server.providers.runway.sandbox.state.tasks import TaskRecord

_CHUNK = 256 * 1024
_FILLER = {".svg": b"\n" * _CHUNK}
_ZEROS = bytes(_CHUNK)
# A `free` box with a 64-bit length: an MP4 reader skips it, so a padded clip still plays. Other readers stop before it.
_BOX_HEADER = 16

_TYPES = {
    **{".mp4": "video/mp4", ".mov": "video/quicktime", ".zip": "application/zip"},
    **{".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".svg": "image/svg+xml"},
    **{".mp3": "audio/mpeg", ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg"},
}
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")

_WEB_PAGE = b"<!DOCTYPE html><html><body><h1>We will be back soon</h1></body></html>"
_EXPIRED = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code></Error>'
_MISSING = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchKey</Code></Error>'


class Signer:
    """Signs output URLs with a token in the form of a JWT, and checks whether one is still valid."""

    def __init__(self, *, secret: bytes) -> None:
        self._secret = secret

    def url(self, path: str, task_id: str, *, now: float, life: float) -> str:
        """Signs a URL for a task's output, differently at each call."""
        claims = {"sub": task_id, "exp": now + life, "jti": secrets.token_hex(6)}
        head = _encode(b'{"alg":"HS256","typ":"JWT"}') + "." + _encode(json.dumps(claims).encode())
        return f"{path}?_jwt={head}.{self._signature(head)}"

    def holds(self, token: str, task_id: str, *, now: float) -> bool:
        head, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(head).encode()):
            return False
        claims = json.loads(base64.urlsafe_b64decode(head.partition(".")[2] + "=="))
        return bool(claims["sub"] == task_id and now < claims["exp"])

    def _signature(self, head: str) -> str:
        return _encode(hmac.digest(self._secret, head.encode(), sha256))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """An output followed by padding, as one run of bytes that is never held in memory."""

    path: Path
    clip_bytes: int
    padding: int
    threads: ThreadPoolExecutor

    @property
    def size(self) -> int:
        return self.clip_bytes + self.padding

    async def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        while start < min(end, self.clip_bytes):
            stop = min(end, self.clip_bytes, start + _CHUNK)
            yield await loop.run_in_executor(self.threads, _read, self.path, start, stop)
            start = stop
        filler = _FILLER.get(self.path.suffix)
        header = filler or b"\0\0\0\1free" + self.padding.to_bytes(8)
        while start < end:
            offset = start - self.clip_bytes
            piece = header[offset:] if offset < _BOX_HEADER else filler or _ZEROS
            yield piece[: end - start]
            start += min(len(piece), end - start)


def body_of(path: Path, record: TaskRecord, threads: ThreadPoolExecutor) -> Body:
    padding = max(record.padding_bytes, _BOX_HEADER) if record.padding_bytes else 0
    return Body(path=path, clip_bytes=path.stat().st_size, padding=padding, threads=threads)


def _read(path: Path, start: int, stop: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(stop - start)


async def serve(request: web.Request, body: Body, fault: Fault | None) -> web.StreamResponse:
    """Sends a clip or the range asked for, with the effect of the fault."""
    etag = f'"{sha256(f"{body.path.name}-{body.size}".encode()).hexdigest()[:32]}"'
    asked = request.headers.get("Range", "")
    if request.headers.get("If-Range", etag) != etag or not _RANGE.fullmatch(asked):
        asked = ""
    span = _span(asked, body.size)
    common = {"Accept-Ranges": "bytes", "ETag": etag}
    if span is None:
        return web.Response(status=416, headers={**common, "Content-Range": f"bytes */{body.size}"})
    start, end = span
    response = web.StreamResponse(
        status=206 if asked else 200, headers={**common, "Content-Type": _TYPES[body.path.suffix]}
    )
    if asked:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{body.size}"
    sent_end = end
    if fault is not None and fault.kind in {"truncate", "wrong_length"}:
        sent_end = start + int((end - start) * fault.at)
    # wrong_length cuts silently: a shorter body with a matching length, ended cleanly.
    response.content_length = (sent_end if fault is not None and fault.kind == "wrong_length" else end) - start
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    async for chunk in body.read(start, sent_end):
        await response.write(chunk)
    if fault is not None and fault.kind == "truncate" and request.transport is not None:
        request.transport.close()
        return response
    await response.write_eof()
    return response


def _span(asked: str, size: int) -> tuple[int, int] | None:
    """Reads a Range header. Returns the whole for anything but a byte range, None for one that cannot be satisfied."""
    found = _RANGE.fullmatch(asked)
    if found is None or not (found[1] or found[2]):
        return (0, size)
    if not found[1]:
        return (max(0, size - int(found[2])), size) if int(found[2]) else None
    start, end = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
    return (start, end) if start < end else None


def not_the_file(name: str) -> web.Response:
    """Returns a web page that is announced as what the name says."""
    return web.Response(body=_WEB_PAGE, content_type=_TYPES[Path(name).suffix])


def expired() -> web.Response:
    return web.Response(status=403, body=_EXPIRED, content_type="application/xml")


def missing() -> web.Response:
    return web.Response(status=404, body=_MISSING, content_type="application/xml")
