"""Slots in the rows of one database that several admissions grant from, as several replicas would."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.admission import slots
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.model.states import Slot, Stage, State
from evergreen_server.jobs.store.backlog import QueueFull
from evergreen_server.jobs.store.provider_tasks import TaskRecords
from evergreen_server.ports.provider import ProviderUnavailable, Unauthorized
from tests.jobs.standing import Replica, Tier
from tests.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
async def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas on one database; on SQLite, which is for one process, they share its connection."""
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            database = await stack.enter_async_context(open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}"))
            yield Replica(database, Tier()), Replica(database, Tier())
        else:
            postgres: Postgres = request.getfixturevalue("postgres")
            url = postgres.create()
            first, second = [await stack.enter_async_context(open_database(url)) for _ in range(2)]
            yield Replica(first, Tier()), Replica(second, Tier())


Two = tuple[Replica, Replica]


async def test_the_project_that_holds_least_goes_next(replicas: Two) -> None:
    first, second = replicas
    for number in range(5):
        await first.accept(f"a{number}", project_id="busy")
    await second.accept("b0", project_id="modest")
    await second.accept("b1", project_id="modest")

    assert await first.grant(concurrent=2) == ["a0", "b0"]
    assert await second.grant(concurrent=3) == ["a1"]
    assert await first.grant(concurrent=5) == ["a2", "b1"]
    assert await second.grant(concurrent=None) == ["a3", "a4"]


async def test_with_a_single_slot_projects_take_turns(replicas: Two) -> None:
    first, second = replicas
    for project_id in ("a", "b"):
        for number in range(3):
            await first.accept(f"{project_id}{number}", project_id=project_id)

    order = []
    for replica in (first, second) * 3:
        (job_id,) = await replica.grant(concurrent=1)
        order.append(job_id)
        await replica.submit(job_id)
        await replica.end(job_id)

    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]


async def test_priority_orders_a_projects_own_jobs_and_age_comes_after(replicas: Two) -> None:
    first, _ = replicas
    await first.accept("a0", project_id="busy")
    await first.accept("a1", project_id="busy", priority=5)
    await first.accept("a2", project_id="busy", priority=5)
    await first.accept("b0", project_id="modest", priority=-1)
    await first.accept("b1", project_id="modest")

    order = [await first.grant(concurrent=number) for number in range(1, 6)]

    assert order == [["a1"], ["b1"], ["a2"], ["b0"], ["a0"]]


@pytest.mark.parametrize("most", [1, 3])
async def test_a_flood_of_the_highest_priority_does_not_hold_back_another_projects_job(
    replicas: Two, most: int
) -> None:
    first, second = replicas
    for number in range(30):
        await first.accept(f"a{number:02}", project_id="urgent", priority=100)
    started = await first.grant(concurrent=most)
    await second.accept("b0", project_id="modest", priority=-100)

    await first.submit(started[0])
    await first.end(started[0])

    assert await second.grant(concurrent=most) == ["b0"]


async def test_replicas_that_grant_at_once_never_grant_too_much(replicas: Two) -> None:
    first, second = replicas
    waiting = [await first.accept(f"job-{number:02}", project_id=f"p{number % 3}") for number in range(40)]
    done = Counter[str]()

    while len(done) < len(waiting):
        both = await asyncio.gather(*(replica.grant(concurrent=3) for replica in (first, second, first, second)))
        granted = [job_id for jobs in both for job_id in jobs]
        assert granted
        assert await second.held() <= 3
        done.update(granted)
        for job_id in granted:
            await first.submit(job_id)
        await asyncio.gather(*(first.end(job_id) for job_id in granted))

    assert set(done.values()) == {1}


