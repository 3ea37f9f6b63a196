"""Background tasks, which go on whatever they meet."""

import asyncio

import pytest

from evergreen_server.runtime.background import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Background


class Pauses:
    """Stands for sleeping: remembers how long, lets others run, and after `most` times waits for ever."""

    def __init__(self, most: int) -> None:
        self.seconds: list[float] = []
        self.over = asyncio.Event()
        self._most = most

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) == self._most:
            self.over.set()
            await asyncio.Event().wait()


async def test_a_task_that_fails_is_counted_and_begun_again_with_growing_pauses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pauses, failed, begun = Pauses(12), [], []

    async def work() -> None:
        begun.append(1)
        raise OverflowError("a number of 400 digits")

    async with Background(failed=failed.append, sleep=pauses) as background:
        background.start(work, name="account")
        await asyncio.wait_for(pauses.over.wait(), 60)

    assert pauses.seconds[:3] == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS]
    assert pauses.seconds[-1] == LONGEST_PAUSE_SECONDS
    assert failed == ["account"] * 12
    assert len(begun) == 12
    assert [record.exc_info is not None for record in caplog.records] == [True] + [False] * 11
    assert "400 digits" not in caplog.records[1].getMessage()


async def test_another_fault_is_told_of_whole_and_starts_with_a_short_pause(caplog: pytest.LogCaptureFixture) -> None:
    pauses, faults = Pauses(4), [ValueError("a"), ValueError("b"), KeyError("c"), KeyError("d")]

    async def work() -> None:
        raise faults.pop(0)

    async with Background(failed=lambda _: None, sleep=pauses) as background:
        background.start(work, name="sweep")
        await asyncio.wait_for(pauses.over.wait(), 60)

    assert pauses.seconds == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS] * 2
    assert [record.exc_info is not None for record in caplog.records] == [True, False, True, False]


async def test_a_task_that_returns_is_begun_again() -> None:
    pauses, failed = Pauses(2), []

    async def work() -> None:
        return

    async with Background(failed=failed.append, sleep=pauses) as background:
        background.start(work, name="notices")
        await asyncio.wait_for(pauses.over.wait(), 60)

    assert failed == ["notices", "notices"]


async def test_a_cancelled_task_ends_and_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    failed, running = [], asyncio.Event()

    async def work() -> None:
        running.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(60), Background(failed=failed.append) as background:
        background.start(work, name="feed")
        await running.wait()

    assert failed == []
    assert caplog.records == []


async def test_one_that_fails_leaves_the_others_alone() -> None:
    pauses, asked, answered = Pauses(3), asyncio.Event(), asyncio.Event()

    async def bad() -> None:
        raise RecursionError

    async def good() -> None:
        await asked.wait()
        answered.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(60), Background(failed=lambda _: None, sleep=pauses) as background:
        background.start(good, name="good")
        background.start(bad, name="bad")
        await pauses.over.wait()
        asked.set()
        await answered.wait()


async def test_what_ends_the_service_ends_them_and_goes_on_as_it_is() -> None:
    async def work() -> None:
        await asyncio.Event().wait()

    async def serve() -> None:
        async with Background(failed=pytest.fail) as background:
            background.start(work, name="feed")
            raise OSError("the port is taken")

    with pytest.raises(OSError, match="the port is taken"):
        await serve()
