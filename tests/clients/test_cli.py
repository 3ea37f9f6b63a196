import asyncio
import hashlib
import os
import pty
import re
import signal
import sys
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner
from google.protobuf.timestamp_pb2 import Timestamp

from evergreen import ALL_KINDS, MediaRole, OnUnknownSubmission, SubmissionResolution
from evergreen.cli.app import evergreen as root
from evergreen.v1.scene_pb2 import Asset, CreateSceneResponse, Folder, GetSceneResponse, ListScenesResponse, Scene
from evergreen.v1.video_pb2 import (
    CancelVideoResponse,
    CostBasis,
    GenerateVideoResponse,
    GetAccountResponse,
    GetCallerResponse,
    GetStatusResponse,
    JobCount,
    JobError,
    ListModelsResponse,
    ListProjectsResponse,
    ListVideosRequest,
    ListVideosResponse,
    Model,
    ModelUsage,
    Output,
    Price,
    Project,
    ResolveSubmissionResponse,
)
from tests.clients.command_line import CommandLine, read_all
from tests.clients.scripted import DRAINING, Fault, Hold, ScriptedService, checkpoint, event, job

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


async def test_a_watched_clip_ends_with_its_path_on_stdout_and_talk_on_stderr(
    service: ScriptedService, evergreen: CommandLine, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(b"jpeg")
    service.answers["GenerateVideo"] = [ACCEPTED]
    service.streams = [
        [event(1, state="QUEUED", stage="JOB_STAGE_WAITING"), checkpoint(1), DRAINING],
        [event(2, stage="JOB_STAGE_GENERATING", progress=0.25), event(3, stage="JOB_STAGE_DELIVERING"), DELIVERED],
    ]

    ended = await evergreen(*GENERATE, "--image", str(picture), "--watch")

    assert (ended.code, ended.stdout) == (0, "projects/p/s/videos/job-1-1-0.mp4\n")
    assert "s …job-1  WAITING  0%" in ended.stderr
    assert "watch interrupted, trying again" in ended.stderr
    assert "GENERATING  25%" in ended.stderr
    assert "SUCCEEDED  25 credits" in ended.stderr
    assert "\x1b" not in ended.stderr
    assert service.requests["GenerateVideo"][0].media[0].data == b"jpeg"


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


async def test_options_of_generate_reach_the_wire(service: ScriptedService, evergreen: CommandLine) -> None:
    service.answers["GenerateVideo"] = [ACCEPTED]

    ended = await evergreen(
        *GENERATE,
        *("--image-uri", "https://example.com/a.png", "--last-image", "asset:images/b.png"),
        *("--video", "https://example.com/v.mp4", "--media", "keyframe@2.5=https://example.com/k.png"),
        *("--model", "gen4.5", "--ratio", "1280:720", "--resolution", "720p", "--duration", "5", "--seed", "0"),
        *("--request-id", "mine", "--priority", "-3", "--max-credits", "30.5", "--max-attempts", "2"),
        *("--on-unknown", "resubmit", "--label", "team=blue", "--label", "shot=1=a", "--option", "audio=false"),
        *("--start-by", "2030-01-31T18:00:00+01:00"),
    )

    assert (ended.code, ended.stdout) == (0, "job-1\n")
    assert "evergreen job watch job-1" in ended.stderr
    (request,) = service.requests["GenerateVideo"]
    assert [(media.WhichOneof("source"), media.role) for media in request.media] == [
        ("uri", MediaRole.MEDIA_ROLE_FIRST_FRAME),
        ("asset", MediaRole.MEDIA_ROLE_LAST_FRAME),
        ("uri", MediaRole.MEDIA_ROLE_SOURCE_VIDEO),
        ("uri", MediaRole.MEDIA_ROLE_KEYFRAME),
    ]
    assert request.media[3].at_seconds == 2.5
    assert (request.model, request.ratio, request.resolution) == ("gen4.5", "1280:720", "720p")
    assert (request.duration_seconds, request.seed, request.HasField("seed")) == (5, 0, True)
    assert (request.request_id, request.priority, request.max_credits, request.max_attempts) == ("mine", -3, 30.5, 2)
    assert request.on_unknown_submission == OnUnknownSubmission.ON_UNKNOWN_SUBMISSION_RESUBMIT
    assert dict(request.labels) == {"team": "blue", "shot": "1=a"}
    assert request.options["audio"] is False
    assert request.start_by.ToJsonString() == "2030-01-31T17:00:00Z"


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


async def test_bad_input_shows_each_fault_on_a_line_of_its_own(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    service.answers["GenerateVideo"] = [
        Fault(
            code=grpc.StatusCode.INVALID_ARGUMENT,
            reason="INVALID_REQUEST",
            message="2 fields are wrong",
            violations={"ratio": "must be one of 1280:720", "duration_seconds": "must be 5 or 10"},
        )
    ]

    ended = await evergreen(*GENERATE, "--watch")

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == (
        "Error: the request cannot be accepted (INVALID_REQUEST)\n"
        "  ratio: must be one of 1280:720 [--ratio]\n"
        "  duration_seconds: must be 5 or 10 [--duration]\n"
    )


async def test_an_answer_that_may_be_lost_tells_the_request_id(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    service.answers["GenerateVideo"] = [Fault(code=grpc.StatusCode.DEADLINE_EXCEEDED, message="too late")]

    ended = await evergreen(*GENERATE)

    assert ended.code == 1
    assert f"--request-id {service.requests['GenerateVideo'][0].request_id}" in ended.stderr


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--image", "nowhere.png"), "cannot read nowhere.png: No such file"),
        (("--image", "https://example.com/a", "--image-uri", "https://example.com/a"), "choose one"),
        (("--media", "style=a.png"), "is not ROLE=SOURCE"),
        (("--option", "audio=yes"), "is not JSON"),
        (("--label", "team"), "is not KEY=VALUE"),
        (("--start-by", "soon"), "is not a time"),
        (("--seed", "99999999999999999999"), "99999999999999999999"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_what_cannot_be_sent_is_a_usage_error(wrong: tuple[str, ...], said: str) -> None:
    """Where no server is, so that sending would end otherwise."""
    nowhere = ("--endpoint", "127.0.0.1:1")

    ended = CliRunner().invoke(root, [*nowhere, *GENERATE, *wrong])

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert said in " ".join(ended.stderr.split())


async def test_checking_a_request_prints_its_price(service: ScriptedService, evergreen: CommandLine) -> None:
    service.answers["GenerateVideo"] = [GenerateVideoResponse(estimated_credits=25.0)]

    ended = await evergreen(*GENERATE, "--validate-only")

    assert (ended.code, ended.stdout) == (0, "25\n")
    assert service.requests["GenerateVideo"][0].validate_only


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


async def test_a_full_disk_is_told_in_a_sentence(service: ScriptedService, evergreen: CommandLine) -> None:
    service.answers["ListModels"] = [ListModelsResponse(models=[Model(model="gen4.5")])]
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f"{sys.executable} -m evergreen.cli models > /dev/full"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "EVERGREEN_ENDPOINT": service.target},
    )

    ended = await evergreen.end(process)

    assert ended.code == 1
    assert ended.stderr.splitlines() == ["Error: the output cannot be written: No space left on device"]


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


async def test_the_command_line_tells_whom_the_service_takes_one_for(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    limited = GetCallerResponse(
        name="studio\x1b", rights=["RIGHT_READ", "RIGHT_WRITE", 9], projects=["film", "other"], tokens_required=True
    )
    anyone = GetCallerResponse(all_projects=True, rights=["RIGHT_READ"], version="0.1.0")
    service.answers["GetCaller"] = [limited, anyone, limited]

    first, second = await evergreen("whoami"), await evergreen("whoami")
    third = await evergreen("whoami", "--output", "json")

    assert first.stdout == "name      studio\ufffd\nrights    read write\nprojects  film other\n"
    told = ["name      (the service requires no token)", "rights    read", "projects  (all)", "server    0.1.0"]
    assert second.stdout.splitlines() == told
    assert third.lines[0]["projects"] == ["film", "other"]


async def test_scenes_models_and_the_account_are_shown(service: ScriptedService, evergreen: CommandLine) -> None:
    asset = Asset(path="images/hero.png", content_type="image/png", size_bytes=2048, width=64, height=32)
    scene = Scene(project_id="p", scene_id="s", folders=[Folder(name="images", assets=[asset])])
    service.answers["CreateScene"] = [CreateSceneResponse(scene=scene)]
    service.answers["GetScene"] = [GetSceneResponse(scene=scene)]
    service.answers["ListScenes"] = [ListScenesResponse(scenes=[scene])]
    service.answers["ListModels"] = [
        ListModelsResponse(
            models=[
                Model(
                    model="gen4_turbo",
                    ratios=[f"{width}:9" for width in range(8)],
                    durations_seconds=[2, 3, 4, 8, 10],
                    prices=[Price(credits_per_second=5)],
                )
            ]
        )
    ]
    service.answers["GetAccount"] = [
        GetAccountResponse(
            credit_balance=1234.5,
            usage=[ModelUsage(model="gen4_turbo")],
            spent_credits=30,
            spent_confirmed_credits=25,
            spent_upper_bound_credits=5,
            project_cap_credits=100,
        )
    ]

    created = await evergreen("scene", "create", "--project", "p", "--scene", "s", "--output", "json")
    shown = await evergreen("scene", "show", "--project", "p", "--scene", "s")
    listed = await evergreen("scene", "list", "--project", "p")
    models = await evergreen("models")
    account = await evergreen("account", "--project", "p")

    assert created.lines[0]["folders"][0]["assets"][0]["size_bytes"] == 2048
    assert "images/hero.png  image/png  2,048  64x32" in shown.stdout
    assert listed.stdout.splitlines()[1].startswith("s ")
    told = ["gen4_turbo", "-", "-", "0:9 1:9 2:9 3:9 4:9 5:9 (+2)", "2-4 8 10", "5 per second"]
    assert re.split(" {2,}", models.stdout.splitlines()[1]) == told
    assert service.requests["GetAccount"][-1].project_id == "p"
    told = {
        name.strip(): value.strip() for name, value in (line.split("  ", 1) for line in account.stdout.splitlines()[:6])
    }
    assert (told["balance"], told["spent here"]) == ("1,234.5 credits", "30 credits")
    assert (told["spent, confirmed"], told["spent, at most"], told["project's limit"]) == (
        "25 credits",
        "5 credits",
        "100 credits",
    )


async def test_health_is_told_by_the_exit_code(service: ScriptedService, evergreen: CommandLine) -> None:
    serving = await evergreen("health")
    service.health = b"\x08\x02"
    not_serving = await evergreen("health", "--output", "json")
    gone = await evergreen("health", "--endpoint", "127.0.0.1:1")

    assert (serving.code, serving.stdout) == (0, "SERVING\n")
    assert (not_serving.code, not_serving.lines) == (1, [{"status": "NOT_SERVING"}])
    assert gone.code == 1
    assert "Is a server running at 127.0.0.1:1?" in gone.stderr


async def test_an_installed_package_adds_commands_and_a_missing_one_is_named(
    evergreen: CommandLine, tmp_path: Path
) -> None:
    installed = tmp_path / "guest-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[evergreen.commands]\nhello = guest:hello\nabsent = nowhere:go\n")
    (tmp_path / "guest.py").write_text(
        "import click\n\n@click.command()\ndef hello():\n    '''Greet.'''\n    click.echo('hello')\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])

    hello = await evergreen("hello", PYTHONPATH=path)
    absent = await evergreen("absent", "--listen", "x", PYTHONPATH=path)

    assert (hello.code, hello.stdout) == (0, "hello\n")
    assert absent.code == 1
    assert "absent needs the server: pip install 'evergreen-video[server]' (nowhere is missing)" in absent.stderr


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


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_a_shell_completes_the_words_of_the_command(evergreen: CommandLine, shell: str) -> None:
    script = await evergreen("completion", shell)
    completed = await evergreen(
        _EVERGREEN_COMPLETE=f"{shell}_complete",
        COMP_WORDS="evergreen video wa",
        COMP_CWORD="wa" if shell == "fish" else "2",
    )

    assert script.code == 0
    assert f"_EVERGREEN_COMPLETE={shell}_complete" in script.stdout
    assert "watch" in completed.stdout


async def test_a_token_is_shown_once_beside_the_line_that_lets_it_in(evergreen: CommandLine) -> None:
    told = await evergreen("token", "--name", "studio", "--project", "film")
    both = await evergreen("token", "--name", "ops", "--all-projects", "--right", "admin", "--output", "json")
    neither = await evergreen("token", "--name", "ops")
    two = await evergreen("token", "--name", "ops", "--all-projects", "--project", "film")

    (line,), token = told.lines, told.stderr.split()[-1]
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert line == {"name": "studio", "sha256": digest, "projects": ["film"], "rights": ["read", "write"]}
    digest = hashlib.sha256(str(both.lines[0]["token"]).encode()).hexdigest()
    assert both.lines[0]["entry"] == {"name": "ops", "sha256": digest, "projects": "*", "rights": ["admin"]}
    assert (both.stderr, neither.code, two.code) == ("", 2, 2)
    assert "give --all-projects or --project, not both" in two.stderr


def test_help_documents_the_exit_codes() -> None:
    ended = CliRunner().invoke(root, ["--help"])

    assert ended.exit_code == 0
    for code in (0, 1, 2, 3, 4, 130):
        assert f"\n    {code} " in ended.stdout
