"""A proxy between an engine and its object store, which does to the requests what a test asks for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any, Literal, TypeAlias

from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web
from multidict import CIMultiDict
from yarl import URL

from evergreen_storage import Json
from tests.loopback import ABORT_TURNS, serving_app, turns
from tests.storage.emulators import AzureBucket, Bucket, GoogleBucket, S3Bucket

CONDITIONS = ("If-Match", "If-None-Match", "x-goog-if-generation-match")
HOP = ("Connection", "Transfer-Encoding", "Content-Encoding")

Act: TypeAlias = int | Literal["pass", "hang", "unconditional", "drop", "elsewhere"]
"""A status to answer with, or what to do with a request: forward it, keep it for ever, forward it without its
conditions, close its connection, or ask a bucket for it that does not exist."""


class Uplinks(TCPConnector):
    """Connections to the store, which can all be ended, also those that are closing and still have bytes to send."""

    def __init__(self) -> None:
        super().__init__()
        self._made: list[asyncio.Transport] = []

    async def _create_connection(self, *args: Any, **more: Any) -> Any:
        protocol = await super()._create_connection(*args, **more)
        self._made.append(protocol.transport)
        return protocol

    async def abort(self) -> None:
        """Ends them. A request that was cancelled may have left one to a store that reads no more."""
        for transport in self._made:
            # One that is lost already knows its protocol no more, and cannot be aborted again.
            if transport.get_protocol() is not None:
                transport.abort()
        await turns(ABORT_TURNS)


class Proxy:
    """Forwards requests, unless `act` says otherwise; `seen` has the method and target of each."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self.target = ""
        self.address = ""
        self.act: Callable[[web.Request], Act] = lambda _: "pass"
        self.seen: list[tuple[str, str]] = []
        self.reached = asyncio.Event()

    def before(self, bucket: Bucket) -> tuple[str, Mapping[str, Json]]:
        """Returns the URL and options that reach a bucket through this proxy."""
        assert isinstance(bucket, S3Bucket | GoogleBucket | AzureBucket)
        self.target = bucket.address
        # Few and quick retries, so that what never succeeds fails soon.
        limits: dict[str, Json] = {"connect_timeout": 2, "read_timeout": 1}
        if isinstance(bucket, S3Bucket) and not isinstance(bucket, GoogleBucket):
            limits["config_kwargs"] = {"retries": {"max_attempts": 1}}
        else:
            limits["retries"] = 1
        return bucket.url, {**replace(bucket, address=self.address).options, **limits}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Forwards a request or does to it what is asked for."""
        self.seen.append((request.method, request.raw_path))
        act = self.act(request)
        # The host stays what the client signed.
        headers = CIMultiDict((name, value) for name, value in request.headers.items() if name not in HOP)
        if isinstance(act, int):
            await request.read()
            return web.Response(status=act, text="<Error><Code>Scripted</Code><Message>secret-value</Message></Error>")
        if act == "hang":
            self.reached.set()
            await asyncio.Event().wait()
        if act == "drop":
            assert request.transport is not None
            request.transport.abort()
            raise ConnectionResetError
        if act == "unconditional":
            for name in CONDITIONS:
                headers.popall(name, None)
        path = request.raw_path.replace("/bucket", "/missing", 1) if act == "elsewhere" else request.raw_path
        url = URL(f"http://{self.target}{path}", encoded=True)
        async with self._session.request(
            request.method, url, data=BytesIO(await request.read()), headers=headers, skip_auto_headers=["Content-Type"]
        ) as answer:
            kept = CIMultiDict((name, value) for name, value in answer.headers.items() if name not in HOP)
            return web.Response(status=answer.status, headers=kept, body=await answer.read())


@asynccontextmanager
async def proxying() -> AsyncIterator[Proxy]:
    """Runs a proxy."""
    uplinks = Uplinks()
    async with ClientSession(connector=uplinks, auto_decompress=False, cookie_jar=DummyCookieJar()) as session:
        proxy = Proxy(session)
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        # A request ends with its client: else one that hangs would stay, with its connection to the store.
        try:
            async with serving_app(app, handler_cancellation=True) as proxy.address:
                yield proxy
        finally:
            await uplinks.abort()
