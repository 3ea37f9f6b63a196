"""Fixtures of the tests that need the whole service."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.postgres import Postgres, any_postgres
from tests.serving import Api, Control, open_sandbox, serving


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
