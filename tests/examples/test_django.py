"""The example for Django, as a site of its own that serves several threads."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.serving import SAMPLES, WAIT_SECONDS, Api

SITE = Path(__file__).parents[2] / "examples" / "django" / "clips.py"


@asynccontextmanager
async def site(address: str) -> AsyncIterator[str]:
    """The address of the site, which ends with the context."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", SITE, "runserver", "--noreload", "127.0.0.1:0"),
        env={**os.environ, "EVERGREEN_ENDPOINT": address},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", (await process.stdout.readline()).decode())):
            assert not process.stdout.at_eof()
        yield found[0]
    finally:
        process.kill()
        await process.wait()


async def test_a_site_asks_for_clips_and_shows_how_they_get_on(api: Api) -> None:
    picture = (SAMPLES / "rocket.jpg").read_bytes()

    async def asked(http: aiohttp.ClientSession, order: str) -> str:
        form = aiohttp.FormData({"prompt": "The rocket climbs", "order": order})
        form.add_field("picture", picture, filename="rocket.jpg")
        async with http.post("/clips", data=form) as answer:
            assert answer.status == 202
            return str((await answer.json())["job_id"])

    async with asyncio.timeout(WAIT_SECONDS), site(api.address) as address, aiohttp.ClientSession(address) as http:
        ids = await asyncio.gather(*(asked(http, f"order-{number % 3}") for number in range(6)))
        await api.finished(ids[0])
        async with http.get(f"/clips/{ids[0]}") as answer:
            shown = await answer.json()
        async with http.get("/clips/019b0000-0000-7000-8000-000000000000") as answer:
            lost = answer.status
        async with http.post("/clips") as answer:
            empty = answer.status

    assert len(set(ids)) == 3
    assert (shown["state"], shown["prompt"], lost, empty) == ("succeeded", "The rocket climbs", 404, 400)
    assert shown["end_time"].endswith("+00:00")
