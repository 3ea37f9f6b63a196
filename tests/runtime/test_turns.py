"""Places that owners share: the bound of all, the share of each, and whose turn it is."""

import asyncio
from contextlib import suppress

import pytest

from evergreen_server.runtime.turns import Place, Turns


def ask(turns: Turns, owner: str, times: int) -> list[Place]:
    return [turns.ask(owner) for _ in range(times)]


def got(places: list[Place]) -> int:
    return sum(place.done() for place in places)


@pytest.mark.parametrize(("at_once", "alone"), [(1, 1), (2, 1), (3, 2), (4, 2), (6, 3), (32, 16)])
async def test_an_owner_alone_gets_half_of_the_places_and_at_least_one(at_once: int, alone: int) -> None:
    turns = Turns(at_once)

    greedy = ask(turns, "greedy", 100)

    assert got(greedy) == alone


async def test_who_holds_none_has_a_place_at_once_beside_greedy_ones() -> None:
    turns = Turns(4)
    ask(turns, "greedy", 100)

    second = ask(turns, "second", 100)
    honest = turns.ask("honest")

    assert (got(second), honest.done()) == (1, True)


async def test_owners_come_to_equal_shares() -> None:
    turns = Turns(9)
    held = {owner: ask(turns, owner, 50) for owner in ("a", "b")}

    for _ in range(20):
        for owner, places in held.items():
            first = next(place for place in places if place.done())
            places.remove(first)
            turns.give_back(owner, first)

    assert {owner: got(places) for owner, places in held.items()} == {"a": 3, "b": 3}


async def test_an_honest_one_waits_for_one_place_however_many_wait_before_it() -> None:
    turns = Turns(1)
    greedy = ask(turns, "greedy", 1000)
    honest = turns.ask("honest")

    turns.give_back("greedy", greedy[0])

    assert (honest.done(), got(greedy[1:])) == (True, 0)


async def test_owners_take_turns_and_each_its_own_in_the_order_asked() -> None:
    turns = Turns(1)
    order: list[str] = []

    async def work(owner: str, number: int) -> None:
        async with turns.of(owner):
            order.append(f"{owner}{number}")
            # Lets all others ask.
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for owner, times in (("a", 4), ("b", 2), ("c", 1)):
            for number in range(times):
                group.create_task(work(owner, number))

    assert order == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


async def test_who_is_cancelled_while_waiting_takes_no_place_and_leaves_none_behind() -> None:
    turns = Turns(1)
    held = turns.ask("a")

    async def wait() -> None:
        async with turns.of("b"):
            raise AssertionError("never reached")

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    # In this order the place is given to one who has gone, and must come back from there.
    waiting.cancel()
    turns.give_back("a", held)
    with suppress(asyncio.CancelledError):
        await waiting

    assert turns.ask("c").done()


async def test_a_place_comes_back_from_work_that_fails() -> None:
    turns = Turns(1)

    for _ in range(3):
        with pytest.raises(OSError, match="broken"):
            async with turns.of("a"):
                raise OSError("broken")

    assert turns.ask("b").done()
