"""Serves by a clock that is AHEAD_SECONDS ahead of the machine's."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta

import uvloop

from evergreen_server import app
from evergreen_server.config import Config
from evergreen_server.runtime.logs import set_up_logs

AHEAD = timedelta(seconds=float(os.environ["AHEAD_SECONDS"]))


async def main() -> None:
    config, stop = Config.from_env(os.environ), asyncio.Event()
    set_up_logs(config.log_level, config.log_format)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    def ready(address: str, _provider_url: str, _http_url: str) -> None:
        print(f"evergreen serves on {address}", flush=True)

    await app.serve(config, stop=stop, ready=ready, now=lambda: datetime.now(UTC) + AHEAD)


if __name__ == "__main__":
    uvloop.run(main())
