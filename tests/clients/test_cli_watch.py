"""`evergreen job watch`: how a watch is shown, ends, is interrupted and resumed."""

import asyncio
import os
import pty
import re
import signal

import pytest

from evergreen.v1.video_pb2 import (
    CostBasis,
    GenerateVideoResponse,
    GetStatusResponse,
    JobError,
    Output,
)
from tests.clients.command_line import CommandLine, read_all
from tests.clients.scripted import DRAINING, Hold, ScriptedService, checkpoint, event, job

GENERATE = ("video", "generate", "--project", "p", "--scene", "s", "--prompt", "a fox")
ACCEPTED = GenerateVideoResponse(job=job(state="QUEUED"))
DELIVERED = event(
    4,
    state="SUCCEEDED",
    kind="SUCCEEDED",
    progress=1.0,
    charged_credits=25.0,
    cost_basis=CostBasis.COST_BASIS_CONFIRMED,
    outputs=[Output(asset="videos/job-1-1-0.mp4")],
)
LOST = JobError(reason="SUBMISSION_UNKNOWN", message="the answer was lost")


async def test_a_terminal_gets_a_live_bar_and_stdout_stays_clean(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    service.streams = [[event(1, stage="JOB_STAGE_GENERATING", progress=0.25), DELIVERED]]
    terminal, end = pty.openpty()

    process = await evergreen.start("video", "watch", "job-1", stderr=end, TERM="xterm", NO_COLOR="1")
    os.close(end)
    shown = await asyncio.to_thread(read_all, terminal)
    os.close(terminal)
    ended = await evergreen.end(process)

    assert (ended.code, ended.stdout) == (0, "projects/p/s/videos/job-1-1-0.mp4\n")
    assert re.search(r"s +…job-1 +GENERATING .*━.* 25% .*0:00:00", shown)
    assert "SUCCEEDED  25 credits" in shown
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]m", shown), "NO_COLOR is set"


async def test_json_is_one_object_per_line_with_the_names_of_the_contract(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    service.answers["GenerateVideo"] = [ACCEPTED]
    service.streams = [[event(1, prompt := "job-1", state="QUEUED"), checkpoint(1), event(2), DELIVERED]]

    ended = await evergreen(*GENERATE, "--watch", "--output", "json")

    assert ended.code == 0
    assert [line["revision"] for line in ended.lines] == [1, 2, 4]
    last = ended.lines[-1]["event"]["job"]
    assert (last["job_id"], last["state"], last["charged_credits"]) == (prompt, "succeeded", 25.0)
    assert [output["asset"] for output in last["outputs"]] == ["videos/job-1-1-0.mp4"]
    assert (last["progress"], last["attempt"], last["warnings"], last["stage"]) == (1.0, 0, [], "")
    assert "error" not in last


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "EXPIRED"])
async def test_a_job_that_does_not_succeed_has_its_own_exit_code(
    service: ScriptedService, evergreen: CommandLine, state: str
) -> None:
    cause = JobError(reason="BAD_OUTPUT", message="too \x1b[31mpoor")
    service.streams = [[event(1), event(2, state=state, error=cause)]]

    ended = await evergreen("video", "watch", "job-1")

    assert (ended.code, ended.stdout) == (3, "")
    assert f"{state}  too \N{REPLACEMENT CHARACTER}[31mpoor (BAD_OUTPUT)" in ended.stderr


