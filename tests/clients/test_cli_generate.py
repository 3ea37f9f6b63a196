"""The commands for pictures, speech and sounds, and those for jobs of all kinds."""

import asyncio
import json
import os
import pty
import re
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner

from evergreen import ALL_KINDS, INLINE_LIMIT, MediaKind, OnUnknownSubmission
from evergreen.cli.app import evergreen as root
from evergreen.v1.video_pb2 import (
    CancelVideoResponse,
    GenerateRequest,
    GenerateResponse,
    GetStatusResponse,
    ImageSpec,
    ListModelsResponse,
    ListVideosResponse,
    Media,
    Model,
    OperationRules,
    Output,
    Price,
    SoundSpec,
    SpeechSpec,
)
from evergreen.v1.video_pb2 import Operation as O
from evergreen.v1.video_pb2 import PriceUnit as U
from tests.clients.command_line import CommandLine, read_all
from tests.clients.scripted import Fault, ScriptedService, event, job

WHERE = ("--project", "p", "--scene", "s")
IMAGE = ("image", "generate", *WHERE, "--prompt", "a fox")
PICTURE = {"kind_made": "MEDIA_KIND_IMAGE"}
ACCEPTED = GenerateResponse(job=job(state="QUEUED", kind="MEDIA_KIND_IMAGE"))


def delivered(*assets: str):
    outputs = [Output(asset=asset) for asset in assets]
    return event(4, state="SUCCEEDED", kind="SUCCEEDED", charged_credits=5.0, outputs=outputs, **PICTURE)


async def test_options_of_a_picture_reach_the_wire(
    service: ScriptedService, evergreen: CommandLine, tmp_path: Path
) -> None:
    service.answers["Generate"] = [ACCEPTED]
    hero = tmp_path / "hero=1.png"
    hero.write_bytes(b"png")

    ended = await evergreen(
        *IMAGE,
        *("--reference", f"hero={hero}", "--reference", str(hero)),
        *("--reference", "style=https://example.com/a.png?x=1", "--reference", "https://example.com/b.png?x=1"),
        *("--reference", "Set=asset:images/set.png", "--reference", "cast=asset:scene-2/images/cast.png"),
        *("--model", "gen4_image_turbo", "--ratio", "1920:1080", "--count", "2", "--seed", "0"),
        *("--option", 'quality="low"', "--request-id", "mine", "--priority", "-3", "--max-credits", "30.5"),
        *("--max-attempts", "2", "--on-unknown", "resubmit", "--label", "team=blue"),
        *("--start-by", "2030-01-31T18:00:00+01:00", "--finish-by", "2030-01-31T19:00:00+01:00"),
    )

    assert (ended.code, ended.stdout) == (0, "job-1\n")
    assert "evergreen job watch job-1" in ended.stderr
    expected = GenerateRequest(
        project_id="p",
        scene_id="s",
        request_id="mine",
        model="gen4_image_turbo",
        image=ImageSpec(
            prompt_text="a fox",
            ratio="1920:1080",
            output_count=2,
            references=[
                Media(data=b"png", tag="hero"),
                Media(data=b"png"),
                Media(uri="https://example.com/a.png?x=1", tag="style"),
                Media(uri="https://example.com/b.png?x=1"),
                Media(asset="images/set.png", tag="Set"),
                Media(asset="images/cast.png", scene_id="scene-2", tag="cast"),
            ],
        ),
        seed=0,
        priority=-3,
        max_credits=30.5,
        max_attempts=2,
        on_unknown_submission=OnUnknownSubmission.ON_UNKNOWN_SUBMISSION_RESUBMIT,
        labels={"team": "blue"},
    )
    expected.options.update({"quality": "low"})
    expected.start_by.FromJsonString("2030-01-31T17:00:00Z")
    expected.finish_by.FromJsonString("2030-01-31T18:00:00Z")
    assert service.requests["Generate"] == [expected]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("image", "generate", "--prompt", "a fox"),
            {"model": "gen4_image", "image": ImageSpec(prompt_text="a fox", ratio="1280:720")},
        ),
        (
            ("speech", "generate", "--text", "hello"),
            {"model": "eleven_v3", "speech": SpeechSpec(text="hello", voice="Maya")},
        ),
        (
            ("sound", "generate", "--prompt", "rain"),
            {"model": "eleven_text_to_sound_v2", "sound": SoundSpec(prompt_text="rain")},
        ),
        (
            ("image", "generate", "--prompt", "a fox", "--model", "muse_image"),
            {"model": "muse_image", "image": ImageSpec(prompt_text="a fox")},
        ),
        (
            (
                *("speech", "generate", "--text", "hi", "--model", "seed_audio"),
                *("--voice-reference", "asset:audio/a.mp3", "--language", "en"),
            ),
            {
                "model": "seed_audio",
                "speech": SpeechSpec(text="hi", voice_reference=Media(asset="audio/a.mp3"), language="en"),
            },
        ),
        (
            ("speech", "generate", "--text", "hi", "--voice", "Noah"),
            {"model": "eleven_v3", "speech": SpeechSpec(text="hi", voice="Noah")},
        ),
        (
            (
                *("sound", "generate", "--prompt", "rain", "--seconds", "0.5", "--loop", "--count", "2"),
                *("--model", "seed_audio", "--reference", "asset:audio/a.mp3"),
            ),
            {
                "model": "seed_audio",
                "sound": SoundSpec(
                    prompt_text="rain",
                    duration_seconds=0.5,
                    loop=True,
                    output_count=2,
                    references=[Media(asset="audio/a.mp3")],
                ),
            },
        ),
    ],
)
async def test_each_command_makes_its_spec_and_the_shortest_has_defaults(
    service: ScriptedService, evergreen: CommandLine, words: tuple[str, ...], expected: dict[str, object]
) -> None:
    service.answers["Generate"] = [ACCEPTED]

    ended = await evergreen(*words, *WHERE, "--request-id", "mine")

    assert ended.code == 0, ended.stderr
    assert service.requests["Generate"] == [
        GenerateRequest(project_id="p", scene_id="s", request_id="mine", **expected)
    ]


