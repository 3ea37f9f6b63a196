import asyncio
import threading

import pytest

from evergreen_server.media.workers import Busy, TooSlow, Workers


async def test_work_that_outlives_its_bound_is_given_up_and_keeps_its_thread() -> None:
    release = threading.Event()
    workers = Workers(name="test", at_once=1, wait_seconds=0.05, work_seconds=0.05)

    with pytest.raises(TooSlow):
        await workers.run(release.wait, owner="p")
    with pytest.raises(Busy):
        await workers.run(lambda: None, owner="p")

    release.set()
    workers.close()


async def test_no_more_run_at_once_than_allowed() -> None:
    workers = Workers(name="test", at_once=2, wait_seconds=5, work_seconds=5)
    both = threading.Barrier(2)
    lock = threading.Lock()
    running: list[int] = [0]
    most: list[int] = [0]

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        both.wait(timeout=5)
        with lock:
            running[0] -= 1

    async with asyncio.TaskGroup() as tasks:
        for number in range(6):
            tasks.create_task(workers.run(work, owner=f"p{number}"))

    assert most == [2]
    workers.close()


async def test_what_the_work_raises_reaches_the_caller() -> None:
    workers = Workers(name="test", at_once=1, wait_seconds=5, work_seconds=5)

    with pytest.raises(ZeroDivisionError):
        await workers.run(lambda: 1 / 0, owner="p")
    workers.close()
