"""Fixtures of the tests that need the whole service."""

import gc
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest

from tests.postgres import Postgres, any_postgres
from tests.serving import Api, Control, open_sandbox, serving


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keeps Python from looking for garbage in what is collected, which stays as long as the process.

    To look through it again and again took most of the time of collecting, and each look afterwards stopped a test's
    loop, with all that it serves, for up to a second.
    """
    gc.disable()
    result = yield
    gc.collect()
    gc.freeze()
    gc.enable()
    return result


@pytest.fixture
async def sandbox() -> AsyncIterator[Control]:
    async with open_sandbox() as control:
        yield control


@pytest.fixture
async def api(tmp_path: Path, sandbox: Control) -> AsyncIterator[Api]:
    async with serving(tmp_path / "data", sandbox.url) as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with any_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.create()