async def test_a_watched_picture_ends_with_its_path_on_stdout(service: ScriptedService, evergreen: CommandLine) -> None:
    service.answers["Generate"] = [ACCEPTED]
    running = event(2, stage="JOB_STAGE_GENERATING", progress=0.25, **PICTURE)
    service.streams = [[running, delivered("images/job-1-1-0.png", "images/job-1-1-1.png")]]

    ended = await evergreen(*IMAGE, "--watch")

    assert (ended.code, ended.stdout) == (0, "projects/p/s/images/job-1-1-0.png\nprojects/p/s/images/job-1-1-1.png\n")
    assert "s …job-1 image  GENERATING  25%" in ended.stderr
    assert "s …job-1 image  SUCCEEDED  5 credits" in ended.stderr
    assert "clip" not in ended.stderr


async def test_a_terminal_gets_a_live_bar_of_a_sound(service: ScriptedService, evergreen: CommandLine) -> None:
    sound = {"kind_made": "MEDIA_KIND_SOUND"}
    costly = {"charged_credits": 1.0, "cost_basis": "COST_BASIS_UPPER_BOUND"}
    service.streams = [
        [
            event(1, stage="JOB_STAGE_GENERATING", progress=0.25, **sound),
            event(2, state="FAILED", **sound, **costly),
        ]
    ]
    terminal, end = pty.openpty()

    process = await evergreen.start("job", "watch", "job-1", stderr=end, TERM="xterm", NO_COLOR="1")
    os.close(end)
    shown = await asyncio.to_thread(read_all, terminal)
    os.close(terminal)
    ended = await evergreen.end(process)

    assert (ended.code, ended.stdout) == (3, "")
    assert re.search(r"s +…job-1 +sound +GENERATING .*━.* 25% .*0:00:00", shown)
    assert re.search(r"FAILED  at most 1 credit\b", shown)


@pytest.mark.parametrize("folder", [True, False], ids=["folder", "file"])
async def test_files_are_fetched_when_the_job_has_succeeded(
    service: ScriptedService, evergreen: CommandLine, tmp_path: Path, folder: bool
) -> None:
    service.answers["Generate"] = [ACCEPTED]
    service.streams = [[event(2, **PICTURE), delivered("images/job-1-1-0.png", "images/job-1-1-1.png")]]
    service.files = {"images/job-1-1-0.png": b"first", "images/job-1-1-1.png": b"second"}
    target = tmp_path if folder else tmp_path / "fox.png"

    ended = await evergreen(*IMAGE, "--download", str(target))

    files = [tmp_path / name for name in (("job-1-1-0.png", "job-1-1-1.png") if folder else ("fox.png", "fox-2.png"))]
    assert (ended.code, ended.stdout) == (0, "".join(f"{file}\n" for file in files)), ended.stderr
    assert [file.read_bytes() for file in files] == [b"first", b"second"]
    assert "projects/p/s/images/job-1-1-1.png\n" in ended.stderr


