"""When a task is asked for: the rules that always hold, and how the plan fares beside the official SDK."""

import math
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from random import Random
from statistics import fmean

import pytest

from evergreen_server.jobs.admission.durations import Durations
from evergreen_server.jobs.execution.polling.budget import ALIGN_FROM, ALIGN_SECONDS, PollBudget
from evergreen_server.jobs.execution.polling.forecast import forecast_end
from evergreen_server.jobs.execution.polling.schedule import Pace, PollPlan
from evergreen_server.ports.provider import TaskState
from tests.benchmarks.polling import Progress, Result, compare

ROUNDING = 1e-6


def learned(duration: float, *, sigma: float = 0.2, count: int = 200) -> Durations:
    durations, random = Durations(), Random(3)
    for _ in range(count):
        durations.observe("gen4_turbo", 5, duration * random.lognormvariate(0.0, sigma))
    return durations


def plan(
    *,
    durations: Durations | None = None,
    pace: Pace | None = None,
    seed: int = 1,
    submitted_at: float = 0.0,
    now: float = 0.0,
    restarted: bool = False,
) -> PollPlan:
    return PollPlan(
        pace=pace or Pace(),
        durations=durations or Durations(),
        model="gen4_turbo",
        seconds=5,
        submitted_at=submitted_at,
        now=now,
        random=Random(seed),
        restarted=restarted,
    )


def gaps(
    followed: PollPlan, count: int, answer: Callable[[float], tuple[TaskState, float | None]], *, now: float = 0.0
) -> list[float]:
    """Asks `count` times and gives the waits after each answer."""
    waits: list[float] = []
    for _ in range(count):
        now += followed.next_delay(now)
        followed.observe(now, *answer(now))
        waits.append(followed.next_delay(now))
    return waits


def pooled(results: list[tuple[Result, Result]]) -> tuple[float, float]:
    """Gives our delay and our polls as parts of the SDK's."""
    delay = fmean(ours.delay for _, ours in results) / fmean(sdk.delay for sdk, _ in results)
    return delay, fmean(ours.polls for _, ours in results) / fmean(sdk.polls for sdk, _ in results)


@pytest.mark.parametrize("duration", [3.0, 20.0, 60.0, 600.0])
def test_whatever_is_answered_a_task_is_never_asked_for_within_five_seconds_nor_left_alone_while_running(
    duration: float,
) -> None:
    durations, random = learned(duration), Random(5)
    oddities = [None, 0.0, 0.5, 1.0, -1.0, 7.0, math.nan]

    for seed in range(30):
        odd = gaps(
            plan(durations=durations, seed=seed),
            60,
            lambda now: (random.choice([TaskState.RUNNING, TaskState.UNKNOWN]), random.choice(oddities)),
        )
        smooth = gaps(
            plan(durations=durations, seed=seed),
            60,
            lambda now: (TaskState.RUNNING, min(1.0, round(now / duration, 2))),
        )

        assert min(odd + smooth) >= 5.0 - ROUNDING
        assert max(odd + smooth) <= 15.0 + ROUNDING


def test_first_polls_after_a_restart_are_spread_evenly_over_five_to_ten_seconds() -> None:
    plans = [plan(seed=seed, submitted_at=100.0, now=900.0, restarted=True) for seed in range(1000)]

    delays = [each.next_delay(900.0) for each in plans]

    assert min(delays) >= 5.0 - ROUNDING
    assert max(delays) <= 10.0 + ROUNDING
    by_second = Counter(min(9, int(delay + ROUNDING)) for delay in delays)
    assert all(150 <= by_second[second] <= 250 for second in range(5, 10))


def test_a_thousand_tasks_submitted_in_one_moment_are_not_asked_for_in_bursts() -> None:
    durations, random = learned(60.0), Random(2)
    moments: Counter[int] = Counter()

    for _ in range(1000):
        followed, now = plan(durations=durations, seed=random.getrandbits(32)), 0.0
        while (now := now + followed.next_delay(now)) < 60.0:
            followed.observe(now, TaskState.RUNNING, None)
            moments[int(now * 10)] += 1

    assert max(moments.values()) <= 80


def test_errors_slow_the_polls_down_to_a_bound_with_jitter_and_an_answer_ends_that() -> None:
    many = [plan(seed=seed) for seed in range(50)]
    waits: list[list[float]] = []

    for followed in many:
        now, own = 0.0, []
        for _ in range(2000):
            now += followed.next_delay(now)
            followed.error(now)
            own.append(followed.next_delay(now))
        waits.append(own)
        followed.observe(now, TaskState.RUNNING, None)
        assert 5.0 - ROUNDING <= followed.next_delay(now) <= 15.0 + ROUNDING
        followed.error(now + 15.0)
        assert followed.next_delay(now + 15.0) <= 10.0 + ROUNDING

    assert all(5.0 - ROUNDING <= wait <= 60.0 + ROUNDING for own in waits for wait in own)
    assert [fmean(own[turn] for own in waits) for turn in range(5)] == pytest.approx([7.5, 15, 30, 45, 45], rel=0.15)
    assert len({own[0] for own in waits}) == 50


