"""`evergreen video generate`: what reaches the wire, what is refused before, what a quote is."""

from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner

from evergreen import MediaRole, OnUnknownSubmission
from evergreen.cli.app import evergreen as root
from evergreen.v1.video_pb2 import (
    CostBasis,
    GenerateVideoResponse,
    Output,
)
from tests.clients.command_line import CommandLine
from tests.clients.scripted import DRAINING, Fault, ScriptedService, checkpoint, event, job

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