async def test_a_pause_holds_on_every_replica_and_doubles(replicas: Two) -> None:
    first, second = replicas
    await first.accept("one")
    await first.scheduler.pause("gen4.5", None)
    await second.scheduler.pause("gen4.5", None)

    second.clock.ahead = timedelta(seconds=58)
    assert await second.grant() == []
    second.clock.ahead = timedelta(seconds=61)
    await second.scheduler.pause("gen4.5", None)
    first.clock.ahead = timedelta(seconds=61 + 118)
    assert await first.grant() == []
    first.clock.ahead = timedelta(seconds=61 + 121)
    assert await first.grant() == ["one"]


async def test_a_pause_written_before_the_clock_was_set_back_lasts_no_longer_than_the_longest(replicas: Two) -> None:
    first, second = replicas
    await first.accept("one")
    for replica in replicas:
        replica.clock.ahead = timedelta(days=1)
    await first.scheduler.pause("gen4.5", 3600)

    for replica in replicas:
        replica.clock.ahead = timedelta()
    assert await first.grant() == []
    second.clock.ahead = timedelta(seconds=slots.LONGEST_PAUSE_SECONDS + 1)
    assert await second.grant() == ["one"]


async def test_a_failure_before_the_clock_was_set_back_holds_its_job_no_longer_than_one_lasts(replicas: Two) -> None:
    first, second = replicas
    for replica in replicas:
        replica.clock.ahead = timedelta(days=1)
    await first.accept("failed")
    later = first.clock() + timedelta(seconds=30)
    await first.store.command("failed", lambda job: replace(job, not_before=later))

    assert await first.grant() == []
    for replica in replicas:
        replica.clock.ahead = timedelta()
    assert await second.grant() == ["failed"]


async def test_projects_take_turns_also_after_the_clock_was_set_back(replicas: Two) -> None:
    first, second = replicas
    for project_id in ("a", "b"):
        for number in range(4):
            await first.accept(f"{project_id}{number}", project_id=project_id)

    order = []
    for ahead, replica in zip((24, 0, 0, 0, 0, 24, 0, 0), (first, second) * 4, strict=True):
        replica.clock.ahead = timedelta(hours=ahead)
        (job_id,) = await replica.grant(concurrent=1)
        order.append(job_id)
        await replica.submit(job_id)
        await replica.end(job_id)

    assert order == ["a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3"]


async def test_tasks_of_before_the_clock_was_set_back_do_not_count_twice_in_the_days_number(replicas: Two) -> None:
    first, _ = replicas
    first.clock.ahead = timedelta(days=1)
    tasks = TaskRecords(database=first.database, store=first.store, clock=first.clock)
    for number in range(3):
        job = await first.accept(f"made{number}")
        await first.grant()
        await first.submit(job.job_id)
        await tasks.record(job, f"task-{number}", None)
        await first.store.command(job.job_id, lambda job, number=number: replace(job, task_id=f"task-{number}"))

    first.clock.ahead = timedelta()
    await first.accept("next")

    assert await first.grant(daily_left=1) == ["next"]


async def test_credits_that_were_too_few_before_the_clock_was_set_back_are_asked_for_again(replicas: Two) -> None:
    first, second = replicas
    await first.accept("one")
    first.clock.ahead = timedelta(days=1)
    await first.scheduler.out_of_credits()

    for balance in (5, 6):
        await second.database.write(lambda db, balance=balance: slots.see_balance(db, balance, second.clock()))

    assert await second.grant() == ["one"]


async def test_too_few_credits_hold_every_replica_until_the_balance_has_risen(replicas: Two) -> None:
    first, second = replicas
    await first.accept("one")
    await first.scheduler.out_of_credits()

    async def see(balance: int) -> None:
        now = second.clock()
        await second.database.write(lambda db: slots.see_balance(db, balance, now))

    for balance in (7, 7, 6):
        await see(balance)
    assert await second.grant() == []
    await see(7)
    assert await second.grant() == ["one"]


