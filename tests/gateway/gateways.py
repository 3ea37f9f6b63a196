"""A gateway before the whole service, and what a browser, or something worse, sends to it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from evergreen_server.gateway.server import serve
from tests.serving import Api, Control, serving

VIDEO = "/evergreen.v1.VideoService"
JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def gateway(data_dir: Path, sandbox: Control, **changes: str) -> AsyncIterator[Api]:
    """The service with its gateway; `http` of it is the gateway's URL."""
    async with serving(data_dir, sandbox.url, EVERGREEN_HTTP_LISTEN="127.0.0.1:0", **changes) as api:
        yield api


@asynccontextmanager
async def gateway_to(path: str, **changes: object) -> AsyncIterator[str]:
    """A gateway alone, before whatever serves gRPC at a path; gives its URL."""
    usual: dict[str, object] = {
        "listen": "127.0.0.1:0",
        "target": f"unix:{path}",
        "tls": None,
        "hosts": (),
        "origins": (),
        "proxies": (),
        "models": {},
        "files": 1000,
        "grace_seconds": 1,
        "answered": lambda _route, _status: None,
        "opened": lambda _numbers: None,
        "thumbnailer": NoThumbnails(),
    }
    async with serve(**{**usual, **changes}) as url:
        yield url


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer as it came: its head line, its fields in small letters, and its body."""

    status: int
    headers: Mapping[str, str]
    cookies: list[str]
    body: bytes


async def raw(url: str, data: bytes, *, seconds: float = 30.0) -> Answer:
    """What comes back for bytes that no client would send; ends when the server closes or the answer is whole."""
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    try:
        writer.write(data)
        async with asyncio.timeout(seconds):
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").splitlines()
            pairs = [line.split(": ", 1) for line in lines if line]
            headers = {name.lower(): value for name, value in pairs}
            length = "0" if first.split()[1] in ("100", "204") else headers.get("content-length")
            body = await (reader.readexactly(int(length)) if length is not None else reader.read())
    finally:
        writer.close()
    cookies = [value for name, value in pairs if name.lower() == "set-cookie"]
    return Answer(status=int(first.split()[1]), headers=headers, cookies=cookies, body=body)


def head(method: str, path: str, *fields: str, host: str = "127.0.0.1") -> bytes:
    """The head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode("latin-1")


class NoThumbnails:
    """Makes none."""

    async def thumbnail(self, data: bytes, width: int, *, owner: str) -> bytes:
        raise AssertionError("nobody asked for a thumbnail")


async def called(api: Api, method: str, body: object = None, **headers: str) -> tuple[int, dict[str, object]]:
    """Calls a method by Connect's JSON."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{api.http}{VIDEO}/{method}", json=body or {}, headers=headers) as answer,
    ):
        return answer.status, await answer.json()
