"""Storages to test, opened as the service opens them."""

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evergreen_storage import LocalStorage, Storage, open_storage

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "/abs",
    "a/b",
    "a\\b",
    "a\0b",
    "a b",
    "a\n",
    "-a",
    "_a",
    ".hidden",
    "%2e%2e",
    "é",
    "a\u202eb",
    "\uff41",
    "CON",
    "nul",
    "Com1",
    "lpt9",
    "a" * 300,
]

CHILD = Path(__file__).with_name("storage_child.py")


class Clock:
    """A clock that moves by one second at each look."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=HOSTILE, ids=ascii)
def hostile(request: pytest.FixtureRequest) -> str:
    """Gives a name that must be allowed nowhere."""
    return str(request.param)


@pytest.fixture(params=["file", "memory"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Storage]:
    url = (tmp_path / "root").as_uri() if request.param == "file" else "memory://"
    async with open_storage(url, clock=clock) as opened:
        yield opened


@pytest.fixture
async def local(tmp_path: Path, clock: Clock) -> AsyncIterator[LocalStorage]:
    opened = await LocalStorage.open(tmp_path / "root", clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
def child() -> Callable[..., AbstractAsyncContextManager[Process]]:
    """Starts a real process over a storage folder, and ends it at the end of its context."""

    @asynccontextmanager
    async def start(*arguments: object) -> AsyncIterator[Process]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(CHILD),
            *map(str, arguments),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            async with asyncio.timeout(20):
                yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    return start
