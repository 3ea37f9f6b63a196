"""`python -m tests.gateway.live.kills --kills 100` kills the server under pages and event sources, again and again.

With `--alone` the gateway is a process of its own, and the two are killed in turn. Each watcher follows the project
from its beginning, and comes back as browsers do. In the end all must have been told every change once and in order,
but for percentages, which may be left out. Ends with an error otherwise.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Self

import aiohttp

from evergreen.v1 import video_pb2
from tests.serving import ALL_KINDS, FINAL, START_SECONDS, Api, Control, ServerProcess, free_address, open_sandbox

PAGES, SOURCES = 50, 50
JOBS = 4
RETRY_SECONDS = 0.1
Seen = list[tuple[int, str]]
"""Events by revision and kind."""


class Watcher:
    """Somebody who follows a project for as long as the storm lasts, from where they were last told."""

    def __init__(self, told: Callable[[int], None]) -> None:
        self.seen: Seen = []
        self.cursor = 0
        self.opened = 0
        self.heard = False
        self._told = told

    def hear(self, told: dict[str, str]) -> None:
        assert told["type"] in ("event", "checkpoint", "welcome"), told
        if told["type"] == "event":
            self.seen.append((int(told["revision"]), told["event"]))
        if "revision" in told:
            self.cursor, self.heard = max(self.cursor, int(told["revision"])), True
            self._told(self.cursor)

    async def keep(self, once: Callable[["Watcher"], Awaitable[None]]) -> None:
        while True:
            with suppress(aiohttp.ClientError, ConnectionError):
                await once(self)
            # As browsers do, and no wait for anything.
            await asyncio.sleep(RETRY_SECONDS * random.random())


class Gateway:
    """A gateway as a process of its own, before a server at `address`, to be killed and started again."""

    def __init__(self, address: str, listen: str) -> None:
        self._options = ("-m", "evergreen.cli", "gateway", "--endpoint", address, "--http", listen)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("EVERGREEN_")}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._options,
            env={**own, "EVERGREEN_LOG_LEVEL": "ERROR"},
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)
        assert line.startswith(b"evergreen gateway on http"), line

    async def end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()


class Storm:
    """Watchers of both kinds, and the server under them, or a gateway and its server."""

    def __init__(
        self, server: ServerProcess, url: str, session: aiohttp.ClientSession, *, gateway: Gateway | None = None
    ) -> None:
        self._server = server
        self._gateway = gateway
        self._url = url
        self._session = session
        self.watchers = [Watcher(self._told) for _ in range(PAGES + SOURCES)]
        self._told_to = 0
        self._changed = asyncio.Event()

    def _told(self, cursor: int) -> None:
        self._told_to = max(self._told_to, cursor)
        self._changed.set()

    async def page(self, watcher: Watcher) -> None:
        async with self._session.ws_connect(f"{self._url}/api/v1/socket") as socket:
            watcher.opened += 1
            await socket.send_json({"type": "subscribe", "projectId": "film", "afterRevision": str(watcher.cursor)})
            async for message in socket:
                watcher.hear(json.loads(message.data))

    async def source(self, watcher: Watcher) -> None:
        headers = {"Accept": "text/event-stream"}
        if watcher.opened:
            headers["Last-Event-ID"] = str(watcher.cursor)
        async with self._session.get(f"{self._url}/api/v1/projects/film/events?after=0", headers=headers) as answer:
            if self._gateway is not None and answer.status == 503:
                return  # the server is away, and an event source comes again
            assert answer.status == 200, await answer.text()
            watcher.opened += 1
            async for line in answer.content:
                if line.startswith(b"data: "):
                    watcher.hear(json.loads(line.removeprefix(b"data: ")))

    async def reach(self, revision: int) -> None:
        """Waits until somebody was told of a revision."""
        async with asyncio.timeout(120):
            while self._told_to < revision:
                self._changed.clear()
                await self._changed.wait()

    async def all_open(self) -> None:
        """Waits until everybody was told something, if only that there is nothing yet."""
        async with asyncio.timeout(120):
            while not all(watcher.heard for watcher in self.watchers):
                self._changed.clear()
                await self._changed.wait()

    async def all_reach(self, revision: int) -> None:
        async with asyncio.timeout(120):
            while min(watcher.cursor for watcher in self.watchers) < revision:
                self._changed.clear()
                await self._changed.wait()

    async def run(self, kills: int, chance: random.Random) -> Seen:
        """Kills so often, between any two events; gives what there was to be told."""
        api = await self._server.start()
        if self._gateway is not None:
            await self._gateway.start()
        async with asyncio.TaskGroup() as tasks:
            following = [
                tasks.create_task(watcher.keep(self.page if number < PAGES else self.source))
                for number, watcher in enumerate(self.watchers)
            ]
            await self.all_open()
            jobs = [await api.generate(prompt_text=f"job {number}") for number in range(JOBS)]
            for number in range(kills):
                await self.reach(self._told_to + chance.randrange(1, 6))
                # Each in its turn, the gateway first.
                if self._gateway is not None and number % 2 == 0:
                    await self._gateway.end()
                    await self._gateway.start()
                else:
                    await self._server.end()
                    api = await self._server.start()
                jobs.append(await api.generate(prompt_text=f"after kill {number}"))
            for job in jobs:
                # A kill within its paid request leaves a job to people.
                await api.until(job.job_id, *FINAL, video_pb2.JOB_STATE_NEEDS_ATTENTION)
            history = await told_of(api)
            await self.all_reach(history[-1][0])
            for task in following:
                task.cancel()
        return history


async def told_of(api: Api) -> Seen:
    """Everything that has happened in the project."""
    found: Seen = []
    async for message in api.events(project_id="film", after_revision=0, kinds=ALL_KINDS):
        if message.HasField("checkpoint"):
            return found
        kind = video_pb2.EventKind.Name(message.event.kind).removeprefix("EVENT_KIND_").lower()
        found.append((message.revision, kind))
    raise AssertionError("the watch ended")


def judge(history: Seen, watchers: list[Watcher]) -> None:
    """Raises AssertionError if somebody was not told a change, or twice, or out of order."""
    changes = [each for each in history if each[1] != "progress"]
    for watcher in watchers:
        revisions = [revision for revision, _ in watcher.seen]
        assert revisions == sorted(set(revisions)), watcher.seen
        assert [each for each in watcher.seen if each[1] != "progress"] == changes


async def storm(folder: Path, sandbox: Control, *, kills: int, seed: int, alone: bool = False) -> list[Watcher]:
    http, grpc = free_address(), free_address()
    gateway = Gateway(grpc, http) if alone else None
    settings = {"EVERGREEN_LISTEN": grpc} if alone else {"EVERGREEN_HTTP_LISTEN": http}
    async with (
        ServerProcess(folder / "data", sandbox.url, settings) as server,
        gateway or nullcontext(),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout()) as session,
    ):
        raging = Storm(server, f"http://{http}", session, gateway=gateway)
        judge(await raging.run(kills, random.Random(seed)), raging.watchers)
        return raging.watchers


async def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.gateway.live.kills", description="Kills a server under its watchers.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--alone", action="store_true", help="with a gateway of its own, which is killed too")
    arguments = parser.parse_args()
    print(f"{arguments.kills} kills, seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        async with open_sandbox() as sandbox:
            watchers = await storm(
                Path(folder), sandbox, kills=arguments.kills, seed=arguments.seed, alone=arguments.alone
            )
    events, opened = sum(len(each.seen) for each in watchers), sum(each.opened for each in watchers)
    print(f"{len(watchers)} watchers opened {opened} times and were told {events} events: each change once, in order")


if __name__ == "__main__":
    asyncio.run(main())