async def test_credits_bought_before_anybody_looked_are_noticed(replicas: Two) -> None:
    first, second = replicas
    await first.accept("one")
    async with first.running():
        await first.grants("one")
    await first.submit("one")
    await first.accept("two")
    await first.scheduler.out_of_credits()

    assert await second.grant() == []
    asked_at = second.clock()
    await second.database.write(lambda db: slots.see_balance(db, first.tier.balance + 1, asked_at))
    assert await second.grant() == ["two"]


async def test_only_what_costs_more_than_the_balance_waits(replicas: Two) -> None:
    first, second = replicas
    await first.see(100)
    await first.accept("dear", project_id="rich", priority=100, price=101)
    await first.accept("exact", project_id="poor", price=100)
    await first.accept("unpriced", project_id="poor")

    assert await second.grant(concurrent=1) == ["exact"]
    assert await second.grant(concurrent=9) == ["unpriced"]
    await first.see(201)
    assert await second.grant(concurrent=9) == ["dear"]


async def test_what_was_granted_since_the_balance_was_told_counts(replicas: Two) -> None:
    first, second = replicas
    tasks = TaskRecords(database=first.database, store=first.store, clock=first.clock)
    await first.see(100)
    made = await first.accept("made", price=60)
    assert await first.grant() == ["made"]
    await first.submit("made")
    await tasks.record(made, "task-1", 50)
    await first.store.command("made", lambda job: replace(job, task_id="task-1"))
    for number in range(4):
        await second.accept(f"job-{number}", price=30)
    await second.accept("small", price=20)

    assert await second.grant() == ["job-0", "small"]
    assert await first.grant() == []
    await first.see(130)
    assert await second.grant() == ["job-1", "job-2"]


async def test_a_refusal_that_the_balance_explains_holds_up_only_what_costs_more(replicas: Two) -> None:
    first, second = replicas
    await first.accept("dear", price=24)
    await first.accept("cheap", price=5)
    await first.scheduler.out_of_credits(24)

    assert await second.grant() == [], "until the balance was asked for"
    assert await second.see(5)
    assert await second.grant() == ["cheap"]


async def test_a_refusal_that_the_balance_does_not_explain_holds_up_all_until_it_rises(replicas: Two) -> None:
    first, second = replicas
    await first.accept("one", price=24)
    await first.scheduler.out_of_credits(24)

    assert [await second.see(balance) for balance in (24, 1000, 1000)] == [False, True, False]
    await first.scheduler.out_of_credits(24)
    assert [await second.see(balance) for balance in (1000, 999)] == [False, False]
    assert await second.grant() == []
    assert await second.see(1000)
    assert await second.grant() == ["one"]


async def test_a_balance_that_nobody_could_ask_for_since_keeps_nothing_back(replicas: Two) -> None:
    first, second = replicas
    await first.see(5)
    await first.accept("one", price=24)
    assert await first.grant() == []

    second.clock.ahead = timedelta(minutes=11)

    assert await second.grant() == ["one"]


async def test_a_balance_of_before_the_clock_was_set_back_is_replaced(replicas: Two) -> None:
    first, second = replicas
    second.clock.ahead = timedelta(minutes=5)
    await second.see(5)
    await first.accept("one", price=24)
    assert await first.grant() == []

    await first.see(24)

    assert await first.grant() == ["one"]


async def test_an_older_answer_about_the_balance_does_not_replace_a_newer_one(replicas: Two) -> None:
    first, second = replicas
    await first.accept("one", price=24)
    early = first.clock()
    await first.see(5)
    await second.database.write(lambda db: slots.see_balance(db, 1000, early, second.clock()))

    assert await first.grant() == []


async def test_a_job_that_the_balance_cannot_pay_is_warned_of_it_once_and_others_are_not(replicas: Two) -> None:
    first, _ = replicas
    first.tier.balance = 23
    await first.see(23)
    await first.accept("dear", price=24)
    await first.accept("cheap", price=23)

    async with first.running():
        await first.grants("cheap")
        await first.warned("dear")
        first.scheduler.schedule(["gen4.5"])
        await first.accept("later", price=24)
        await first.warned("later")

    for job_id, codes in {"dear": ["CREDITS_LOW"], "later": ["CREDITS_LOW"], "cheap": []}.items():
        assert [warning.code for warning in (await first.store.get(job_id)).warnings] == codes
    assert (await first.store.get("dear")).slot is Slot.WANTED


