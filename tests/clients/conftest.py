from collections.abc import AsyncIterator

import pytest

from evergreen import Reconnect, WireClient
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
