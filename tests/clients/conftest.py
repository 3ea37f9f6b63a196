import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from evergreen import Reconnect, WireClient
from tests.clients.command_line import CommandLine
from tests.clients.scripted import ScriptedService


@pytest.fixture
async def service() -> AsyncIterator[ScriptedService]:
    async with ScriptedService() as service:
        yield service


@pytest.fixture
async def client(service: ScriptedService) -> AsyncIterator[WireClient]:
    """A client that does not wait before it reconnects, and waits as long as a busy machine may take."""
    reconnect = Reconnect(first_delay=0.01, max_delay=0.05, random=lambda: 1.0, patience=30.0)
    async with WireClient(service.target, reconnect=reconnect, timeout=60.0) as client:
        yield client


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """A process that was started in the background ignores SIGINT, and so would the commands that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
async def evergreen(service: ScriptedService, tmp_path: Path) -> CommandLine:
    return CommandLine(service.target, XDG_CONFIG_HOME=str(tmp_path / "config"))
