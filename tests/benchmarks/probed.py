"""A whole server as a process of its own, with a probe on its event loop."""

import asyncio
import json
import sys
from pathlib import Path
from statistics import quantiles

import uvloop

from evergreen_server.runtime.gc import tune_gc
from evergreen_server.runtime.logs import set_up_logs
from tests.benchmarks.commanded import obey
from tests.benchmarks.jobs import Probe
from tests.serving import serving


async def main(data: str, provider: str, *changes: str) -> None:
    """Serves on a data folder and a provider's URL, under `NAME=VALUE` variables."""
    set_up_logs("INFO", "json")
    async with serving(Path(data), provider, **dict(change.split("=", 1) for change in changes)) as api:
        tune_gc()
        probe = Probe()
        running = asyncio.create_task(probe.run())

        async def tell(command: list[str]) -> str:
            """`begin`: forgets all lags until now. `end`: gives the p50, p99 and longest since, in ms, as JSON."""
            lags = list(probe.lags)
            del probe.lags[:], probe.cpu[:]
            if command == ["begin"]:
                return "begun"
            ranks = quantiles(lags, n=100)
            return json.dumps([ranks[49], ranks[98], max(lags)])

        await obey(api.address, tell)
        running.cancel()
        await asyncio.wait([running])


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
