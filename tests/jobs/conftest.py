"""The server of these tests: when a test is through, the life of every one of its jobs is checked."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.jobs.lives import check_lives
from tests.serving import Api, Control, serving


@pytest.fixture
async def api(tmp_path: Path, sandbox: Control) -> AsyncIterator[Api]:
    async with serving(tmp_path / "data", sandbox.url) as opened:
        yield opened
        await check_lives(opened, "film")
