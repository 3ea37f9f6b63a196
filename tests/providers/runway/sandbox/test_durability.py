"""The books survive the process: what was answered before a SIGKILL is true after it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from evergreen_server.providers.runway.sandbox import Sandbox
from tests.providers.runway.sandbox.bodies import BODIES
from tests.providers.runway.sandbox.driver import Caller, opened
from tests.providers.runway.sandbox.making import LONG_ENOUGH


@asynccontextmanager
async def killed_after(state: Path) -> AsyncIterator[Caller]:
    """A sandbox in its own process, killed at the end of the block."""
    child = Path(__file__).with_name("server_child.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(child), str(state), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            url = (await process.stdout.readline()).decode().strip()
        async with aiohttp.ClientSession() as session:
            yield Caller(url, session)
    finally:
        process.kill()
        await process.wait()


async def test_a_killed_sandbox_still_knows_every_task_delete_and_credit(tmp_path: Path) -> None:
    async with killed_after(tmp_path) as runway:
        await runway.control("PATCH", "account", {"creditBalance": 500, "maxConcurrentGenerations": 2})
        await runway.fault("failure", failureCode="INTERNAL")
        failing, done, deleted, waiting, queued = [await runway.create(duration=2) for _ in range(5)]
        await runway.advance(10)
        await runway.call("DELETE", f"/v1/tasks/{deleted}")
        await runway.advance(4)
        url = (await runway.task(done))["output"][0]
        before = (await runway.control("GET", "tasks"))["tasks"]
        balance = await runway.balance()
        clock = (await runway.control("GET", "clock"))["now"]

    async with killed_after(tmp_path) as runway:
        after = (await runway.control("GET", "tasks"))["tasks"]
        fetched = await runway.call("GET", runway.url + url[url.index("/outputs") :])
        gone = await runway.call("GET", f"/v1/tasks/{deleted}")

        assert after == before
        # Refunded is only the failed one: the deleted one was running.
        assert await runway.balance() == balance == 500 - 24 * 4
        assert (await runway.control("GET", "clock"))["now"] == clock
        assert [await runway.status(each) for each in (failing, done, waiting, queued)] == [
            "FAILED",
            "SUCCEEDED",
            "RUNNING",
            "RUNNING",
        ]
        assert gone.status == 404
        assert (fetched.status, fetched.data[4:8]) == (200, b"ftyp")


async def test_half_a_line_in_the_journal_never_happened(tmp_path: Path) -> None:
    async with opened(state_dir=tmp_path) as runway:
        task_id = await runway.create()
    with (tmp_path / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"kind":"delete","at":1.0,"entry":{"id":"' + task_id.encode())

    async with opened(state_dir=tmp_path) as runway:
        assert await runway.status(task_id) == "PENDING"
        await runway.create()
    async with opened(state_dir=tmp_path) as runway:
        assert len((await runway.control("GET", "tasks"))["tasks"]) == 2


async def test_two_sandboxes_do_not_share_a_folder(tmp_path: Path) -> None:
    async with opened(state_dir=tmp_path):
        with pytest.raises(RuntimeError, match="another sandbox"):
            async with Sandbox(state_dir=tmp_path):
                raise AssertionError("it opened")


async def test_a_killed_sandbox_still_makes_the_same_of_everything(tmp_path: Path) -> None:
    async with killed_after(tmp_path) as runway:
        made = {path: (await runway.call("POST", f"/v1/{path}", json=body)).json["id"] for path, body in BODIES.items()}
        await runway.advance(LONG_ENOUGH)
        before = (await runway.control("GET", "tasks"))["tasks"]

    async with killed_after(tmp_path) as runway:
        after = (await runway.control("GET", "tasks"))["tasks"]
        files = {path: (await runway.task(task_id))["output"] for path, task_id in made.items()}
        quick = ("text_to_image", "text_to_speech", "sound_effect", "voice_isolation", "recipes/ad_localization")
        got = [(await runway.call("GET", url, headers={})).status for path in quick for url in files[path]]

    assert after == before
    assert all(files.values())
    assert got == [200] * len(quick)


def without(line: str, *names: str) -> str:
    """Returns a line of a journal as a version wrote it that did not know these members."""
    entry = json.loads(line)
    for name in names:
        entry["entry"].pop(name, None)
        entry["entry"].get("tier", {}).pop(name, None)
    return json.dumps(entry) + "\n"


async def test_a_journal_from_before_there_were_other_kinds_is_read(tmp_path: Path) -> None:
    async with opened(state_dir=tmp_path, tier=2) as runway:
        task_id = await runway.create(duration=2)
    journal = tmp_path / "journal.jsonl"
    old = [without(line, "references", "making", "groups") for line in journal.read_text().splitlines()]
    journal.write_text("".join(old))

    async with opened(state_dir=tmp_path) as runway:
        await runway.advance(100)
        url = (await runway.task(task_id))["output"][0]
        told = (await runway.call("GET", "/v1/organization")).json["tier"]["models"]["gen4_image"]

        assert (await runway.call("GET", url, headers={})).status == 200
        assert told == {"maxConcurrentGenerations": 3, "maxDailyGenerations": 500}
