"""The orderly end, and starts that cannot be: SIGTERM at any time, a second server, a port in use."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from evergreen.v1 import video_pb2 as v1
from tests.chaos.outages import Ground, Outage, outages
from tests.e2e.rig import Rig, check_books
from tests.postgres import Postgres
from tests.serving import Api, Control, ServerProcess, reason_of

DRAINING = "the server is stopping; watch again from the last revision"
GRACE = 2.0
MARGIN = 28.0
"""What the end may take beyond the calls' grace, on a busy machine."""


@pytest.fixture
async def rig(tmp_path: Path, sandbox: Control) -> AsyncIterator[Rig]:
    async with Rig(tmp_path, sandbox, EVERGREEN_GRACE_SECONDS=f"{GRACE}") as opened:
        yield opened


async def test_sigterm_drains_watches_and_calls_and_the_jobs_go_on_after_a_restart(rig: Rig) -> None:
    await rig.sandbox.fault("throttle", operation="create", prompt="held", seconds=100)
    held = await rig.api.generate(prompt_text="held")
    await rig.api.until(held.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_THROTTLED)
    await rig.sandbox.fault("lost_answer", operation="create", prompt="lost")
    lost = await rig.steady((await rig.api.generate(prompt_text="lost")).job_id)
    await rig.sandbox.fault("slow", operation="get_task", prompt="lost", seconds=0.5)
    told: list[v1.WatchProgressResponse] = []
    opened = asyncio.Semaphore(0)

    async def watch(**which: object) -> grpc.aio.AioRpcError:
        try:
            async for message in rig.api.events(**which):
                told.append(message)
                if message.HasField("checkpoint"):
                    opened.release()
        except grpc.aio.AioRpcError as error:
            return error
        raise AssertionError("the watch ended as if all were told")

    async with asyncio.TaskGroup() as group:
        watches = [group.create_task(watch(job_ids=[held.job_id])), group.create_task(watch(project_id="other"))]
        health = group.create_task(healths(rig.api, opened))
        for _ in (*watches, health):
            await opened.acquire()
        # A call under way is answered as ever.
        group.create_task(rig.resolve(lost, "lost"))
        await rig.sandbox.called("get_task", promptText="lost")
        said, begun = rig.log.stat().st_size, time.monotonic()
        code, _ = await rig.stop(signal.SIGTERM)

    assert (code, time.monotonic() - begun < GRACE + MARGIN) == (0, True)
    assert [(end.result().code(), reason_of(end.result())) for end in watches] == [
        (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    ] * 2
    assert told[-1].HasField("checkpoint")
    assert told[-2].HasField("checkpoint")
    assert health.result() == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]
    assert [line for line in rig.log.read_text()[said:].splitlines() if " INFO " not in line] == []
    await rig.start()
    ended = {"held": await rig.steady(held.job_id), "lost": await rig.steady(lost.job_id)}
    assert {job.state for job in ended.values()} == {v1.JOB_STATE_SUCCEEDED}
    await rig.check()
    await check_books(rig.sandbox, ended)


async def test_a_rolling_restart_of_two_servers_under_load_loses_no_watch_event(
    tmp_path: Path, sandbox: Control, postgres: Postgres
) -> None:
    @asynccontextmanager
    async def two_servers(folder: Path, sandbox: Control) -> AsyncIterator[Ground]:
        url = postgres.create()
        async with Rig(folder, sandbox, database_url=url, replicas=2) as rig:
            yield Ground(rig=rig, every_seconds=0.1)

    async def restart(ground: Ground) -> None:
        for number in range(2):
            assert await ground.rig.stop(signal.SIGTERM, number) == (0, DRAINING)
            await ground.rig.start(number)

    async def restarted(_ground: Ground) -> None:
        return

    rolling = {"a rolling restart": Outage(seconds=0, begin=restart, end=restarted)}
    tally = await outages(tmp_path, sandbox, dict.fromkeys(rolling, 0.0), kinds=rolling, open_ground=two_servers)

    assert tally.sound, tally.violations
    assert set(tally.ended) == {"SUCCEEDED"}
    assert tally.attention == {}


async def healths(api: Api, told: asyncio.Semaphore) -> list[int]:
    """The server's health, until it serves no more; releases `told` each time."""
    seen: list[int] = []
    call = health_pb2_grpc.HealthStub(api.channel).Watch(health_pb2.HealthCheckRequest())
    async for answer in call:
        seen.append(answer.status)
        told.release()
        if answer.status == health_pb2.HealthCheckResponse.NOT_SERVING:
            break
    call.cancel()
    return seen


