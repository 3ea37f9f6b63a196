"""Calls every method of the official Node SDK against a sandbox: `calls.mjs` beside this file is the table of them.

python -m tests.providers.runway.sandbox.suite.node
"""

import asyncio
import json
import tempfile
from pathlib import Path

from evergreen_server.providers.runway.sandbox import SANDBOX_KEY
from tests.providers.runway.sandbox.driver import opened, picture
from tests.providers.runway.sandbox.made import clip, sound
from tests.providers.runway.sandbox.suite.mending import EVENT, GRAPH
from tests.providers.runway.sandbox.suite.random_bodies import uploaded

_HERE = Path(__file__).parent


async def check_node() -> bool:
    """Runs the table, and returns whether every method is in it and answered rightly."""
    async with opened(speed=1000.0) as runway:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            file.write(picture(1280, 720))
            file.flush()
            told = {
                "url": runway.url,
                "key": SANDBOX_KEY,
                "image": {"uri": await uploaded(runway, "a.png", picture(1280, 720)), "file": file.name},
                "video": {"uri": await uploaded(runway, "a.mp4", clip(5))},
                "audio": {"uri": await uploaded(runway, "a.wav", sound(5))},
                "workflow": (await runway.control("POST", "workflows", {"name": "Foxes", "graph": GRAPH}))["id"],
                "event": (await runway.control("POST", "audit_logs", EVENT))["eventId"],
            }
            command = ("node", "calls.mjs", json.dumps(told))
            node = await asyncio.create_subprocess_exec(*command, cwd=_HERE, stdout=asyncio.subprocess.PIPE)
            out, _ = await node.communicate()
    right = node.returncode == 0
    print(f"{out.decode().strip()} methods of the official Node SDK, {'all' if right else 'not all'} answered rightly")
    return right
