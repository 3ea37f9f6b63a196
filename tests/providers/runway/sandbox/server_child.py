"""A sandbox in a process of its own, to be killed: prints its URL and serves."""

import asyncio
import sys
from pathlib import Path

from evergreen_server.providers.runway.sandbox import Sandbox, Settings, run


def say(url: str) -> None:
    print(url, flush=True)


asyncio.run(
    run(Sandbox(speed=0, state_dir=Path(sys.argv[1]), settings=Settings(task_sigma=0, render_scale=0.25)), ready=say)
)