@pytest.mark.parametrize(("wish", "least"), [(None, 5.0), (0.0, 5.0), (120.0, 120.0), (86_400.0, 300.0)])
def test_the_providers_own_wait_is_obeyed_within_bounds(wish: float | None, least: float) -> None:
    followed = plan()

    followed.error(100.0, wish)

    assert least - ROUNDING <= followed.next_delay(100.0) <= max(least, 10.0) + ROUNDING


def test_a_task_that_waits_at_the_provider_is_asked_for_ever_more_slowly_up_to_thirty_seconds() -> None:
    waits = gaps(plan(durations=learned(120.0)), 20, lambda now: (TaskState.THROTTLED, None))

    assert waits[0] < 12.0
    assert all(24.0 - ROUNDING <= wait <= 30.0 + ROUNDING for wait in waits[5:])


def test_a_waiting_task_of_a_quick_model_is_not_lost_sight_of_for_longer_than_it_takes() -> None:
    waits = gaps(plan(durations=learned(12.0)), 20, lambda now: (TaskState.THROTTLED, None))

    assert max(waits) < 10.0


def test_polls_are_rare_while_the_end_is_unlikely_and_dense_when_it_is_near() -> None:
    moments: list[float] = []

    def running(now: float) -> tuple[TaskState, float | None]:
        moments.append(now)
        return TaskState.RUNNING, None

    waits = gaps(plan(durations=learned(120.0)), 20, running)

    early = [wait for moment, wait in zip(moments, waits, strict=True) if moment < 40.0]
    late = [wait for moment, wait in zip(moments, waits, strict=True) if 110.0 < moment < 140.0]
    assert min(early) > 13.0
    assert max(late) < 5.2


def test_a_task_that_outlives_everything_learned_is_polled_ever_more_slowly() -> None:
    durations = learned(20.0)

    soon, late = (
        gaps(
            plan(durations=durations, submitted_at=now - age, now=now), 3, lambda _: (TaskState.UNKNOWN, None), now=now
        )
        for age, now in ((20.0, 1000.0), (7200.0, 8000.0))
    )

    assert max(soon) < 6.0
    assert min(late) > 13.0


@pytest.mark.parametrize("nonsense", [None, math.nan, 45.0, -1.0])
def test_a_poll_lands_just_after_the_end_that_linear_progress_foretells_and_nonsense_between_changes_nothing(
    nonsense: float | None,
) -> None:
    followed, now, polls = plan(durations=learned(60.0, sigma=0.5)), 0.0, 0

    while (now := now + followed.next_delay(now)) < 83.0:
        polls += 1
        followed.observe(now, TaskState.RUNNING, nonsense if polls == 3 else math.floor(now / 5) * 5 / 83.0)

    assert now - 83.0 < 1.5


def test_progress_that_stands_still_foretells_nothing() -> None:
    assert forecast_end([(10.0, 0.4), (20.0, 0.4), (30.0, 0.4)]) is None


def test_a_straight_line_foretells_its_end_more_surely_than_a_bent_one() -> None:
    moments = [10.0 + 6.7 * turn for turn in range(9)]

    straight = forecast_end([(moment, moment / 80.0) for moment in moments])
    bent = forecast_end([(moment, (moment / 80.0) ** 3) for moment in moments])

    assert straight is not None
    assert bent is not None
    assert straight[0] == pytest.approx(80.0, abs=0.5)
    assert straight[1] < 1.0 < 2.5 < bent[1]


def test_the_scale_divides_every_wait_and_keeps_what_is_learned_in_true_seconds() -> None:
    durations = Durations()
    compressed = [
        gaps(plan(pace=Pace(scale=scale)), 20, lambda now: (TaskState.RUNNING, None)) for scale in (1.0, 10.0)
    ]
    followed, now = plan(durations=durations, pace=Pace(scale=10.0)), 0.0

    for _ in range(30):
        for now in (1.0, 1.5, 2.0, 6.0):
            followed.observe(now, TaskState.RUNNING if now < 6.0 else TaskState.SUCCEEDED, None)
        followed = plan(durations=durations, pace=Pace(scale=10.0))

    assert [wait * 10 for wait in compressed[1]] == pytest.approx(compressed[0])
    assert durations.expected("gen4_turbo", 5) == pytest.approx(52.0, rel=0.1)