async def test_a_file_that_cannot_be_fetched_is_told_with_where_it_lies(
    service: ScriptedService, evergreen: CommandLine, tmp_path: Path
) -> None:
    service.answers["Generate"] = [ACCEPTED]
    service.streams = [[delivered("images/job-1-1-0.png")]]

    ended = await evergreen(*IMAGE, "--download", str(tmp_path))

    assert (ended.code, ended.stdout) == (1, "")
    assert "projects/p/s/images/job-1-1-0.png\n" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_file_that_cannot_be_written_is_told_without_a_traceback(
    service: ScriptedService, evergreen: CommandLine, tmp_path: Path
) -> None:
    service.answers["Generate"] = [ACCEPTED]
    service.streams = [[delivered("images/job-1-1-0.png")]]
    service.files = {"images/job-1-1-0.png": b"first"}
    (tmp_path / "job-1-1-0.png").mkdir()

    made = await evergreen(*IMAGE, "--download", str(tmp_path))
    copied = await evergreen("scene", "download", "images/job-1-1-0.png", str(tmp_path / "none" / "a.png"), *WHERE)

    assert (made.code, made.stdout, copied.code, copied.stdout) == (1, "", 1, "")
    assert re.search(r"^Error: .*: it exists; name another file, or say overwrite$", made.stderr, re.MULTILINE)
    assert f"Error: {tmp_path / 'none' / 'a.png'}: No such file or directory" in copied.stderr.splitlines()


async def test_nothing_is_fetched_of_a_job_that_failed_and_json_names_the_files(
    service: ScriptedService, evergreen: CommandLine, tmp_path: Path
) -> None:
    service.answers["Generate"] = [ACCEPTED, ACCEPTED]
    service.streams = [[event(2, state="FAILED", **PICTURE)], [delivered("images/job-1-1-0.png")]]
    service.files = {"images/job-1-1-0.png": b"first"}

    failed = await evergreen(*IMAGE, "--download", str(tmp_path))
    told = await evergreen(*IMAGE, "--download", str(tmp_path), "--output", "json")

    assert (failed.code, failed.stdout) == (3, "")
    assert told.lines[0]["event"]["job"]["kind"] == "image"
    assert told.lines[1]["path"] == "images/job-1-1-0.png"


def test_what_cannot_be_sent_or_fetched_is_a_usage_error(tmp_path: Path) -> None:
    """Where no server is, so that sending would end otherwise."""
    large = tmp_path / "large.png"
    large.write_bytes(bytes(INLINE_LIMIT + 1))

    for wrong, said in [
        (("--reference", "hero=nowhere.png"), "cannot read nowhere.png: No such file"),
        (("--reference", "no/name=nowhere.png"), "cannot read no/name=nowhere.png"),
        (("--count", "0"), "not in the range x>=1"),
        (("--seed", "99999999999999999999"), "99999999999999999999"),
        (("--download", str(large)), "exists; give another --out"),
        (("--download", str(tmp_path / "none" / "fox.png")), "is no folder"),
        (("--download", str(tmp_path / ("x" * 300))), "--out: File name too long"),
    ]:
        ended = CliRunner().invoke(root, ["--endpoint", "127.0.0.1:1", *IMAGE, *wrong])

        assert (ended.exit_code, ended.stdout) == (2, ""), wrong
        assert said in " ".join(ended.stderr.split())


