"""Preparing is done by a few jobs at once, by turns of their projects; who waits for its turn can still be stopped."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.ports.specs import Media, Role
from evergreen_server.runtime.threads import OwnThreads
from tests.jobs.stepping import Script, Stepping, stepping, with_picture

MANY = 40
AT_ONCE = 2
"""Half of the places, which is what one project alone gets."""


@asynccontextmanager
async def greedy(folder: Path) -> AsyncIterator[tuple[Script, Stepping, asyncio.TaskGroup]]:
    """Many jobs of one project whose pictures' server gives no byte."""
    script = Script()
    script.hung.add("greedy")
    async with stepping(folder, script, before_slot=None) as steps:
        running: list[asyncio.Task[None]] = []
        try:
            async with asyncio.TaskGroup() as group:
                running += [await begin(steps, group, "greedy", f"greedy-{number}") for number in range(MANY)]
                await script.until_hung(AT_ONCE)
                yield script, steps, group
                for task in running:
                    task.cancel()
        finally:
            script.released.set()


async def begin(
    steps: Stepping, group: asyncio.TaskGroup, project_id: str, job_id: str, **fields: object
) -> asyncio.Task[None]:
    media = Media(role=Role.FIRST_FRAME, uri=f"https://{project_id}.example/{job_id}.jpg")
    request = with_picture(media, project_id=project_id, request_id=job_id, **fields)
    return group.create_task(steps.runner.run(await steps.accept(request, job_id=job_id), 1, 0))


async def test_slow_servers_of_one_project_do_not_keep_anothers_job_from_being_prepared(tmp_path: Path) -> None:
    async with greedy(tmp_path) as (script, steps, group):
        honest = await begin(steps, group, "honest", "honest-1")
        await steps.until("honest-1", lambda job: job.stage is Stage.WAITING)

        assert script.fetching["greedy"] == AT_ONCE
        assert script.fetched == ["https://honest.example/honest-1.jpg"]
        honest.cancel()


async def test_jobs_of_one_project_are_prepared_a_few_at_a_time_in_the_order_accepted(tmp_path: Path) -> None:
    async with greedy(tmp_path) as (script, steps, _):
        script.released.set()
        for number in range(MANY):
            await steps.until(f"greedy-{number}", lambda job: job.stage is Stage.WAITING)

        order = [int(uri.removesuffix(".jpg").rpartition("-")[2]) for uri in script.fetched]
        assert sorted(order) == list(range(MANY))
        # Of those begun before it, no more than have a place can be behind.
        assert all(number - place < AT_ONCE for place, number in enumerate(order))


async def test_a_job_that_waits_to_be_prepared_is_cancelled_at_once(tmp_path: Path) -> None:
    async with greedy(tmp_path) as (script, steps, _):
        last = f"greedy-{MANY - 1}"
        await steps.store.command(last, lambda job: replace(job, state=State.CANCELLING, stage=Stage.NONE))
        steps.context.wakeups.wake(last)

        job = await steps.until(last, lambda job: job.final)

        assert (job.state, job.charged_millicredits) == (State.CANCELLED, 0)
        assert script.fetching["greedy"] == AT_ONCE


async def test_a_run_that_waits_to_prepare_ends_when_a_newer_one_of_its_job_begins(tmp_path: Path) -> None:
    async with greedy(tmp_path) as (script, steps, group):
        older = await begin(steps, group, "greedy", "twice")
        newer = group.create_task(steps.runner.run("twice", 1, 0))

        async with asyncio.timeout(60):
            await older
        assert not newer.done()
        assert script.fetching["greedy"] == AT_ONCE

        # The place for which the older one waited is the newer one's.
        script.released.set()
        await steps.until("twice", lambda job: job.stage is Stage.WAITING)
        assert script.fetched.count("https://greedy.example/twice.jpg") == 1
        newer.cancel()


@pytest.mark.parametrize("role", [Role.SOURCE_VIDEO, Role.REFERENCE_AUDIO])
async def test_a_sound_or_video_that_was_accepted_inline_ends_its_job(role: Role, tmp_path: Path) -> None:
    async with stepping(tmp_path, Script()) as steps:
        job = await steps.run(with_picture(Media(role=role, digest="one")))

    assert (job.state, job.error.reason, steps.provider.sent) == (State.FAILED, "MEDIA_REFUSED", 0)
    assert "only pictures may be sent inline" in job.error.message


async def test_a_job_that_waits_to_be_prepared_expires_at_start_by(tmp_path: Path) -> None:
    async with greedy(tmp_path) as (_, steps, group):
        soon = datetime.now(UTC) + timedelta(seconds=0.5)
        await begin(steps, group, "greedy", "late", start_by=soon)

        job = await steps.until("late", lambda job: job.final)

        assert (job.state, job.error.reason) == (State.EXPIRED, "START_BY_PASSED")


async def test_a_job_without_media_waits_for_no_turn(tmp_path: Path) -> None:
    async with greedy(tmp_path) as (_, steps, group):
        request = with_picture(project_id="greedy", request_id="text")
        request = replace(request, spec=replace(request.spec, media=()))
        running = group.create_task(steps.runner.run(await steps.accept(request, job_id="text"), 1, 0))

        await steps.until("text", lambda job: job.stage is Stage.WAITING)
        running.cancel()


async def test_checked_pictures_lie_on_the_disk_and_are_gone_afterwards(tmp_path: Path) -> None:
    async with stepping(tmp_path, Script()) as steps:
        await steps.run(with_picture())

        assert list(steps.context.temp_dir.iterdir()) == []


async def test_reads_that_hang_keep_their_own_project_waiting_and_no_other() -> None:
    released, both, begun = threading.Event(), threading.Event(), []

    def hang() -> None:
        begun.append("greedy")
        if len(begun) == 2:
            both.set()
        released.wait(120)

    async with OwnThreads(4, name="job-files") as files:
        hanging = [asyncio.create_task(files.run(hang, owner="greedy")) for _ in range(20)]
        assert await files.run(lambda: "read", owner="honest") == "read"
        assert await asyncio.to_thread(both.wait, 60)
        assert len(begun) == 2

        # Whoever has gone leaves its thread at work, and its place taken.
        for task in hanging:
            task.cancel()
        await asyncio.wait(hanging)
        again = asyncio.create_task(files.run(lambda: "later", owner="greedy"))
        assert await files.run(lambda: "read", owner="honest") == "read"
        assert not again.done()

        released.set()
        assert await again == "later"
    assert len(begun) == 2


async def test_a_read_that_fails_gives_its_place_back() -> None:
    async with OwnThreads(1, name="job-files") as files:
        for _ in range(3):
            with pytest.raises(OSError, match="broken"):
                await files.run(lambda: (_ for _ in ()).throw(OSError("broken")), owner="a")

        assert await files.run(lambda: 1, owner="b") == 1