async def test_while_the_provider_is_away_those_in_line_are_warned_from_the_head_of_each_projects_on(
    replicas: Two,
) -> None:
    first, _ = replicas
    first.tier.fault = ProviderUnavailable("cannot be reached")
    first.tier.limits = replace(first.tier.limits, max_concurrent=0)
    for number in range(2 * slots.WARNED_AT_ONCE):
        await first.accept(f"a{number:03}", project_id="greedy")
    await first.accept("b0", project_id="honest")

    heads = await first.database.read(lambda db: slots.not_warned(db, "gen4.5", "PROVIDER_UNAVAILABLE", sa.true()))
    async with first.running():
        await first.warned("b0")
        warnings = (await first.store.get("b0")).warnings

    assert len(heads) == slots.WARNED_AT_ONCE
    assert "b0" in heads[:2]
    assert [(warning.code, warning.message) for warning in warnings] == [
        ("PROVIDER_UNAVAILABLE", "the job waits: cannot be reached")
    ]


async def test_a_key_that_is_refused_does_not_count_as_a_provider_that_is_away(replicas: Two) -> None:
    first, second = replicas
    first.tier.fault = Unauthorized("a wrong key")
    await first.accept("one")
    await first.accept("last", priority=-100)

    async with first.running():
        await first.grants("one")
        # Each is found by a look of its own, so that one whole look lies between the two.
        for number in (2, 3):
            await first.accept(f"job-{number}")
            signal = first.wakeups.of(f"job-{number}")
            assert await second.grant(concurrent=number) == [f"job-{number}"]
            assert await signal.wait(60)

    assert not first.scheduler.limits_for("gen4.5").current
    assert (await first.store.get("last")).warnings == ()


async def test_a_slot_goes_with_the_change_that_ends_its_need(replicas: Two) -> None:
    first, second = replicas
    for number in range(6):
        await first.accept(f"job-{number}")
    await first.grant()
    for number in range(6):
        await first.submit(f"job-{number}")
    assert await second.held() == 6

    await first.store.command("job-0", lambda job: replace(job, stage=Stage.DELIVERING))
    await first.store.command("job-1", lambda job: replace(job, state=State.NEEDS_ATTENTION, stage=Stage.NONE))
    back = {"state": State.QUEUED, "stage": Stage.WAITING, "submit_token": ""}
    await first.store.command("job-2", lambda job: replace(job, **back))
    await first.end("job-3")
    await first.store.command("job-4", lambda job: replace(job, state=State.CANCELLING))

    assert await second.held() == 2
    assert (await second.store.get("job-2")).slot is Slot.WANTED
    attached = {"state": State.RUNNING, "stage": Stage.GENERATING, "task_id": "t"}
    await first.store.command("job-1", lambda job: replace(job, **attached))
    assert await second.held() == 3


async def test_a_granted_slot_survives_a_take_over(replicas: Two) -> None:
    first, second = replicas
    await first.accept("one")
    await first.grant()

    taken = await second.store.claim("one", attempt=1, restarts=0, fencing_token="other")

    assert taken is not None
    assert taken.slot is Slot.HELD
    assert (await second.store.get("one")).slot is Slot.HELD
    assert await second.grant(concurrent=1) == []


async def test_what_failed_a_moment_ago_holds_nobody_up(replicas: Two) -> None:
    first, second = replicas
    await first.accept("hasty", priority=9)
    await first.accept("patient")
    later = first.clock() + timedelta(minutes=1)
    await first.store.command("hasty", lambda job: replace(job, not_before=later))

    assert await second.grant(concurrent=1) == ["patient"]
    second.clock.ahead = timedelta(seconds=61)
    assert await second.grant(concurrent=2) == ["hasty"]


