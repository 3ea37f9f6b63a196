"""Storages to test, opened as the service opens them."""

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest

from evergreen_storage import Json, LocalStorage, SceneStore, Storage, open_storage
from tests.storage.emulators import AzureEmulator, Bucket, Emulator, GoogleEmulator, S3Emulator
from tests.storage.proxy import Proxy, proxying
from tests.storage.rgw import RgwEmulator
from tests.storage.shelf import Shelf

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

OBJECT_STORES = ["s3", "gs", "az"]
FSSPEC = ["fsspec-memory", "fsspec-dir", "fsspec-registered"]

CHILD = Path(__file__).with_name("storage_child.py")


class Clock:
    """A clock that moves by one second each time it is read."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rgw", action="store_true", help="let Ceph's object gateway be the S3 of the tests")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "expiring" in metafunc.fixturenames:
        # The usual S3 server of these tests serves a URL for ever.
        kinds = ["s3", "gs", "az"] if metafunc.config.getoption("--rgw", default=False) else ["gs", "az"]
        metafunc.parametrize("expiring", kinds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=HOSTILE, ids=ascii)
def hostile(request: pytest.FixtureRequest) -> str:
    """Returns a name that must be allowed nowhere."""
    return str(request.param)


@pytest.fixture(scope="session")
def emulators(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Emulator]]:
    """Starts each kind of object store when it is first asked for, and ends them all with the session."""
    kinds: dict[str, Callable[[Path], AbstractContextManager[Emulator]]] = {
        "s3": RgwEmulator.start if pytestconfig.getoption("--rgw", default=False) else S3Emulator.start,
        "gs": GoogleEmulator.start,
        "az": AzureEmulator.start,
    }
    running: dict[str, Emulator] = {}
    with ExitStack() as stack:

        def emulator(kind: str) -> Emulator:
            if kind not in running:
                running[kind] = stack.enter_context(kinds[kind](tmp_path_factory.mktemp(kind)))
            return running[kind]

        yield emulator


@pytest.fixture(params=OBJECT_STORES)
def bucket(request: pytest.FixtureRequest, emulators: Callable[[str], Emulator]) -> Bucket:
    """Makes a bucket of each object store."""
    return emulators(request.param).bucket()


@pytest.fixture(params=["file", "memory", *OBJECT_STORES, *FSSPEC])
async def storage(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock, emulators: Callable[[str], Emulator]
) -> AsyncIterator[Storage]:
    options: Mapping[str, Json] = {}
    match request.param:
        case "file":
            url = (tmp_path / "root").as_uri()
        case "memory":
            url = "memory://"
        case "fsspec-memory":
            url = f"fsspec+memory://{tmp_path}"
        case "fsspec-dir":
            url, options = "dir://", {"path": str(tmp_path), "target_protocol": "file"}
        case "fsspec-registered":
            fsspec.register_implementation("shelf", Shelf, clobber=True)
            url, options = "shelf://team/files", {"shelf": str(tmp_path)}
        case kind:
            made = emulators(kind).bucket()
            url, options = made.url, made.options
    async with open_storage(url, clock=clock, **options) as opened:
        yield opened


@pytest.fixture
def scenes(storage: Storage, clock: Clock) -> SceneStore:
    return SceneStore(storage, clock=clock)


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Runs a proxy to put in front of an object store."""
    async with proxying() as running:
        yield running


@pytest.fixture
def signs(request: pytest.FixtureRequest) -> bool:
    """Returns whether the storage under test signs URLs."""
    return request.node.callspec.params["storage"] in OBJECT_STORES


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
            async with asyncio.timeout(60):
                yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    return start
