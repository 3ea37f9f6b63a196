"""Many watchers, watchers that stop reading or go away, and what a status may say beside them."""

import asyncio
import os
import signal
from collections import Counter
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import video_pb2
from tests.http2 import connect
from tests.rpc.watching import Message, changes, recorded, until_checkpoint, whole
from tests.serving import FINAL, Api, Control, ServerProcess, reason_of

PATH = "/evergreen.v1.VideoService/WatchProgress"
FOREVER = 1_000_000.0


async def test_a_hundred_watchers_of_one_job_all_see_the_same(api: Api, tmp_path: Path) -> None:
    job = await api.generate()

    told = await asyncio.gather(
        *(whole(api.events(job_ids=[job.job_id], after_revision=0)) for _ in range(100)),
    )

    assert Counter(str(changes(messages)) for messages in told) == {
        str(recorded(tmp_path / "data", job_id=job.job_id)): 100
    }


async def test_watchers_that_go_away_cancel_nothing(api: Api) -> None:
    job = await api.generate()

    for _ in range(20):
        async with aclosing(api.events(job_ids=[job.job_id])) as messages:
            await anext(messages)
    done = await api.finished(job.job_id)

    assert done.state == video_pb2.JOB_STATE_SUCCEEDED


async def test_a_watcher_that_stops_reading_loses_nothing_and_delays_nobody(api: Api, tmp_path: Path) -> None:
    told: list[Message] = []
    caught_up = asyncio.Event()
    jobs = 40

    def received(_stream: int, data: bytes) -> None:
        told.append(Message.FromString(data))
        if sum(message.event.job.state in FINAL for message in told) == jobs:
            caught_up.set()

    stalled = await connect(api.address, PATH, received=received, ended=lambda *_: None, stream_window=0)
    stream = stalled.call(video_pb2.WatchProgressRequest(project_id="film", after_revision=0).SerializeToString())
    made = [await api.generate(labels={"filling": "x" * 60}) for _ in range(jobs)]
    await asyncio.gather(*(api.finished(job.job_id) for job in made))
    assert told == []
    stalled.allow(stream, 2**30)
    await asyncio.wait_for(caught_up.wait(), 60)
    stalled.transport.close()

    assert changes(told) == recorded(tmp_path / "data")
    revisions = [message.revision for message in told if message.HasField("event")]
    assert revisions == sorted(set(revisions))


async def test_a_status_is_never_older_than_an_event_already_seen(api: Api) -> None:
    jobs = [await api.generate() for _ in range(50)]
    seen = dict.fromkeys((job.job_id for job in jobs), 0)
    asked = 0

    async def ask(job_id: str) -> None:
        nonlocal asked
        least = seen[job_id]
        job = await api.status(job_id)
        asked += 1
        assert job.revision >= least, f"{job_id} was at {least} and is said to be at {job.revision}"

    async def keep_asking() -> None:
        # Keeps answers in the cache, so that there is something that could be stale.
        while any(revision >= 0 for revision in seen.values()):
            await asyncio.gather(*(ask(job_id) for job_id in list(seen)[:10]))

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        polling = group.create_task(keep_asking())
        async with aclosing(api.events(project_id="film", after_revision=0)) as messages:
            unfinished = set(seen)
            async for message in messages:
                job = message.event.job
                if message.HasField("event"):
                    seen[job.job_id] = job.revision
                    group.create_task(ask(job.job_id))
                    if job.state in FINAL:
                        unfinished.discard(job.job_id)
                if not unfinished:
                    break
        polling.cancel()

    for job_id, revision in seen.items():
        assert (await api.status(job_id)).revision == revision
    assert asked > 300


async def test_a_stopping_server_tells_watchers_how_far_they_came(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=FOREVER)
    async with ServerProcess(tmp_path / "data", sandbox.url) as process:
        api = await process.start()
        job = await api.generate()
        await api.until(job.job_id, video_pb2.JOB_STATE_RUNNING, stage=video_pb2.JOB_STAGE_GENERATING)
        watching = [asyncio.Event(), asyncio.Event()]

        told: tuple[list[Message], list[Message]] = ([], [])

        async def watch(number: int, **fields: object) -> None:
            async for message in api.events(**fields):
                told[number].append(message)
                if message.HasField("checkpoint"):
                    watching[number].set()

        async def drained(number: int, **fields: object) -> None:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await watch(number, **fields)
            assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(drained(0, project_id="film"))
            group.create_task(drained(1, job_ids=[job.job_id], after_revision=0))
            for caught_up in watching:
                await caught_up.wait()
            group.create_task(process.end(signal.SIGTERM))

        for messages in told:
            assert messages[-1].HasField("checkpoint")
            assert messages[-1].revision == max(message.revision for message in messages)
        again = await process.start()
        cursor = told[0][-1].revision
        assert await until_checkpoint(again, project_id="film", after_revision=cursor) == []


async def test_ten_thousand_watchers_at_once_are_all_accepted_and_all_told(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=FOREVER)
    started, ended = Counter[int](), Counter[int]()
    opened, all_ended = asyncio.Event(), asyncio.Event()

    def received(_stream: int, data: bytes) -> None:
        kind = Message.FromString(data).WhichOneof("body")
        started[kind == "checkpoint"] += 1
        if started[True] == 10_000:
            opened.set()

    def end(_stream: int, status: int) -> None:
        ended[status] += 1
        if ended.total() == 10_000:
            all_ended.set()

    async with ServerProcess(tmp_path / "data", sandbox.url, preload=False) as process:
        api = await process.start()
        job = await api.generate()
        await api.until(job.job_id, video_pb2.JOB_STATE_RUNNING, stage=video_pb2.JOB_STAGE_GENERATING)
        asked = video_pb2.WatchProgressRequest(job_ids=[job.job_id]).SerializeToString()
        connections = [await connect(api.address, PATH, received=received, ended=end) for _ in range(10)]

        for connection in connections:
            for _ in range(1000):
                connection.call(asked)
        await asyncio.wait_for(opened.wait(), 60)
        memory = resident_kib(process.pid)
        await api.video.CancelVideo(video_pb2.CancelVideoRequest(job_id=job.job_id))
        await asyncio.wait_for(all_ended.wait(), 60)

        assert ended == {0: 10_000}
        assert memory < 700 * 1024
        for connection in connections:
            connection.transport.close()
        await process.end(signal.SIGTERM)


def resident_kib(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
