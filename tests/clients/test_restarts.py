"""The server is killed every two seconds for a while: its watchers are told every change, once, and the end."""

import asyncio
import signal
from contextlib import aclosing, suppress
from pathlib import Path

from evergreen import WireClient, is_final
from tests.clients.node import watched_by_node
from tests.clients.restarts import PROJECT, Change, ask_for, change, patient, restarting, settle
from tests.serving import SPEED, WAIT_SECONDS, Control

SECONDS, EVERY = 24.0, 2.0


async def watched(client: WireClient, **chosen: object) -> list[Change]:
    """What a watch of jobs tells its caller until it ends by itself."""
    told: list[Change] = []
    last = None
    async with aclosing(client.watch(after_revision=0, **chosen)) as messages:
        async for message in messages:
            told += [found] if (found := change(message)) else []
            last = message
    assert last is not None
    assert is_final(last.event.job), "the watch ends with a terminal event"
    return told


async def watched_project(client: WireClient, told: list[Change], news: asyncio.Event) -> None:
    async with aclosing(client.watch(project_id=PROJECT, after_revision=0)) as messages:
        async for message in messages:
            told += [found] if (found := change(message)) else []
            news.set()


async def test_killed_every_two_seconds_a_watch_tells_every_change_once_and_the_end(
    tmp_path: Path, sandbox: Control
) -> None:
    # These two outlive the kills; the short ones change all through them.
    await sandbox.fault("throttle", operation="create", prompt="long", seconds=(SECONDS + 1) * SPEED, count=2)
    async with restarting(tmp_path, sandbox) as server, patient(server.address) as client:
        long = [(await ask_for(client, f"long {number}")).job_id for number in range(2)]
        short: list[str] = []
        whole: list[Change] = []
        news, enough = asyncio.Event(), asyncio.Event()

        async def keep_asking() -> None:
            while not enough.is_set():
                short.append((await ask_for(client, f"short {len(short)}")).job_id)
                with suppress(TimeoutError):
                    await asyncio.wait_for(enough.wait(), EVERY)

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watched(client, job_ids=long))
            from_node = group.create_task(watched_by_node(server.address, long))
            project = group.create_task(watched_project(client, whole, news))
            asking = group.create_task(keep_asking())
            await server.again_and_again(SECONDS, every=EVERY, least=5)
            # Not cancelled: a job that was asked for, and whose answer nobody waits for, would go on after the history.
            enough.set()
            await asyncio.wait_for(asking, WAIT_SECONDS)
            await asyncio.wait_for(settle(client, [*long, *short]), WAIT_SECONDS)
            told = await asyncio.wait_for(watching, WAIT_SECONDS)
            told_by_node = await asyncio.wait_for(from_node, WAIT_SECONDS)
            history = await server.history(project_id=PROJECT)
            async with asyncio.timeout(WAIT_SECONDS):
                while len(whole) < len(history):
                    news.clear()
                    await news.wait()
            project.cancel()

        assert whole == history
        assert told == [each for each in history if each[1] in long]
        assert told_by_node == told
        assert {job_id for _, job_id, _ in history} >= {*long, *short}


async def test_a_rolling_restart_is_seen_by_no_watcher(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.fault("throttle", operation="create", prompt="long", seconds=8 * SPEED)
    async with restarting(tmp_path, sandbox, EVERGREEN_GRACE_SECONDS="1") as server, patient(server.address) as client:
        job = await ask_for(client, "long")

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watched(client, job_ids=[job.job_id]))
            await server.again_and_again(6, every=EVERY, least=2, number=signal.SIGTERM)
            await asyncio.wait_for(settle(client, [job.job_id]), WAIT_SECONDS)

        assert watching.result() == await server.history(project_id=PROJECT)
