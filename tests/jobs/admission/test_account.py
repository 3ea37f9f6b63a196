"""Who asks for the provider's account: many at the cost of one question."""

import asyncio

import pytest

from evergreen_server.jobs.admission.account import AccountReader
from evergreen_server.ports.provider import Account, ProviderUnavailable
from evergreen_server.runtime.shield import ProtectedTasks

ACCOUNT = Account(balance_millicredits=5, max_monthly_millicredits=None, limits={}, api_version="")


class Provider:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.fault: Exception | None = None
        self.answer = asyncio.Event()

    async def account(self) -> Account:
        self.asked += 1
        await self.answer.wait()
        if self.fault is not None:
            raise self.fault
        return ACCOUNT


async def started(calls: int, reader: AccountReader) -> list["asyncio.Task[Account]"]:
    tasks = [asyncio.create_task(reader.read()) for _ in range(calls)]
    # Each has come as far as it comes without an answer.
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_who_comes_while_the_account_is_asked_for_shares_the_answer_and_who_comes_later_asks_anew() -> None:
    async with ProtectedTasks(grace_seconds=0) as shield:
        provider = Provider()
        reader = AccountReader(provider=provider, shield=shield)

        calls = await started(500, reader)
        provider.answer.set()
        answers = await asyncio.gather(*calls)
        asked = provider.asked
        await reader.read()

    assert answers == [ACCOUNT] * 500
    assert (asked, provider.asked) == (1, 2)


async def test_one_that_gives_up_takes_the_answer_from_nobody() -> None:
    async with ProtectedTasks(grace_seconds=0) as shield:
        provider = Provider()
        first, *others = await started(5, AccountReader(provider=provider, shield=shield))

        first.cancel()
        await asyncio.wait([first])
        provider.answer.set()

        assert await asyncio.gather(*others) == [ACCOUNT] * 4
        assert provider.asked == 1


async def test_all_hear_of_a_fault_and_the_next_one_asks_anew() -> None:
    async with ProtectedTasks(grace_seconds=0) as shield:
        provider = Provider()
        provider.fault = ProviderUnavailable("away")
        reader = AccountReader(provider=provider, shield=shield)
        calls = await started(3, reader)

        provider.answer.set()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        provider.fault = None

        assert [str(answer) for answer in answers] == ["away"] * 3
        assert await reader.read() == ACCOUNT


async def test_a_question_that_nobody_waits_for_any_more_ends_quietly() -> None:
    async with ProtectedTasks(grace_seconds=5) as shield:
        provider = Provider()
        provider.fault = ProviderUnavailable("away")
        (call,) = await started(1, AccountReader(provider=provider, shield=shield))

        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        provider.answer.set()


async def test_a_silent_provider_is_waited_for_only_so_long_and_its_late_answer_is_for_who_asks_then() -> None:
    async with ProtectedTasks(grace_seconds=5) as shield:
        provider = Provider()
        reader = AccountReader(provider=provider, shield=shield, seconds=0.01)

        with pytest.raises(ProviderUnavailable, match="has not answered within"):
            await reader.read()
        with pytest.raises(ProviderUnavailable):
            await reader.read()
        provider.answer.set()

        assert await reader.read() == ACCOUNT
        assert provider.asked == 1