async def test_a_job_that_needs_attention_ends_the_watch_and_names_the_command(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    stuck = event(3, "b", state="NEEDS_ATTENTION", kind="NEEDS_ATTENTION", error=LOST)
    service.streams = [[event(1, "a"), event(2, "b"), stuck, event(4, "a", state="SUCCEEDED"), Hold()]]

    ended = await evergreen("--endpoint", service.target, "video", "watch", "a", "b", EVERGREEN_ENDPOINT="127.0.0.1:1")

    assert ended.code == 4
    assert "Job b needs attention: the answer was lost" in ended.stderr
    assert f"evergreen --endpoint {service.target} job resolve b --attach TASK_ID" in ended.stderr
    assert "job resolve a" not in ended.stderr


async def test_a_resumed_watch_ends_for_a_job_that_has_needed_attention_since_before(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    service.answers["GetStatus"] = [
        GetStatusResponse(job=job("a", "SUCCEEDED", revision=9)),
        GetStatusResponse(job=job("b", "NEEDS_ATTENTION", revision=3, error=LOST)),
    ]
    service.streams = [[event(8, "a"), event(9, "a", "SUCCEEDED"), Hold()]]

    ended = await evergreen("video", "watch", "a", "b", "--after", "7", "--output", "json")

    assert ended.code == 4
    assert [line["revision"] for line in ended.lines] == [8, 9]
    assert "job resolve b --resubmit" in ended.stderr


@pytest.mark.parametrize(
    ("verb", "hint"),
    [
        (("video", "watch", "job-1"), "evergreen job watch job-1\n"),
        (("video", "watch", "--project", "p", "--output", "json"), "evergreen job watch --project p --after 7\n"),
        ((*GENERATE, "--watch"), "evergreen job watch job-1\n"),
    ],
    ids=["jobs", "project", "generate"],
)
async def test_ctrl_c_ends_the_watch_and_says_how_to_resume(
    service: ScriptedService, evergreen: CommandLine, verb: tuple[str, ...], hint: str
) -> None:
    service.answers["GenerateVideo"] = [ACCEPTED]
    service.streams = [[event(6), event(7), Hold()]]
    process = await evergreen.start(*verb)
    async with asyncio.timeout(60):
        await service.holding.wait()
        assert process.stderr is not None
        assert process.stdout is not None
        # Both events were dealt with as soon as the last of them was shown.
        shown = process.stdout if "json" in verb else process.stderr
        await (shown.readuntil(b'"revision": 7') if "json" in verb else shown.readline())
        process.send_signal(signal.SIGINT)

    ended = await evergreen.end(process)

    assert ended.code == 130
    assert ended.stderr.endswith(f"To resume: {hint}")
    assert "Traceback" not in ended.stderr
    await asyncio.wait_for(service.left.wait(), 60)
    assert not service.requests["CancelVideo"]


async def test_a_terminal_gets_a_live_table_of_all_jobs_of_a_project_through_a_lost_connection(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    service.streams = [
        [
            event(1, "job-1", stage="JOB_STAGE_GENERATING", progress=0.25),
            event(2, "job-2", state="QUEUED", stage="JOB_STAGE_WAITING", kind_made="MEDIA_KIND_IMAGE"),
            checkpoint(2),
            DRAINING,
        ],
        [
            event(3, "job-3", state="NEEDS_ATTENTION"),
            event(4, "job-1", state="SUCCEEDED", progress=1.0, outputs=[Output(asset="videos/job-1-1-0.mp4")]),
            Hold(),
        ],
    ]
    terminal, end = pty.openpty()

    process = await evergreen.start(
        "video", "watch", "--project", "p", stderr=end, TERM="xterm", NO_COLOR="1", COLUMNS="120", LINES="30"
    )
    os.close(end)
    reading = asyncio.create_task(asyncio.to_thread(read_all, terminal))
    assert process.stdout is not None
    async with asyncio.timeout(60):
        path = await process.stdout.readline()
        await service.holding.wait()
    process.send_signal(signal.SIGINT)
    shown = await reading
    os.close(terminal)
    ended = await evergreen.end(process)

    assert (ended.code, path) == (130, b"projects/p/s/videos/job-1-1-0.mp4\n")
    table = shown[shown.rindex("JOB ") :].replace("━", "")
    rows = [line.split() for line in table.splitlines()]
    assert [row[:2] + row[3:5] for row in rows if row and row[0].startswith("…")] == [
        ["…job-2", "image", "QUEUED", "WAITING"],
        ["…job-3", "video", "NEEDS_ATTENTION", "0%"],
        ["…job-1", "video", "SUCCEEDED", "100%"],
    ]
    assert "project p: 2 under way, 1 ended" in shown
    assert "watch interrupted, trying again" in shown
    assert "To resume: evergreen job watch --project p" in shown
    assert service.watches[1].after_revision == 2


async def test_a_project_is_watched_by_lines_where_there_is_no_terminal(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    service.streams = [[event(1, "job-1", stage="JOB_STAGE_GENERATING", progress=0.25), Hold()]]

    process = await evergreen.start("video", "watch", "--project", "p")
    assert process.stderr is not None
    async with asyncio.timeout(60):
        line = await process.stderr.readline()
    process.send_signal(signal.SIGINT)
    ended = await evergreen.end(process)

    assert line.decode().startswith("s …job-1  GENERATING  25%")
    assert (ended.code, ended.stdout) == (130, "")
    assert "\x1b" not in ended.stderr
