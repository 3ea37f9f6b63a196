"""What is wrong with a request: every fault is named at once, at its field, with what is allowed; nothing is kept."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.v1 import scene_pb2, video_pb2
from tests.rpc.refusals import assert_nothing_left, invalid
from tests.serving import Api, Control, first_frame, request

BAD_IDS = (
    "../x",
    "/abs",
    "a/b",
    "..",
    "a\\b",
    "a\0b",
    "NUL",
    "con",
    "CON",
    "LPT9",
    "x" * 300,
    "",
    " a",
    "-a",
    "ä",
    "a.b",
)
RECENT, MINUTE = Timestamp(seconds=1_600_000_000), timedelta(minutes=1)

NOT_TAKEN: list[tuple[dict[str, object], str, str]] = [
    ({"prompt_text": ""}, "prompt_text", "1 to 1000 UTF-16"),
    ({"model": ""}, "model", "gen4_turbo, "),
    ({"model": "gen9"}, "model", "veo3.1_fast, "),
    ({"ratio": ""}, "ratio", "1280:720, 720:1280"),
    ({"ratio": "1104:832"}, "ratio", "1280:720, 720:1280"),
    ({"model": "veo3.1", "duration_seconds": 5}, "duration_seconds", "4, 6, 8"),
    ({"duration_seconds": 1}, "duration_seconds", "from 2 to 10"),
    ({"duration_seconds": 0}, "duration_seconds", "from 2 to 10"),
    ({"seed": 4_294_967_296}, "seed", "from 0 to 4294967295"),
    ({"resolution": "720p"}, "resolution", "ratio"),
    ({"options": {"motion": 1}}, "options.motion", "outputFormat"),
    ({"options": {"seed": 1}}, "options.seed", "use seed"),
    ({"options": {"outputFormat": "https://example.com/a"}}, "options.outputFormat", "media"),
    (
        {"options": {"contentModeration": {"publicFigureThreshold": "none"}}},
        "options.contentModeration.publicFigureThreshold",
        "auto, low",
    ),
    ({"options": {"proresProfile": float("nan")}}, "options.proresProfile", "422 HQ"),
    ({"options": {"audio": float("inf")}, "model": "veo3.1", "duration_seconds": 4}, "options.audio", "true or false"),
    ({"options": {"contentModeration": None}}, "options.contentModeration", "publicFigureThreshold"),
    ({"options": {"contentModeration": [1, {"a": [True]}]}}, "options.contentModeration", "publicFigureThreshold"),
    ({"model": "gen4_turbo"}, "media", "image_to_video"),
    ({"model": "aleph2", "ratio": "", "duration_seconds": None}, "media", "video_to_video"),
]
OUT_OF_BOUNDS: list[tuple[dict[str, object], set[str]]] = [
    ({"labels": {f"label-{number}": "" for number in range(33)}}, {"labels"}),
    ({"labels": {"x" * 64: ""}}, {f"labels[{'x' * 63}]"}),
    ({"labels": {"name": "x" * 256}}, {"labels[name]"}),
    ({"priority": -101}, {"priority"}),
    ({"max_attempts": -1}, {"max_attempts"}),
    ({"max_credits": 0}, {"max_credits"}),
    ({"max_credits": float("nan")}, {"max_credits"}),
    ({"max_credits": float("inf")}, {"max_credits"}),
    ({"on_unknown_submission": 3}, {"on_unknown_submission"}),
    ({"start_by": RECENT}, {"start_by"}),
    ({"finish_by": RECENT}, {"finish_by"}),
    ({"start_by": Timestamp(seconds=1 << 60), "finish_by": Timestamp(nanos=-5)}, {"start_by", "finish_by"}),
    ({"request_id": ""}, {"request_id"}),
    ({"request_id": "x" * 129}, {"request_id"}),
    ({"request_id": "a/b"}, {"request_id"}),
    ({"request_id": "a\n"}, {"request_id"}),
]
JPEG = b"\xff\xd8\xff"
UNUSABLE: list[tuple[video_pb2.Media, str, str]] = [
    (video_pb2.Media(data=b"x"), "media[0].role", "FIRST_FRAME, "),
    (video_pb2.Media(data=b"x", role=99), "media[0].role", "FIRST_FRAME, "),
    (video_pb2.Media(role=video_pb2.MEDIA_ROLE_FIRST_FRAME), "media[0]", "uri, data, asset"),
    (video_pb2.Media(data=b"", role=video_pb2.MEDIA_ROLE_FIRST_FRAME), "media[0].data", "0 bytes"),
    (video_pb2.Media(asset="../a.png", role=video_pb2.MEDIA_ROLE_FIRST_FRAME), "media[0].asset", "images"),
    (video_pb2.Media(asset="images/../a", role=video_pb2.MEDIA_ROLE_FIRST_FRAME), "media[0].asset", "asset name"),
    (video_pb2.Media(data=JPEG, role=video_pb2.MEDIA_ROLE_FIRST_FRAME, at_seconds=1), "media[0].at_seconds", "KEY"),
]


async def test_every_fault_of_a_request_is_named_at_once_with_what_is_allowed(
    api: Api, sandbox: Control, tmp_path: Path
) -> None:
    wrong = request(
        project_id="../x",
        scene_id="CON",
        request_id="no spaces",
        prompt_text="",
        ratio="16:9",
        duration_seconds=11,
        seed=-1,
        options={"sharpness": 3},
        media=[video_pb2.Media(role=video_pb2.MEDIA_ROLE_LAST_FRAME, uri="ftp://example.com/a.png")],
        max_credits=-1,
        max_attempts=11,
        priority=101,
        labels={"": "empty"},
        start_by=RECENT,
        finish_by=RECENT,
        on_unknown_submission=7,
    )

    faults = await invalid(api.video.GenerateVideo(wrong))

    allowed = {
        "project_id": "A-Z",
        "scene_id": "CON",
        "request_id": "1 to 128",
        "prompt_text": "1 to 1000 UTF-16",
        "ratio": "1280:720",
        "duration_seconds": "from 2 to 10",
        "seed": "from 0 to 4294967295",
        "options.sharpness": "contentModeration",
        "media": "FIRST_FRAME",
        "media[0].uri": "https://",
        "media[0].role": "FIRST_FRAME",
        "max_credits": "1000000000",
        "max_attempts": "1 to 10",
        "priority": "-100 to 100",
        "labels[]": "1 to 63",
        "start_by": "future",
        "finish_by": "future",
        "on_unknown_submission": "ASK",
    }
    assert set(faults) == set(allowed)
    for field, text in allowed.items():
        assert text in faults[field], (field, faults[field])
    await assert_nothing_left(api, sandbox, tmp_path / "data")


async def test_what_the_model_does_not_take_is_refused_with_what_it_takes(
    api: Api, sandbox: Control, tmp_path: Path
) -> None:
    for fields, field, allowed in NOT_TAKEN:
        faults = await invalid(api.video.GenerateVideo(request(**fields)))

        assert set(faults) == {field}, fields
        assert allowed in faults[field], faults
    await assert_nothing_left(api, sandbox, tmp_path / "data")


@pytest.mark.parametrize(("model", "units"), [("gen4.5", 1000), ("veo3.1", 1000), ("seedance2", 3500)])
async def test_a_prompt_is_measured_in_utf_16_units(api: Api, model: str, units: int) -> None:
    def asked(prompt: str) -> Awaitable[object]:
        return api.video.GenerateVideo(request(model=model, duration_seconds=4, prompt_text=prompt, validate_only=True))

    rockets = "\N{ROCKET}" * (units // 2)  # two units, four bytes, one character each

    await asked(rockets)
    faults = await invalid(asked(rockets + "!"))
    also = await invalid(asked("é" * (units + 1)))

    assert set(faults) == set(also) == {"prompt_text"}
    assert str(units) in faults["prompt_text"]


async def test_a_prompt_may_be_empty_where_the_model_allows_that(api: Api) -> None:
    answer = await api.video.GenerateVideo(
        request(model="gen4_turbo", prompt_text="", media=[first_frame()], validate_only=True)
    )

    assert answer.estimated_credits == 10


async def test_an_id_that_is_no_name_is_refused_wherever_it_is_given(
    api: Api, sandbox: Control, tmp_path: Path
) -> None:
    calls: list[tuple[str, Callable[[str], Awaitable[object]]]] = [
        ("project_id", lambda bad: api.video.GenerateVideo(request(project_id=bad))),
        ("scene_id", lambda bad: api.video.GenerateVideo(request(scene_id=bad))),
        ("project_id", lambda bad: api.scene.CreateScene(scene_pb2.CreateSceneRequest(project_id=bad, scene_id="s"))),
        ("scene_id", lambda bad: api.scene.CreateScene(scene_pb2.CreateSceneRequest(project_id="p", scene_id=bad))),
        ("project_id", lambda bad: api.scene.GetScene(scene_pb2.GetSceneRequest(project_id=bad, scene_id="s"))),
        ("scene_id", lambda bad: api.scene.GetScene(scene_pb2.GetSceneRequest(project_id="p", scene_id=bad))),
        ("project_id", lambda bad: api.scene.ListScenes(scene_pb2.ListScenesRequest(project_id=bad))),
        ("project_id", lambda bad: _first(api.video.WatchProgress(video_pb2.WatchProgressRequest(project_id=bad)))),
    ]
    filters: list[tuple[str, Callable[[str], Awaitable[object]]]] = [
        ("project_id", lambda bad: api.video.ListVideos(video_pb2.ListVideosRequest(project_id=bad))),
        ("scene_id", lambda bad: api.video.ListVideos(video_pb2.ListVideosRequest(project_id="p", scene_id=bad))),
    ]
    for bad in BAD_IDS:
        # As a filter, the empty id stands for all of them.
        for field, call in calls + (filters if bad else []):
            async with asyncio.timeout(60):
                faults = await invalid(call(bad))
            assert set(faults) == {field}, bad

    await assert_nothing_left(api, sandbox, tmp_path / "data")


async def test_both_ids_of_a_scene_are_named_at_once(api: Api) -> None:
    faults = await invalid(api.scene.CreateScene(scene_pb2.CreateSceneRequest(project_id="a/b", scene_id="")))

    assert set(faults) == {"project_id", "scene_id"}


async def test_what_is_out_of_its_bounds_is_refused(api: Api, sandbox: Control, tmp_path: Path) -> None:
    for fields, named in OUT_OF_BOUNDS:
        faults = await invalid(api.video.GenerateVideo(request(**fields)))

        assert set(faults) == named, fields
    await assert_nothing_left(api, sandbox, tmp_path / "data")


async def test_the_outermost_allowed_values_are_accepted(api: Api) -> None:
    soon = Timestamp()
    soon.FromDatetime(datetime.now(UTC) + MINUTE)

    answer = await api.video.GenerateVideo(
        request(
            project_id="p" * 63,
            scene_id="S_" + "-" * 61,
            request_id="A.b_c:d-" * 16,
            duration_seconds=10,
            seed=4_294_967_295,
            labels={f"{number:063}": "x" * 255 for number in range(32)},
            priority=-100,
            max_attempts=10,
            max_credits=120,
            start_by=soon,
            finish_by=soon,
            validate_only=True,
        )
    )

    assert answer.estimated_credits == 120


async def test_an_input_that_cannot_be_used_is_named(api: Api, sandbox: Control, tmp_path: Path) -> None:
    for media, field, text in UNUSABLE:
        faults = await invalid(api.video.GenerateVideo(request(model="gen4_turbo", media=[media])))

        assert set(faults) == {field}, media
        assert text in faults[field], faults
    await assert_nothing_left(api, sandbox, tmp_path / "data")


async def test_a_video_is_not_taken_inline(api: Api, sandbox: Control, tmp_path: Path) -> None:
    video = video_pb2.Media(data=b"\0\0\0\x18ftypmp42", role=video_pb2.MEDIA_ROLE_SOURCE_VIDEO)
    fields = {"model": "aleph2", "ratio": "", "duration_seconds": None, "media": [video]}

    faults = await invalid(api.video.GenerateVideo(request(**fields)))

    assert set(faults) == {"media[0].data"}
    assert "uri" in faults["media[0].data"]
    await assert_nothing_left(api, sandbox, tmp_path / "data")


async def test_inline_data_over_3_mib_in_all_is_refused(api: Api, sandbox: Control, tmp_path: Path) -> None:
    half = 3 * 512 * 1024
    media = [
        video_pb2.Media(data=JPEG + fill * (size - len(JPEG)), role=role)
        for fill, size, role in (
            (b"a", half, video_pb2.MEDIA_ROLE_FIRST_FRAME),
            (b"b", half + 1, video_pb2.MEDIA_ROLE_LAST_FRAME),
        )
    ]

    faults = await invalid(api.video.GenerateVideo(request(model="veo3.1", duration_seconds=4, media=media)))

    assert set(faults) == {"media"}
    assert str(3 * 1024 * 1024) in faults["media"]
    await assert_nothing_left(api, sandbox, tmp_path / "data")


async def _first(stream: Awaitable[object]) -> object:
    async for message in stream:
        return message
    return None
