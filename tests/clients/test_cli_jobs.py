"""`evergreen job`: jobs shown, listed, cancelled and resolved; and projects."""

import re

from google.protobuf.timestamp_pb2 import Timestamp

from evergreen import ALL_KINDS, SubmissionResolution
from evergreen.v1.video_pb2 import (
    CancelVideoResponse,
    GetStatusResponse,
    JobCount,
    JobError,
    ListProjectsResponse,
    ListVideosRequest,
    ListVideosResponse,
    Project,
    ResolveSubmissionResponse,
)
from tests.clients.command_line import CommandLine
from tests.clients.scripted import ScriptedService, job

LOST = JobError(reason="SUBMISSION_UNKNOWN", message="the answer was lost")


async def test_a_waiting_job_shows_its_place_and_its_times(service: ScriptedService, evergreen: CommandLine) -> None:
    waits = job(
        state="QUEUED",
        stage="JOB_STAGE_WAITING",
        queue_position=3,
        estimated_start_time=Timestamp(seconds=60),
        estimated_end_time=Timestamp(seconds=120),
    )
    service.answers["GetStatus"] = [GetStatusResponse(job=waits)]
    service.answers["ListVideos"] = [ListVideosResponse(jobs=[waits])]

    status = await evergreen("video", "status", "job-1")
    listed = await evergreen("video", "list", "--project", "p")

    assert "queue position  3\n" in status.stdout
    assert "starts about    1970-01-01T00:01:00Z\n" in status.stdout
    assert "ends about      1970-01-01T00:02:00Z\n" in status.stdout
    assert "WAITING 3" in listed.stdout


async def test_jobs_are_shown_listed_cancelled_and_resolved(service: ScriptedService, evergreen: CommandLine) -> None:
    stuck = job(state="NEEDS_ATTENTION", error=LOST, estimated_credits=25.0)
    service.answers["GetStatus"] = [GetStatusResponse(job=stuck)]
    service.answers["ListVideos"] = [
        ListVideosResponse(jobs=[job("b"), job("a")], next_page_token="2"),
        ListVideosResponse(jobs=[job("0"), job("1")]),
    ]
    service.answers["CancelVideo"] = [CancelVideoResponse(job=job(state="CANCELLING"))]
    service.answers["ResolveSubmission"] = [ResolveSubmissionResponse(job=job())]

    status = await evergreen("video", "status", "job-1")
    listed = await evergreen("video", "list", "--project", "p", "--state", "RUNNING", "--limit", "3")
    cancelled = await evergreen("--output", "json", "video", "cancel", "job-1")
    resolved = await evergreen("video", "resolve", "job-1", "--attach", "task-9")
    unresolved = await evergreen("video", "resolve", "job-1", "--attach", "task-9", "--abandon")

    assert status.code == 0
    assert "state     NEEDS_ATTENTION\n" in status.stdout
    assert "credits   ≤ 25\n" in status.stdout
    assert "job resolve job-1 --abandon" in status.stderr
    assert [line.split()[:2] for line in listed.stdout.splitlines()] == [
        ["JOB", "STATE"],
        ["b", "RUNNING"],
        ["a", "RUNNING"],
        ["0", "RUNNING"],
    ]
    assert [line["state"] for line in cancelled.lines] == ["cancelling"]
    assert resolved.code == 0
    (request,) = service.requests["ResolveSubmission"]
    assert request.resolution == SubmissionResolution.SUBMISSION_RESOLUTION_ATTACH
    assert request.provider_task_id == "task-9"
    assert unresolved.code == 2


async def test_jobs_are_listed_by_every_filter_and_order(service: ScriptedService, evergreen: CommandLine) -> None:
    service.answers["ListVideos"] = [ListVideosResponse(jobs=[job("b")])]
    filters = [*("--label", "take=1", "--label", "who=ann"), *("--model", "veo3", "--model", "gen4.5"), "--oldest"]
    times = ["--created-from", "1970-01-01T00:00:01Z", "--created-before", "1970-01-01T02:00:02+02:00"]

    listed = await evergreen("job", "list", *filters, *times, "--output", "json")
    twice = await evergreen("job", "list", "--label", "take=1", "--label", "take=2")
    unclear = await evergreen("job", "list", "--created-from", "some day")

    assert [line["job_id"] for line in listed.lines] == ["b"]
    assert service.requests["ListVideos"] == [
        ListVideosRequest(
            kinds=ALL_KINDS,
            labels={"take": "1", "who": "ann"},
            models=["veo3", "gen4.5"],
            created_from=Timestamp(seconds=1),
            created_before=Timestamp(seconds=2),
            page_size=51,
        )
    ]
    assert (twice.code, unclear.code) == (2, 2)
    assert "two values of the label 'take'" in twice.stderr


async def test_projects_are_listed_with_their_jobs(service: ScriptedService, evergreen: CommandLine) -> None:
    film = Project(
        project_id="film",
        job_counts=[JobCount(state="JOB_STATE_NEEDS_ATTENTION", count=1), JobCount(state=5, count=1200)],
        reserved_credits=2.5,
        spent_credits=1000,
        cap_credits=5000,
        update_time=Timestamp(seconds=60),
    )
    pages = [
        ListProjectsResponse(projects=[film], next_page_token="2"),
        ListProjectsResponse(projects=[Project(project_id="new", job_counts=[JobCount(state=99, count=1)])]),
    ]
    service.answers["ListProjects"] = [*pages, *pages]

    shown = await evergreen("project", "list")
    told = await evergreen("project", "list", "--output", "json")

    rows = [re.split(" {2,}", line) for line in shown.stdout.splitlines()]
    assert rows == [
        ["PROJECT", "RESERVED", "SPENT", "LIMIT", "CHANGED", "JOBS"],
        ["film", "2.5", "1,000", "5,000", "1970-01-01T00:01:00Z", "1 needs attention, 1,200 succeeded"],
        ["new", "0", "0", "-", "-", "1 state 99"],
    ]
    assert [line["project_id"] for line in told.lines] == ["film", "new"]