async def test_bad_input_a_quote_and_a_lost_answer_are_told_as_for_clips(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    violations = {"image.references[2]": "at most 3", "image.prompt_text": "too long: 1,200"}
    service.answers["Generate"] = [
        Fault(code=grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_REQUEST", violations=violations),
        GenerateResponse(estimated_credits=5),
        Fault(code=grpc.StatusCode.DEADLINE_EXCEEDED, message="too late"),
    ]

    refused = await evergreen(*IMAGE)
    priced = await evergreen(*IMAGE, "--validate-only")
    lost = await evergreen(*IMAGE)

    assert refused.code == 1
    assert "  image.references[2]: at most 3\n  image.prompt_text: too long: 1,200 [--prompt]\n" in refused.stderr
    assert (priced.code, priced.stdout) == (0, "5\n")
    assert lost.code == 1
    assert f"--request-id {service.requests['Generate'][2].request_id}" in lost.stderr


@pytest.mark.parametrize("group", ["job", "video"])
async def test_jobs_of_all_kinds_are_listed_shown_watched_and_cancelled(
    service: ScriptedService, evergreen: CommandLine, group: str
) -> None:
    sound = job("b", kind="MEDIA_KIND_SOUND", generate_request=GenerateRequest(model="seed_audio"))
    service.answers["ListVideos"] = [ListVideosResponse(jobs=[job("a"), sound]), ListVideosResponse()]
    service.answers["GetStatus"] = [GetStatusResponse(job=sound)]
    service.answers["CancelVideo"] = [CancelVideoResponse(job=sound)]
    service.streams = [[event(1, "b", "SUCCEEDED", kind_made="MEDIA_KIND_SOUND")], []]

    listed = await evergreen(group, "list", "--project", "p")
    some = await evergreen(group, "list", "--kind", "image", "--kind", "speech")
    shown = await evergreen(group, "status", "b")
    cancelled = await evergreen(group, "cancel", "b", "--output", "json")
    watched = await evergreen(group, "watch", "b")

    assert [line.split()[:5] for line in listed.stdout.splitlines()] == [
        ["JOB", "STATE", "STAGE", "DONE", "KIND"],
        ["a", "RUNNING", "-", "0%", "video"],
        ["b", "RUNNING", "-", "0%", "sound"],
    ]
    assert "seed_audio" in listed.stdout
    assert (some.code, some.stdout) == (0, "")
    assert re.search(r"^kind +sound\nmodel +seed_audio$", shown.stdout, re.MULTILINE)
    assert (json.loads(cancelled.stdout)["kind"], watched.code) == ("sound", 0)
    speech, image = MediaKind.MEDIA_KIND_SPEECH, MediaKind.MEDIA_KIND_IMAGE
    assert [list(each.kinds) for each in service.requests["ListVideos"]] == [list(ALL_KINDS), [image, speech]]


MODELS = [
    Model(
        model="gen4_image",
        rules=[
            OperationRules(
                operation=O.OPERATION_TEXT_TO_IMAGE,
                roles=["MEDIA_ROLE_REFERENCE"],
                ratios=["1280:720"],
                prompt_max_utf16=1000,
                references_max=3,
                prices=[
                    Price(unit=U.PRICE_UNIT_PICTURE, quantity=1, credits=5, condition="720p"),
                    Price(unit=U.PRICE_UNIT_PICTURE, quantity=1, credits=8, condition="1080p"),
                    Price(unit=U.PRICE_UNIT_PICTURE, quantity=1, credits=6, condition="a"),
                    Price(unit=U.PRICE_UNIT_PICTURE, quantity=1, credits=7, condition="b"),
                ],
            )
        ],
    ),
    Model(
        model="eleven_v3",
        rules=[
            OperationRules(
                operation=O.OPERATION_TEXT_TO_SPEECH,
                voices=[f"voice-{number}" for number in range(9)],
                prices=[Price(unit=U.PRICE_UNIT_CHARACTER, quantity=50, credits=1)],
            )
        ],
    ),
    Model(
        model="sounds",
        rules=[
            OperationRules(
                operation=O.OPERATION_SOUND_EFFECT,
                duration_min_seconds=0.5,
                duration_max_seconds=30,
                prices=[Price(unit=U.PRICE_UNIT_SECOND, quantity=1, credits=1)],
            ),
            OperationRules(operation=O.OPERATION_VIDEO_TO_AUDIO, duration_min_seconds=0.1),
            OperationRules(operation=99, roles=[98], source_max_seconds=40, prices=[Price(unit=97, credits=2)]),
        ],
    ),
]


async def test_models_are_listed_by_kind_with_inputs_bounds_and_prices(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    service.answers["ListModels"] = [ListModelsResponse(models=MODELS)] * 2

    listed = await evergreen("models", "--kind", "image")
    told = await evergreen("models", "--output", "json")

    assert [re.split(" {2,}", line) for line in listed.stdout.splitlines()] == [
        ["MODEL", "OPERATION", "TAKES", "CHOICES", "SECONDS", "CREDITS"],
        [
            *("gen4_image", "text to image", "prompt ≤ 1,000, reference ≤ 3", "1280:720", "-"),
            "5 per picture (720p); 8 per picture (1080p); 6 per picture (a) (+1)",
        ],
        [
            *("eleven_v3", "text to speech", "-", "voice-0 voice-1 voice-2 voice-3 voice-4 voice-5 (+3)", "-"),
            "1 per 50 characters",
        ],
        ["sounds", "sound effect", "-", "-", "0.5-30", "1 per second"],
        ["sounds", "video to audio", "-", "-", "≥ 0.1", "unknown"],
        ["sounds", "99", "98", "-", "source ≤ 40", "2 per 97"],
    ]
    assert [line["model"] for line in told.lines] == ["gen4_image", "eleven_v3", "sounds"]
    assert [list(each.kinds) for each in service.requests["ListModels"]] == [
        [MediaKind.MEDIA_KIND_IMAGE],
        list(ALL_KINDS),
    ]
