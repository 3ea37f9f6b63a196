"""How soon an ended task is noticed, and at how many polls, beside the official SDK's `wait_for_task_output`.

Both follow the same simulated tasks in simulated time: log-normal generation after a short PENDING, twenty tasks
in flight, learning from a cold start. The SDK sleeps 6 s ± 1.5 s, always before it asks, and never learns.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean, quantiles
from typing import Literal

from evergreen_server.jobs.admission.durations import Durations
from evergreen_server.jobs.execution.polling.schedule import Pace, PollPlan
from evergreen_server.ports.provider import TaskState

Progress = Literal["none", "linear", "noisy", "bent", "drifting", "leaps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task whose end is known. `steps` are the (moment, progress) pairs that the provider publishes."""

    submitted: float
    started: float
    ended: float
    steps: Sequence[tuple[float, float]]

    def at(self, now: float) -> tuple[TaskState, float | None]:
        """Tells what the provider would answer."""
        if now >= self.ended:
            return TaskState.SUCCEEDED, None
        if now < self.started:
            return TaskState.PENDING, None
        return TaskState.RUNNING, next((p for moment, p in reversed(self.steps) if moment <= now), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Per task: seconds from its end until it was noticed, requests made; and the shortest gap between two."""

    delays: Sequence[float]
    polls: float
    min_gap: float

    @property
    def delay(self) -> float:
        return fmean(self.delays)


def tasks(random: Random, count: int, mean: float, sigma: float, progress: Progress) -> list[Task]:
    """Makes tasks of the given mean duration, where `sigma` is the deviation of its logarithm."""
    made: list[Task] = []
    submitted = 0.0
    for _ in range(count):
        submitted += random.expovariate(20 / mean)
        started = submitted + random.uniform(2.0, 12.0)
        duration = max(6.0, random.lognormvariate(math.log(mean) - sigma * sigma / 2, sigma))
        steps = tuple(_steps(random, started, duration, progress))
        made.append(Task(submitted=submitted, started=started, ended=started + duration, steps=steps))
    return made


def _steps(random: Random, started: float, duration: float, progress: Progress) -> Iterator[tuple[float, float]]:
    """Publishes every 5 s (drifting: 5.2 s) in a phase of its own, rounded to a hundredth, never going back."""
    if progress == "none":
        return
    yield started, 0.0
    noise, period = 0.01 if progress == "noisy" else 0.005, 5.2 if progress == "drifting" else 5.0
    leaps = sorted(random.random() for _ in range(3))
    published, moment = 0.0, started + random.uniform(0.0, period)
    while moment < started + duration:
        part = (moment - started) / duration
        match progress:
            case "leaps":
                part = (0.0, 0.3, 0.6, 0.95)[sum(leap <= part for leap in leaps)]
            case "bent":
                part = part**1.2 + random.gauss(0.0, noise)
            case _:
                part += random.gauss(0.0, noise)
        published = min(1.0, max(published, round(part, 2)))
        yield moment, published
        moment += period


def follow_as_sdk(random: Random, followed: Sequence[Task]) -> Result:
    """Follows every task as the official SDK does."""
    delays: list[float] = []
    polls, min_gap = 0, math.inf
    for task in followed:
        now = task.submitted
        while now < task.ended:
            gap = 6 + random.random() * 3 - 1.5
            now, polls, min_gap = now + gap, polls + 1, min(min_gap, gap)
        delays.append(now - task.ended)
    return Result(delays=delays, polls=polls / len(followed), min_gap=min_gap)


def follow(random: Random, followed: Sequence[Task]) -> Result:
    """Follows the tasks by our plans, in the order of their polls, with one memory of durations."""
    durations = Durations()
    delays: list[float] = []
    due: list[tuple[float, int, float]] = []
    plans: list[PollPlan] = []
    for task in followed:
        plan = PollPlan(
            pace=Pace(),
            durations=durations,
            model="gen4_turbo",
            seconds=5,
            submitted_at=task.submitted,
            now=task.submitted,
            random=random,
        )
        heapq.heappush(due, (task.submitted + plan.next_delay(task.submitted), len(plans), task.submitted))
        plans.append(plan)
    polls, min_gap = 0, math.inf
    while due:
        now, number, before = heapq.heappop(due)
        polls, min_gap = polls + 1, min(min_gap, now - before)
        state, progress = followed[number].at(now)
        plans[number].observe(now, state, progress)
        if state is TaskState.SUCCEEDED:
            delays.append(now - followed[number].ended)
        else:
            heapq.heappush(due, (now + plans[number].next_delay(now), number, now))
    return Result(delays=delays, polls=polls / len(followed), min_gap=min_gap)


def compare(count: int, mean: float, sigma: float, progress: Progress, *, seed: int = 1) -> tuple[Result, Result]:
    """Lets the SDK's loop and ours follow the same tasks; the SDK five times, to measure it well."""
    followed = tasks(Random(seed), count, mean, sigma, progress)
    return follow_as_sdk(Random(seed + 1), followed * 5), follow(Random(seed + 2), followed)


def run() -> None:
    """Prints one line per kind of provider."""
    print("polling: delay from a task's end until it is known, official SDK / ours, 2,000 tasks each")
    print("progress   mean s  sigma   delay mean s   p95 s          ratio   polls per task  ratio   min gap s")
    cases: list[tuple[Progress, float, float]] = [
        ("none", mean, sigma) for mean in (30.0, 60.0, 120.0) for sigma in (0.2, 0.3, 0.5)
    ]
    cases += [("linear", mean, sigma) for mean in (30.0, 60.0, 120.0) for sigma in (0.2, 0.5)]
    cases += [(kind, 60.0, 0.3) for kind in ("noisy", "drifting", "bent", "leaps")]
    for progress, mean, sigma in cases:
        sdk, ours = compare(2000, mean, sigma, progress)
        last = [quantiles(result.delays, n=20)[-1] for result in (sdk, ours)]
        print(
            f"{progress:9}  {mean:6.0f}  {sigma:5.0%}   {sdk.delay:5.2f} / {ours.delay:5.2f}"
            f"  {last[0]:5.2f} / {last[1]:5.2f}  {ours.delay / sdk.delay:6.3f}   {sdk.polls:5.2f} / {ours.polls:5.2f}"
            f"  {ours.polls / sdk.polls:6.3f}   {sdk.min_gap:4.2f} / {ours.min_gap:4.2f}"
        )


if __name__ == "__main__":
    run()