async def test_when_the_days_number_is_used_up_one_job_tries_now_and_then(replicas: Two) -> None:
    first, second = replicas
    for number in range(5):
        await first.accept(f"job-{number}")

    assert await first.grant(daily_left=2) == ["job-0", "job-1"]
    assert await second.grant(daily_left=2) == []
    second.clock.ahead = timedelta(minutes=14)
    assert await second.grant(daily_left=0) == []
    second.clock.ahead = timedelta(minutes=16)
    assert await second.grant(daily_left=0) == ["job-2"]
    assert await second.grant(daily_left=0) == []
    assert await second.grant(daily_left=9) == ["job-3", "job-4"]


async def test_a_grant_that_nobody_told_of_is_found(replicas: Two) -> None:
    first, second = replicas
    await first.accept("one")
    signal = second.wakeups.of("one")

    async with second.running():
        await first.grant()
        assert await signal.wait(60)


async def test_a_slot_that_comes_free_is_granted_to_the_next(replicas: Two) -> None:
    first, _ = replicas
    first.tier.limits = replace(first.tier.limits, max_concurrent=1)
    for job_id in ("one", "two"):
        await first.accept(job_id)

    async with first.running():
        await first.grants("one")
        await first.submit("one")
        assert await first.held() == 1
        await first.end("one")
        await first.grants("two")


async def test_a_full_queue_takes_no_more_until_one_has_left(replicas: Two) -> None:
    first, _ = replicas
    short = Replica(first.database, Tier(), limit=6)
    for number in range(3):
        await short.accept(f"job-{number}")

    with pytest.raises(QueueFull, match="3 jobs of the project wait") as refused:
        await short.accept("one too many")
    assert refused.value.of_project
    await short.grant()
    await short.submit("job-0")
    await short.accept("the next")
    with pytest.raises(QueueFull):
        await short.accept("one too many")


async def test_one_project_never_fills_the_queue_for_another(replicas: Two) -> None:
    first, _ = replicas
    short = Replica(first.database, Tier(), limit=16)

    got = [await filled(short, project_id) for project_id in ("a", "b", "c", "d", "e", "f")]

    assert got == [8, 4, 2, 1, 1, 0]
    with pytest.raises(QueueFull, match="16 jobs wait to be submitted; no more than 16 may") as refused:
        await short.accept("one too many", project_id="g")
    assert not refused.value.of_project


async def test_a_single_place_is_had_by_whoever_comes_first(replicas: Two) -> None:
    first, _ = replicas
    short = Replica(first.database, Tier(), limit=1)

    assert [await filled(short, project_id) for project_id in ("a", "b")] == [1, 0]


async def test_what_other_replicas_accepted_counts_before_a_project_is_refused(replicas: Two) -> None:
    first, second = replicas
    one, other = (Replica(replica.database, Tier(), limit=8) for replica in (first, second))

    assert await filled(one, "a") == 4
    assert await filled(other, "b") == 2
    with pytest.raises(QueueFull, match="4 jobs of the project wait to be submitted and 2 of 8 places are left"):
        await one.accept("one too many", project_id="a")


async def filled(replica: Replica, project_id: str) -> int:
    """Sends a project's jobs until one is refused, and gives how many were accepted."""
    for number in itertools.count():
        try:
            await replica.accept(f"{project_id}{number}", project_id=project_id)
        except QueueFull:
            return number
    raise AssertionError("a count does not end")


async def test_a_slot_survives_the_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    async with open_database(url) as database:
        before = Replica(database, Tier())
        await before.accept("one")
        await before.accept("two")
        await before.grant(concurrent=1)

    async with open_database(url) as database:
        after = Replica(database, Tier())
        assert (await after.store.get("one")).slot is Slot.HELD
        assert await after.grant(concurrent=1) == []
