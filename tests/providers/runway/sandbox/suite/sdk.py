"""Runs the official Python SDK's own tests of its resources against a sandbox."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from xml.etree import ElementTree

import aiohttp
from aiohttp import web

from evergreen_server.providers.runway.sandbox import Sandbox, Settings
from tests.providers.runway.sandbox.suite.mending import Mending

ROOT = Path(__file__).parents[5]
PYTHON, FOLDER = ROOT / ".venv-sdk/bin/python", ROOT / ".make/sdk"
"""What `scripts/fetch-sdk-suite` prepares."""

TESTS = 3009
"""How many there are in the pinned version."""


async def check_sdk() -> bool:
    """Runs the tests of the unpacked sdist, and returns whether all of them passed."""
    report = FOLDER / "report.xml"
    report.unlink(missing_ok=True)
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(speed=0, settings=Settings(render_scale=0.1)))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        mending = Mending(sandbox=sandbox.url, session=session)
        await mending.prepare()
        process = await asyncio.create_subprocess_exec(
            *(str(PYTHON), "-m", "pytest", "-q", "-n", "2", "--tb=short", f"--junit-xml={report}"),
            "tests/api_resources",
            cwd=FOLDER,
            env={"TEST_API_BASE_URL": await _served(stack, mending), "PATH": "/usr/bin:/bin"},
        )
        await process.wait()
    cases = list(ElementTree.parse(report).iter("testcase"))
    passed = sum(len(case) == 0 for case in cases)
    print(f"{passed} of {TESTS} tests of the official Python SDK pass")
    return passed == len(cases) == TESTS


async def _served(stack: AsyncExitStack, mending: Mending) -> str:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{rest:.*}", mending.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"
