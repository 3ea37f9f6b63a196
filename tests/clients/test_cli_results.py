"""What came of jobs: lists, files, the same once more, what has happened; by short ids and printed paths."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.v1.video_pb2 import (
    CancelVideoResponse,
    Event,
    GenerateRequest,
    GenerateResponse,
    GenerateVideoRequest,
    GenerateVideoResponse,
    GetStatusResponse,
    ImageSpec,
    JobError,
    ListModelsResponse,
    ListVideosResponse,
    Media,
    Model,
    Output,
    WatchProgressResponse,
)
from tests.clients.command_line import CommandLine
from tests.clients.scripted import Fault, ScriptedService, checkpoint, job

ID = "0198c2d4-7f3a-7c11-9d5e-2f6b0e450440"
OTHER = "0198c2d4-7f3a-7c11-9d5e-2f6bffff0440"
CLIP = job(ID, "SUCCEEDED", outputs=[Output(asset="videos/a.mp4")])


async def test_a_list_is_of_the_newest_and_tells_how_many_more_there_are(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    failed = job("b", "FAILED", error=JobError(reason="BAD_OUTPUT", message="too poor"))
    service.answers["ListVideos"] = [
        ListVideosResponse(jobs=[failed, job("a"), job("c")], next_page_token="2"),
        ListVideosResponse(jobs=[job(str(number)) for number in range(7)]),
        ListVideosResponse(),
    ]

    some = await evergreen("job", "list", "--limit", "2", "--since", "2h", "--failed", EVERGREEN_PROJECT="film")
    none = await evergreen("job", "list", "--project", "nosuch")

    assert [line.split()[-1] for line in some.stdout.splitlines()] == ["REASON", "BAD_OUTPUT", "-"]
    assert some.stderr == "showing 2 of 10, the newest first; --limit shows more\n"
    assert (none.code, none.stdout, none.stderr) == (0, "", "no jobs of project nosuch that are asked for\n")
    asked = service.requests["ListVideos"][0]
    assert (asked.project_id, asked.order) == ("film", 2)
    assert [*asked.states] == [6, 7, 8, 3]
    assert asked.HasField("created_from")


async def test_a_short_id_is_taken_where_it_is_unique(service: ScriptedService, evergreen: CommandLine) -> None:
    service.answers["ListVideos"] = [ListVideosResponse(jobs=[job(OTHER), job(ID)])] * 3
    service.answers["GetStatus"] = [GetStatusResponse(job=CLIP)]

    shown = await evergreen("job", "status", "…0e450440")
    unclear = await evergreen("job", "status", "0440")
    unknown = await evergreen("job", "cancel", "deadbeef")

    assert shown.code == 0, shown.stderr
    assert [each.job_id for each in service.requests["GetStatus"]] == [ID]
    assert (unclear.code, unknown.code) == (2, 2)
    assert f"several jobs have an id that begins or ends with 0440: {OTHER}, {ID}" in unclear.stderr
    assert "no job has an id that begins or ends with deadbeef" in unknown.stderr
    assert [each.job_id_part for each in service.requests["ListVideos"]] == ["0e450440", "0440", "deadbeef"]
    assert not service.requests["CancelVideo"]


async def test_the_files_of_a_job_are_fetched_by_its_id(
    service: ScriptedService, evergreen: CommandLine, tmp_path: Path
) -> None:
    queued = GetStatusResponse(job=job(ID, "QUEUED"))
    service.answers["GetStatus"] = [*[GetStatusResponse(job=CLIP)] * 3, queued]
    service.files = {"videos/a.mp4": b"clip"}
    file = tmp_path / "clip.mp4"

    named = await evergreen("job", "download", ID, str(file))
    taken = await evergreen("video", "download", ID, str(file))
    piped = await evergreen("job", "download", ID, "-")
    early = await evergreen("job", "download", ID, str(tmp_path))

    assert (named.code, named.stdout, file.read_bytes()) == (0, f"{file}\n", b"clip")
    assert (taken.code, piped.code, piped.stdout, early.code) == (2, 0, "clip", 1)
    assert "give another PATH, or a folder" in taken.stderr
    assert f"is QUEUED and has no files yet; to follow it: evergreen job watch {ID}" in early.stderr


async def test_the_path_that_is_printed_is_the_path_that_is_taken(
    service: ScriptedService, evergreen: CommandLine, tmp_path: Path
) -> None:
    service.files = {"videos/a.mp4": b"clip"}

    whole = await evergreen("scene", "download", "projects/p/s/videos/a.mp4", str(tmp_path / "a.mp4"))
    wrong = await evergreen("scene", "download", "projects/p/s/videos/a.mp4", "--scene", "other")

    assert (whole.code, (tmp_path / "a.mp4").read_bytes()) == (0, b"clip"), whole.stderr
    assert wrong.code == 2
    assert "of another scene than --scene other" in wrong.stderr


async def test_a_clip_is_opened_by_the_machines_own_program(
    service: ScriptedService, evergreen: CommandLine, tmp_path: Path
) -> None:
    service.answers["GetStatus"] = [GetStatusResponse(job=CLIP)]
    service.files = {"videos/a.mp4": b"clip"}
    opener = tmp_path / "xdg-open"
    opener.write_text('#!/bin/sh\ncp "$1" "$OPENED"\n')
    opener.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])

    ended = await evergreen("job", "open", ID, PATH=path, OPENED=str(tmp_path / "opened"), TMPDIR=str(tmp_path))

    assert ended.code == 0, ended.stderr
    assert (tmp_path / "opened").read_bytes() == b"clip"
    assert "no program" not in ended.stderr


async def test_a_retry_asks_for_the_same_under_a_new_id(service: ScriptedService, evergreen: CommandLine) -> None:
    clip = GenerateVideoRequest(
        project_id="p",
        scene_id="s",
        request_id="old",
        model="gen4_turbo",
        prompt_text="a fox",
        media=[Media(asset="images/a.png", role="MEDIA_ROLE_FIRST_FRAME")],
        ratio="1280:720",
        duration_seconds=5,
        seed=7,
        max_credits=30,
        labels={"take": "3"},
        start_by=Timestamp(seconds=60),
    )
    clip.options.update({"audio": False})
    picture = GenerateRequest(
        project_id="p", scene_id="s", request_id="old", model="m", image=ImageSpec(prompt_text="b")
    )
    service.answers["GetStatus"] = [
        GetStatusResponse(job=job(ID, "FAILED", request=clip)),
        GetStatusResponse(job=job(ID, "FAILED", generate_request=picture)),
    ]
    service.answers["GenerateVideo"] = [GenerateVideoResponse(job=job("new", "QUEUED"))]
    service.answers["Generate"] = [GenerateResponse(job=job("new", "QUEUED"))]

    first = await evergreen("video", "retry", ID)
    second = await evergreen("job", "retry", ID, "--request-id", "mine")

    assert (first.code, first.stdout, second.code) == (0, "new\n", 0), first.stderr + second.stderr
    (asked,) = service.requests["GenerateVideo"]
    assert len(asked.request_id) == 32
    clip.request_id = asked.request_id
    clip.ClearField("start_by")
    assert asked == clip
    picture.request_id = "mine"
    assert service.requests["Generate"] == [picture]


def happened(revision: int, kind: str, state: str = "RUNNING", **fields: object) -> WatchProgressResponse:
    told = Event(kind=f"EVENT_KIND_{kind}", job=job(ID, state, **fields), time=Timestamp(seconds=revision))
    return WatchProgressResponse(event=told, revision=revision)


async def test_the_events_of_a_job_are_told_in_words(service: ScriptedService, evergreen: CommandLine) -> None:
    gone = Fault(code=grpc.StatusCode.OUT_OF_RANGE, reason="CURSOR_COMPACTED", metadata={"compacted_revision": "3"})
    output = Output(asset="videos/a.mp4")
    service.streams = [
        [gone],
        [
            happened(4, "STARTED", attempt=2),
            happened(5, "STAGE_CHANGED", stage="JOB_STAGE_GENERATING", provider_task_id="task-9"),
            happened(6, "PROGRESS", progress=0.25),
            happened(7, "OUTPUT_ADDED", outputs=[output]),
            happened(8, "SUCCEEDED", "SUCCEEDED", outputs=[output], charged_credits=25.0),
        ],
    ]

    ended = await evergreen("job", "logs", ID)

    assert ended.code == 0, ended.stderr
    assert ended.stderr == "older events are no longer kept\n"
    assert ended.stdout.splitlines() == [
        "1970-01-01T00:00:04Z  attempt 2 began",
        "1970-01-01T00:00:05Z  generating: the provider makes it as task task-9",
        "1970-01-01T00:00:06Z  25% is made",
        "1970-01-01T00:00:07Z  delivered videos/a.mp4",
        "1970-01-01T00:00:08Z  SUCCEEDED, 25 credits",
    ]
    assert [each.after_revision for each in service.watches] == [0, 3]


async def test_the_log_of_a_job_that_goes_on_ends_with_what_is_known(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    service.streams = [[happened(1, "CREATED", "QUEUED"), checkpoint(2)]]

    ended = await evergreen("job", "logs", ID)

    assert (ended.code, ended.stdout) == (0, "1970-01-01T00:00:01Z  accepted\n")


async def test_what_was_asked_for_is_part_of_a_jobs_state(service: ScriptedService, evergreen: CommandLine) -> None:
    media = [Media(asset="images/a.png", role="MEDIA_ROLE_FIRST_FRAME")]
    clip = GenerateVideoRequest(prompt_text="a\nfox", ratio="1280:720", duration_seconds=5, media=media, seed=0)
    service.answers["GetStatus"] = [GetStatusResponse(job=job(ID, request=clip))]

    ended = await evergreen("job", "status", ID, PYTHONIOENCODING="cp1252")

    facts = dict(re.split(" {2,}", line, maxsplit=1) for line in ended.stdout.splitlines())
    asked = [facts[name] for name in ("prompt", "ratio", "duration", "input", "seed")]
    assert asked == ["a fox", "1280:720", "5 s", "first frame images/a.png", "0"]


async def test_an_encoding_without_the_sign_gets_another_one(service: ScriptedService, evergreen: CommandLine) -> None:
    told = job(ID, "RUNNING", estimated_credits=25.0)
    service.answers["GetStatus"] = [GetStatusResponse(job=told)]
    service.answers["ListVideos"] = [ListVideosResponse(jobs=[told])]

    shown = await evergreen("job", "status", ID, PYTHONIOENCODING="cp1252")
    listed = await evergreen("job", "list", PYTHONIOENCODING="ascii")

    assert (shown.code, listed.code) == (0, 0), shown.stderr + listed.stderr
    assert "<= 25" in shown.stdout
    assert "<= 25" in listed.stdout


async def test_several_jobs_are_cancelled_and_one_that_had_ended_says_so(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    service.answers["CancelVideo"] = [
        CancelVideoResponse(job=job("a", "CANCELLING")),
        CancelVideoResponse(job=job("b", "SUCCEEDED")),
    ]

    ended = await evergreen("job", "cancel", "a", "b")

    assert ended.code == 0
    assert ended.stderr == "b had ended before: SUCCEEDED\n"


async def test_a_closed_pipe_is_no_error(service: ScriptedService, evergreen: CommandLine) -> None:
    service.answers["ListModels"] = [ListModelsResponse(models=[Model(model=f"m{n}") for n in range(3000)])]
    evergreen_ = f"{sys.executable} -m evergreen.cli"
    command = f"set -eo pipefail; {evergreen_} models | head -1; {evergreen_} --help | true"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "EVERGREEN_ENDPOINT": service.target},
    )

    ended = await evergreen.end(process)

    assert (ended.code, ended.stderr, len(ended.stdout.splitlines())) == (0, "", 1)


async def test_errors_are_json_where_output_is(service: ScriptedService, evergreen: CommandLine) -> None:
    service.answers["GetStatus"] = [
        Fault(code=grpc.StatusCode.NOT_FOUND, reason="JOB_NOT_FOUND", message="no such job")
    ]

    call = await evergreen("job", "status", ID, "--output", "json")
    line = await evergreen("--output=json", "job", "list", "--state", "nosuch")

    errors = [json.loads(each.stderr)["error"] for each in (call, line)]
    assert (call.code, errors[0]["code"], errors[0]["reason"], errors[0]["exit_code"]) == (
        1,
        "not_found",
        "JOB_NOT_FOUND",
        1,
    )
    assert (line.code, errors[1]["exit_code"], line.stdout) == (2, 2, "")
    assert "nosuch" in errors[1]["message"]


async def test_a_lost_answer_is_told_only_where_something_was_sent(evergreen: CommandLine, tmp_path: Path) -> None:
    ended = await evergreen(
        *("--endpoint", "127.0.0.1:1", "video", "generate", "--project", "p", "--scene", "s", "--prompt", "a"),
        *("--timeout", "5"),
    )
    watch = await evergreen("--endpoint", "127.0.0.1:1", "job", "watch", "--project", "p")

    assert (ended.code, watch.code) == (1, 1)
    assert "may have been accepted" not in ended.stderr
    for each in (ended, watch):
        assert each.stderr.splitlines() == [
            "Error: no service answers at 127.0.0.1:1",
            "Is a server running at 127.0.0.1:1? `evergreen serve --sandbox` starts one.",
        ]


async def test_a_request_without_a_picture_says_what_would_do(service: ScriptedService, evergreen: CommandLine) -> None:
    text = "gen4_turbo does not do text_to_video; it does image_to_video from FIRST_FRAME."
    service.answers["GenerateVideo"] = [
        Fault(code=grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_REQUEST", violations={"media": text})
    ]

    ended = await evergreen("video", "generate", "--project", "p", "--scene", "s", "--prompt", "hi")

    assert f"  media: {text} [--image, --media]\n" in ended.stderr
    assert "--model gen4.5 --ratio 1280:720 --duration 5" in ended.stderr
