"""Every transition, from every state that it applies to: it leads where it says, and where the store lets it."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from evergreen_server.jobs.model import transitions
from evergreen_server.jobs.model.job import Input, Job, JobFailure, JobWarning
from evergreen_server.jobs.model.states import FINAL, MOVES, OnUnknownSubmission, Slot, Stage, State
from evergreen_server.ports.provider import (
    DailyLimitReached,
    Failure,
    InsufficientCredits,
    NotOurs,
    NotSent,
    Refused,
    Submission,
    Task,
    TaskGone,
    TaskState,
    Unauthorized,
)
from tests.jobs.tools import request_at

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ERROR = JobFailure(reason="INTERNAL", message="an error")
ENDED = Task(task_id="t-1", state=TaskState.FAILED, status="FAILED")

GIVEN: Mapping[str, Sequence[object]] = {
    "again": (True, False),
    "again_at": (NOW,),
    "cause": ("the connection broke",),
    "exc": (
        NotSent("no"),
        NotOurs("no"),
        Refused("no"),
        InsufficientCredits("no"),
        Unauthorized("no"),
        DailyLimitReached("no"),
    ),
    "failure": (
        Failure(reason="PROVIDER_INTERNAL", message="no", retryable=True, free=True),
        Failure(reason="PROVIDER_REFUSED", message="no"),
    ),
    "error": (ERROR,),
    "gone": (True, False),
    "inputs": ((Input(role="FIRST_FRAME", asset="images/a.png"),),),
    "not_before": (NOW,),
    "now": (NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)),
    "ours": (True, False),
    "outputs": ((),),
    "pins": ((None,),),
    "stage": (Stage.THROTTLED, Stage.GENERATING),
    "submission": (Submission(task_id="t-1", estimated_millicredits=None),),
    "task": (ENDED, replace(ENDED, charged_millicredits=0), replace(ENDED, charged_millicredits=25_000)),
    "task_id": ("t-1",),
    "text": ("gone",),
    "token": ("by-me",),
    "warnings": ((), (JobWarning(code="NAME_TAKEN", message="taken"),)),
}
"""Of each parameter of a transition, values that lead different ways."""

MARKED = {
    name: function
    for name, function in inspect.getmembers(transitions, inspect.isfunction)
    if "moves" in function.__dict__
}


def jobs_in(state: State) -> Iterator[Job]:
    """Jobs as their rows may have them: a stage where one is allowed, before and after the intent and the task."""
    stages = {
        State.QUEUED: (Stage.PREPARING, Stage.WAITING),
        State.RUNNING: (Stage.SUBMITTING, Stage.THROTTLED, Stage.GENERATING, Stage.DELIVERING),
        State.CANCELLING: (Stage.PREPARING, Stage.WAITING, Stage.SUBMITTING, Stage.GENERATING, Stage.DELIVERING),
    }.get(state, (Stage.NONE,))
    tasks = ("", "t-1") if state in transitions.FOLLOWED else ("",)
    for stage, policy, attempts, slot, task_id in product(
        stages, OnUnknownSubmission, (1, 2), (None, Slot.HELD), tasks
    ):
        request = replace(request_at(NOW), on_unknown_submission=policy, max_attempts=attempts)
        yield Job(
            job_id="job-1",
            request=request,
            state=state,
            stage=stage,
            slot=slot,
            task_id=task_id,
            created_at=NOW,
            updated_at=NOW,
        )


def results(function: Callable[..., Job]) -> Iterator[tuple[Job, Job]]:
    """The job before and after, for all that may be given to the transition."""
    names = [name for name in inspect.signature(function).parameters if name != "job"]
    for state in sorted(function.__dict__["moves"]):
        for job, given in product(jobs_in(state), product(*(GIVEN[name] for name in names))):
            yield job, function(job, **dict(zip(names, given, strict=True)))


@pytest.mark.parametrize("name", MARKED)
def test_a_transition_leads_where_it_says_and_where_the_store_lets_it(name: str) -> None:
    function, reached = MARKED[name], defaultdict[State, set[State]](set)

    for job, after in results(function):
        reached[job.state].add(after.state)
        assert after == job or after.state in MOVES[job.state], (job, after)
        assert after.state not in FINAL or after.stage is Stage.NONE
        assert (after.job_id, after.request, after.fencing_token) == (job.job_id, job.request, job.fencing_token)

    assert reached == function.__dict__["moves"]
    assert (function.__doc__ or "").startswith("Transition: ")


def test_the_transitions_lead_everywhere_that_the_store_allows() -> None:
    moves = {
        (job.state, after.state) for function in MARKED.values() for job, after in results(function) if after != job
    }

    allowed = {(state, after) for state, following in MOVES.items() for after in following}
    assert allowed - moves == set(), "the store allows what no transition makes"
    assert moves <= allowed


def test_what_cannot_answer_a_create_is_no_transition() -> None:
    job = next(jobs_in(State.RUNNING))

    with pytest.raises(TypeError, match="not an answer to a create"):
        transitions.not_created(job, TaskGone("no such task"), NOW)
