"""Reads the whole life of jobs from the watch, and checks it against the contract's table, event by event."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from evergreen.v1 import video_pb2 as v1
from tests.serving import ALL_KINDS, FINAL, WAIT_SECONDS, Api

STAGES = {
    "QUEUED": {"PREPARING", "WAITING"},
    "RUNNING": {"SUBMITTING", "THROTTLED", "GENERATING", "DELIVERING"},
}
"""The stages of a state; the others have none."""

MOVES = {
    "QUEUED": {"RUNNING", "CANCELLING", "FAILED", "EXPIRED"},
    "RUNNING": {"QUEUED", "NEEDS_ATTENTION", "CANCELLING", "SUCCEEDED", "FAILED", "EXPIRED"},
    "NEEDS_ATTENTION": {"QUEUED", "RUNNING", "FAILED"},
    "CANCELLING": {"CANCELLED", "SUCCEEDED", "FAILED", "NEEDS_ATTENTION"},
}
TELLING_ERRORS = {"FAILED", "EXPIRED", "NEEDS_ATTENTION"}
ENDS = {"SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"}


def state_of(job: v1.Job) -> str:
    return v1.JobState.Name(job.state).removeprefix("JOB_STATE_")


def stage_of(job: v1.Job) -> str:
    return v1.JobStage.Name(job.stage).removeprefix("JOB_STAGE_").replace("UNSPECIFIED", "")


def kind_of(event: v1.Event) -> str:
    return v1.EventKind.Name(event.kind).removeprefix("EVENT_KIND_")


async def life_of(api: Api, job_id: str, *, seconds: float = WAIT_SECONDS) -> list[v1.Event]:
    """Gives every event of a job, waiting for its end."""
    async with asyncio.timeout(seconds):
        messages = api.events(job_ids=[job_id], after_revision=0)
        return [message.event async for message in messages if message.HasField("event")]


async def check_lives(api: Api, *projects: str) -> None:
    """Checks the life, so far, of every job of the projects."""
    for project in projects:
        lives: defaultdict[str, list[v1.Event]] = defaultdict(list)
        last = 0
        async with asyncio.timeout(WAIT_SECONDS):
            async for message in api.events(project_id=project, after_revision=0, kinds=ALL_KINDS):
                if message.HasField("checkpoint"):
                    break
                assert message.revision == message.event.job.revision > last, "revisions must rise"
                last = message.revision
                lives[message.event.job.job_id].append(message.event)
        await check_counters(api, project, message.revision, [events[-1].job for events in lives.values()])
        for events in lives.values():
            check_life(events)


async def check_counters(api: Api, project_id: str, revision: int, jobs: Sequence[v1.Job]) -> None:
    """Checks what a list of projects tells of one whose jobs are such at a revision, unless it has gone on since."""
    listed = (await api.video.ListProjects(v1.ListProjectsRequest(page_size=1000))).projects
    (project,) = [each for each in listed if each.project_id == project_id]
    if project.revision == revision:
        told = {each.state: each.count for each in project.job_counts}
        assert told == Counter(job.state for job in jobs), "the counters of a project are not its jobs"


def steps_of(events: Sequence[v1.Event]) -> list[str]:
    """Gives the (state, stage) pairs that a job went through, each as `RUNNING GENERATING` or `FAILED`."""
    steps: list[str] = []
    for event in events:
        step = f"{state_of(event.job)} {stage_of(event.job)}".strip()
        if not steps or steps[-1] != step:
            steps.append(step)
    return steps


def check_life(events: Sequence[v1.Event]) -> None:
    """Checks a job's events from the first on; only what may be left out of a watch may be missing."""
    first = events[0].job
    story = "\n".join(f"{kind_of(event)} {state_of(event.job)} {stage_of(event.job)}" for event in events)
    assert (kind_of(events[0]), state_of(first), stage_of(first), first.attempt) == (
        *("CREATED", "QUEUED", "PREPARING"),
        1,
    ), story
    for before, event in pairwise(events):
        _check_move(before.job, event, story)
    for event in events:
        _check_value(event, story)
    ends = [event for event in events if event.job.state in FINAL]
    assert ends in ([], [events[-1]]), f"a job ends once, and nothing follows:\n{story}"


def _check_move(old: v1.Job, event: v1.Event, story: str) -> None:
    new, kind = event.job, kind_of(event)
    was, now = state_of(old), state_of(new)
    assert new.revision > old.revision, story
    assert new.update_time.ToNanoseconds() >= old.update_time.ToNanoseconds(), story
    if now != was:
        assert now in MOVES.get(was, ()), f"{was} may not become {now}:\n{story}"
        if was == "NEEDS_ATTENTION" and now != "FAILED":
            expected = "RESOLVED"
        else:
            expected = {"RUNNING": "STARTED", "QUEUED": "STAGE_CHANGED"}.get(now, now)
        assert kind == expected, f"{was} became {now} by {kind}:\n{story}"
    elif kind == "STAGE_CHANGED":
        assert (new.stage, new.attempt) != (old.stage, old.attempt), f"nothing changed:\n{story}"
    elif kind == "PROGRESS":
        assert new.progress > old.progress, story
    elif kind == "WARNING":
        assert len(new.warnings) > len(old.warnings), story
    else:
        assert kind == "OUTPUT_ADDED", f"{kind} in {now}:\n{story}"
        assert len(new.outputs) > len(old.outputs), story
    if new.attempt == old.attempt:
        assert new.progress >= old.progress, f"progress went back:\n{story}"
        assert (stage_of(old), stage_of(new)) != ("WAITING", "PREPARING"), story
        if stage_of(old) == "DELIVERING" and now == "RUNNING":
            assert stage_of(new) == "DELIVERING", story
    else:
        assert new.attempt == old.attempt + 1, story
        assert now == "QUEUED", story
        assert not new.provider_task_id, story
    assert list(new.warnings)[: len(old.warnings)] == list(old.warnings), "warnings stay"


def _check_value(event: v1.Event, story: str) -> None:
    job = event.job
    state, stage = state_of(job), stage_of(job)
    assert stage in STAGES.get(state, {""}), f"{state} has no stage {stage}:\n{story}"
    assert 0 <= job.progress <= 1, story
    assert job.HasField("error") == (state in TELLING_ERRORS), f"error in {state}:\n{story}"
    assert job.HasField("end_time") == (state in ENDS), story
    assert job.HasField("start_time") or state not in {"RUNNING", "NEEDS_ATTENTION", "SUCCEEDED"}, story
    assert (kind_of(event) in ENDS) == (state in ENDS), story
    assert job.HasField("charged_credits") == (job.cost_basis != v1.COST_BASIS_UNSPECIFIED), story
    if state in ENDS and not any(warning.code == "COST_UNKNOWN" for warning in job.warnings):
        assert job.HasField("charged_credits"), f"{state} without its cost:\n{story}"
    if state == "SUCCEEDED":
        assert job.progress == 1, story
        assert job.outputs, story
    elif kind_of(event) != "OUTPUT_ADDED":
        # A job with several outputs may fail with those that could be had.
        assert not job.outputs or state == "FAILED", f"outputs in {state}:\n{story}"