async def test_the_task_of_a_post_under_way_at_sigterm_is_recorded(rig: Rig) -> None:
    await rig.sandbox.fault("slow", operation="create", prompt="late", seconds=1)
    job = await rig.api.generate(prompt_text="late")
    await rig.sandbox.called("text_to_video", promptText="late")

    code, _ = await rig.stop(signal.SIGTERM)
    await rig.start()
    done = await rig.steady(job.job_id)

    assert (code, done.state) == (0, v1.JOB_STATE_SUCCEEDED)
    assert len(await rig.sandbox.calls(operation="text_to_video", promptText="late")) == 1
    await rig.check()


async def test_jobs_at_every_stage_survive_a_sigterm(rig: Rig) -> None:
    await rig.sandbox.settings(task_mean_seconds=100.0)
    jobs = {}
    for number in range(8):
        jobs[f"job {number}"] = (await rig.api.generate(prompt_text=f"job {number}")).job_id
        await rig.sandbox.called("text_to_video", promptText=f"job {max(0, number - 4)}")

    code, _ = await rig.stop(signal.SIGTERM)
    await rig.start()
    ended = {prompt: await rig.steady(job_id) for prompt, job_id in jobs.items()}

    assert code == 0
    assert {job.state for job in ended.values()} == {v1.JOB_STATE_SUCCEEDED}
    assert "Traceback" not in rig.log.read_text()
    assert "ancelled" not in rig.log.read_text()
    await rig.check()
    await check_books(rig.sandbox, ended)


async def test_a_second_server_on_the_same_data_is_refused_and_told_of_postgresql(rig: Rig, tmp_path: Path) -> None:
    code, text = await refused(tmp_path / "data", rig.sandbox)

    assert code == 1
    assert "PostgreSQL" in text
    assert str(tmp_path / "data") in text
    assert "Traceback" not in text
    done = await rig.api.finished((await rig.api.generate()).job_id)
    assert done.state == v1.JOB_STATE_SUCCEEDED, "the first server is not disturbed"


async def test_a_port_in_use_is_named_and_nothing_stays_locked(tmp_path: Path, sandbox: Control) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        code, text = await refused(tmp_path / "data", sandbox, EVERGREEN_LISTEN=address)

    assert code == 1
    assert f"cannot listen on {address}" in text
    assert "Traceback" not in text
    async with ServerProcess(tmp_path / "data", sandbox.url) as process:
        api = await process.start()
        assert (await api.finished((await api.generate()).job_id)).state == v1.JOB_STATE_SUCCEEDED


async def test_sigterm_during_the_start_leaves_nothing_behind(tmp_path: Path, sandbox: Control) -> None:
    async with ServerProcess(tmp_path / "data", sandbox.url, preload=False) as process:
        begun = time.monotonic()
        api = await process.start()
        took = time.monotonic() - begun
        job = await api.generate(prompt_text="kept")
        await process.end()
    for part in (0.4, 0.8, 0.95):
        async with ServerProcess(tmp_path / "data", sandbox.url, preload=False) as process:
            await process.launch()
            # Not a wait for anything: the moment is the test.
            await asyncio.sleep(part * took)
            # Before Python has come to our own code, the signal does what it always does.
            assert await process.end(signal.SIGTERM) in (0, -signal.SIGTERM)
    async with ServerProcess(tmp_path / "data", sandbox.url) as process:
        api = await process.start()
        assert (await api.until(job.job_id, v1.JOB_STATE_SUCCEEDED, v1.JOB_STATE_NEEDS_ATTENTION)).job_id == job.job_id
    assert len(await sandbox.tasks("kept")) <= 1
    assert "Traceback" not in (tmp_path / "data.log").read_text()


async def refused(data_dir: Path, sandbox: Control, **changes: str) -> tuple[int, str]:
    """Starts a server that cannot be; gives its exit code and what it said."""
    log = data_dir.parent / f"{data_dir.name}.log"
    before = log.stat().st_size if log.exists() else 0
    async with ServerProcess(data_dir, sandbox.url, changes) as process:
        await process.launch()
        code = await process.ended()
    return code, log.read_bytes()[before:].decode()
