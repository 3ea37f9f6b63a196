"""The gateway alone, built in this process before a server that is faked at the wire."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from evergreen_server import gateway_app
from evergreen_server.config import Config

WAIT_SECONDS = 60


@asynccontextmanager
async def alone(path: str, *, insecure: bool = True, **environ: str) -> AsyncIterator[asyncio.Task[None]]:
    """A gateway before whatever serves gRPC at a path; gives its task, which ends with the context at the latest."""
    config = Config.from_env(
        {"EVERGREEN_GRACE_SECONDS": "1", "EVERGREEN_HTTP_LISTEN": "127.0.0.1:0", **environ}, sandbox=True, insecure=True
    )
    stop, ready = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(
        gateway_app.serve(
            config,
            target=f"unix:{path}",
            credentials=None,
            insecure=insecure,
            stop=stop,
            ready=lambda _: ready.set(),
        )
    )
    try:
        await asyncio.wait_for(ready.wait(), WAIT_SECONDS)
        yield serving
    finally:
        stop.set()
        await asyncio.wait([serving], timeout=WAIT_SECONDS)


async def test_it_measures_how_late_its_loop_is(path: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with alone(path, EVERGREEN_METRICS_LISTEN="127.0.0.1:0"), aiohttp.ClientSession() as session:
        address = next(record.address for record in caplog.records if record.getMessage() == "metrics served")
        text = "evergreen_loop_lag_seconds_count 0.0"
        async with asyncio.timeout(WAIT_SECONDS):
            while "evergreen_loop_lag_seconds_count 0.0" in text:
                async with session.get(f"http://{address}/metrics") as answer:
                    text = await answer.text()

    assert "evergreen_loop_lag_seconds_count" in text