def test_a_pace_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(ValueError, match="min_seconds"):
        Pace(min_seconds=20.0)
    with pytest.raises(ValueError, match="scale"):
        Pace(scale=0.0)


def test_durations_are_learned_apart_for_each_model_and_length_and_follow_a_change() -> None:
    durations = learned(40.0)
    unknown = durations.quantile("gen4_turbo", 10, 0.5)

    before = [durations.quantile("gen4_turbo", 5, chance) for chance in (0.16, 0.5, 0.84)]
    for _ in range(200):
        durations.observe("gen4_turbo", 5, 90.0)

    assert before == pytest.approx([40 / math.exp(0.2), 40, 40 * math.exp(0.2)], rel=0.12)
    assert durations.quantile("gen4_turbo", 5, 0.5) == pytest.approx(90.0, rel=0.05)
    assert durations.quantile("gen4_turbo", 10, 0.5) == unknown == pytest.approx(60.0)


def test_the_memory_of_durations_is_bounded_and_forgets_the_longest_unused() -> None:
    durations = Durations(max_keys=2)

    for model in ("kept", "forgotten", "kept", "new"):
        for _ in range(50):
            durations.observe(model, 5, 300.0)

    medians = [durations.quantile(model, 5, 0.5) for model in ("kept", "forgotten", "new")]
    assert medians == pytest.approx([300.0, 60.0, 300.0], rel=0.1)


def test_a_start_that_nobody_watched_is_not_learned_from() -> None:
    durations = Durations()
    followed = plan(durations=durations, submitted_at=0.0, now=500.0, restarted=True)

    followed.observe(507.0, TaskState.RUNNING, None)
    followed.observe(513.0, TaskState.SUCCEEDED, None)

    assert durations.expected("gen4_turbo", 5) == Durations().expected("gen4_turbo", 5)


@pytest.mark.parametrize("sigma", [0.2, 0.3, 0.5])
def test_an_end_is_known_sooner_than_by_the_official_sdk_with_no_more_polls(sigma: float) -> None:
    results = [compare(1500, mean, sigma, "none") for mean in (30.0, 60.0, 120.0)]

    delay, polls = pooled(results)

    assert delay <= 0.85
    assert polls <= 1.0
    assert min(ours.min_gap for _, ours in results) >= 5.0 - ROUNDING


@pytest.mark.parametrize("sigma", [0.2, 0.5])
def test_an_end_is_known_twice_as_soon_where_progress_is_roughly_linear(sigma: float) -> None:
    results = [compare(500, mean, sigma, "linear") for mean in (30.0, 60.0, 120.0)]

    delay, polls = pooled(results)

    assert delay <= 0.5
    assert polls <= 1.0
    assert min(ours.min_gap for _, ours in results) >= 5.0 - ROUNDING


@pytest.mark.parametrize("progress", ["noisy", "bent", "drifting", "leaps"])
def test_progress_that_is_not_what_it_seems_costs_nothing(progress: Progress) -> None:
    results = [compare(700, 60.0, 0.3, progress)]

    delay, polls = pooled(results)

    assert delay <= 0.87
    assert polls <= 1.0
    assert min(ours.min_gap for _, ours in results) >= 5.0 - ROUNDING


@pytest.mark.parametrize(("tasks", "least"), [(30, 0.1), (1500, 5.0), (3000, 10.0), (50_000, 15.0)])
def test_the_more_tasks_are_followed_the_less_often_each_is_asked_for_but_none_is_left_alone(
    tasks: int, least: float
) -> None:
    poll_budget, random = PollBudget(), Random(11)

    with ExitStack() as stack:
        for _ in range(tasks):
            stack.enter_context(poll_budget.track())
        found = [poll_budget.delay(0.0, pace=Pace(), random=random, now=now / 7) for now in range(200)]

    assert 0.9 * least <= min(found) <= max(found) <= least + ALIGN_SECONDS
    assert poll_budget.delay(0.25, pace=Pace(), random=random, now=1.01) == 0.25


def test_polls_of_many_tasks_fall_together_and_none_before_its_time() -> None:
    poll_budget, random = PollBudget(), Random(11)

    with ExitStack() as stack:
        for _ in range(ALIGN_FROM):
            stack.enter_context(poll_budget.track())
        for now in (1000.0, 1000.013, 1000.049):
            delay = poll_budget.delay(5.02, pace=Pace(), random=random, now=now)
            beats = (now + delay) / ALIGN_SECONDS

            assert 5.02 <= delay < 5.02 + ALIGN_SECONDS
            assert beats == pytest.approx(round(beats), abs=1e-6)
