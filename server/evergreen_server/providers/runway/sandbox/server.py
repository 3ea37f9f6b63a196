"""Builds a sandbox, serves it, and stops it."""

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from evergreen_server.providers.runway.sandbox.generation.assets import Assets
from evergreen_server.providers.runway.sandbox.generation.creation import Creation
from evergreen_server.providers.runway.sandbox.generation.studio import Studio
from evergreen_server.providers.runway.sandbox.http.api import Api, Controls
from evergreen_server.providers.runway.sandbox.http.calls import CallLog
from evergreen_server.providers.runway.sandbox.http.control import Control
from evergreen_server.providers.runway.sandbox.http.creates import create_routes
from evergreen_server.providers.runway.sandbox.http.faults import Script
from evergreen_server.providers.runway.sandbox.http.files import Files
from evergreen_server.providers.runway.sandbox.http.front import Front
from evergreen_server.providers.runway.sandbox.http.organization import organization_routes
from evergreen_server.providers.runway.sandbox.http.outputs import Signer
from evergreen_server.providers.runway.sandbox.http.routes import Routes
from evergreen_server.providers.runway.sandbox.http.tasks import Tasks
from evergreen_server.providers.runway.sandbox.http.uploads import upload_routes
from evergreen_server.providers.runway.sandbox.http.visitors import own_hosts_only
from evergreen_server.providers.runway.sandbox.resources.previews import Previews
from evergreen_server.providers.runway.sandbox.resources.seeding import seeds
from evergreen_server.providers.runway.sandbox.resources.shelves import Shelves
from evergreen_server.providers.runway.sandbox.resources.table import resource_routes
from evergreen_server.providers.runway.sandbox.settings import Settings
from evergreen_server.providers.runway.sandbox.state.account import DEFAULT_TIER, AccountChange, tier
from evergreen_server.providers.runway.sandbox.state.books import Books
from evergreen_server.providers.runway.sandbox.state.clock import SimulatedClock
from evergreen_server.providers.runway.sandbox.state.journal import Journal
from evergreen_server.providers.runway.sandbox.state.tasks import MILLI
from evergreen_server.runtime.doors import BACKLOG, http_runner, refuse_long_heads

SANDBOX_KEY = "key_" + "5a" * 64
"""A well-formed key for callers that have none; a sandbox takes any well-formed key unless it is set up with one."""

_GENEROUS_CREDITS = 1_000_000


class Sandbox:
    """A local Runway, which runs within its context.

    `speed` is simulated seconds per real second; 0 stops time, which then moves only by the control API.
    With `state_dir` the state survives the process, SIGKILL included; without one it ends with the sandbox.
    `connector` makes what the URLs in requests are fetched over, but for those of `Settings.asset_hosts`.
    `tier` (1 to 5) and `credits` are those of a new account, and do not change a kept state.
    `keys` are accepted API keys of any form; without them every well-formed one is.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        state_dir: Path | None = None,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
        settings: Settings | None = None,
        tier: int = DEFAULT_TIER,
        credits: float = _GENEROUS_CREDITS,
        keys: Collection[str] = (),
        workers: int = 2,
        connector: Callable[[], aiohttp.BaseConnector] = aiohttp.TCPConnector,
    ) -> None:
        self._host = host
        self._port = port
        self._speed = speed
        self._state_dir = state_dir
        self._seed = seed
        self._real_clock = clock
        self._settings = settings or Settings()
        self._tier = tier
        self._credits = credits
        self._keys = frozenset(keys) or None
        self._workers = workers
        self._connector = connector
        self._stack = AsyncExitStack()
        self.url = ""
        """Returns the base URL, such as `http://127.0.0.1:41234`; empty until the sandbox is open."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.url = await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _open(self, stack: AsyncExitStack) -> str:
        folder = self._state_dir
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evergreen-sandbox-")))
        outputs, kept, incoming = folder / "outputs", folder / "assets", folder / "incoming"
        for each in (outputs, kept, incoming):
            each.mkdir(parents=True, exist_ok=True)
        journal = Journal(folder / "journal.jsonl")
        stack.callback(journal.close)
        secret = _secret(folder / "secret")
        books, shelves = Books(journal=journal), Shelves(journal=journal)
        clock = SimulatedClock(real=self._real_clock, speed=self._speed, resumed=books.anchor)
        if books.anchor is None:
            opening = AccountChange(balance=round(self._credits * MILLI), tier=tier(self._tier))
            books.change(opening, clock.now())
        books.keep_clock(clock.anchor)

        threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="sandbox")
        stack.callback(threads.shutdown)
        studio = Studio(outputs=outputs, assets=kept, workers=self._workers)
        stack.callback(studio.close)
        http = await stack.enter_async_context(_session(self._connector()))
        trusted = await stack.enter_async_context(_session(aiohttp.TCPConnector()))
        assets = Assets(folder=kept, http=http, trusted=trusted, studio=studio, threads=threads)
        controls = Controls(settings=self._settings, keys=self._keys)
        script, calls = Script(), CallLog()
        front = Front(script=script, calls=calls, clock=clock)
        signer = Signer(secret=secret)
        creation = Creation(books=books, assets=assets, clock=clock, known=shelves, seed=self._seed)
        creates, tasks = create_routes(creation), Tasks(books=books, signer=signer)
        previews = Previews(signer=signer, assets=kept, studio=studio, clock=clock, front=front, threads=threads)
        routes = Routes(
            [
                *creates,
                *tasks.routes(),
                *upload_routes(books, secret),
                *organization_routes(books),
                *resource_routes(
                    shelves=shelves,
                    books=books,
                    assets=assets,
                    previews=previews,
                    tasks=tasks,
                    creation=creation,
                    creates=creates,
                    script=script,
                ),
            ]
        )
        api = Api(controls=controls, books=books, clock=clock, front=front, routes=routes, threads=threads)
        files = Files(
            controls=controls,
            books=books,
            clock=clock,
            front=front,
            signer=signer,
            secret=secret,
            assets=assets,
            studio=studio,
            incoming=incoming,
            threads=threads,
        )
        control = Control(
            controls=controls,
            books=books,
            clock=clock,
            script=script,
            calls=calls,
            front=front,
            host=self._host,
            seeds=seeds(shelves),
        )

        app = web.Application(middlewares=[refuse_long_heads, own_hosts_only(self._host)])
        app.router.add_route("*", "/v1/{rest:.*}", api.handle)
        app.router.add_post("/uploads/{upload_id}", files.upload)
        app.router.add_get("/outputs/{task_id}/{name}", files.output)
        app.add_routes([*previews.routes(), *control.routes()])
        runner = http_runner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        # Runs before the cleanup: what waits for the script or for a call ends at once.
        stack.callback(calls.wake)
        stack.callback(front.stopping.set)
        await web.TCPSite(runner, self._host, self._port, backlog=BACKLOG).start()
        host, port = runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def run(sandbox: Sandbox, *, ready: Callable[[str], None]) -> None:
    """Serves until cancelled; calls `ready` with the base URL once calls are answered."""
    async with sandbox:
        ready(sandbox.url)
        await asyncio.Event().wait()


def _session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


def _secret(path: Path) -> bytes:
    """Reads the key that signs URLs, created with the folder, so that URLs survive a restart."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(file, "wb") as out:
        secret = secrets.token_bytes(32)
        out.write(secret)
    return secret
