"""Requests that no honest caller sends: each is refused at once, in words that fit any proxy, and nobody waits."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from evergreen.v1 import scene_pb2, video_pb2
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.rpc.messages.judging import MOST_ITEMS
from evergreen_server.rpc.status import status_of
from evergreen_server.rpc.trailers import STATUS_BYTES, fitted
from tests.rpc.refusals import invalid, metadata_of, refusal
from tests.rpc.test_errors import size_on_the_wire
from tests.serving import Api, detail_of, open_sandbox, reason_of, request, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUL = "must not have the character U+0000"
TOO_MANY = f"at most {MOST_ITEMS} items"
JOB = "0198c2d4-0000-7000-8000-000000000000"
SCENE = {"project_id": "film", "scene_id": "one"}
ATTACH = video_pb2.SUBMISSION_RESOLUTION_ATTACH
Media = video_pb2.Media
FIRST = video_pb2.MEDIA_ROLE_FIRST_FRAME
SECONDS_OF_OTHERS = 10.0
"""How long another call may wait meanwhile, on a busy machine: judging takes milliseconds, and took 20 seconds."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with (
        open_sandbox() as sandbox,
        serving(tmp_path_factory.mktemp("requests") / "data", sandbox.url) as opened,
    ):
        yield opened


def path_of(message: Message) -> str:
    """The method that takes a message."""
    name = message.DESCRIPTOR.name.removesuffix("Request")
    service = "VideoService" if message.DESCRIPTOR.file.name.endswith("video.proto") else "SceneService"
    return f"/evergreen.v1.{service}/{name}"


async def answer(api: Api, message: Message) -> None:
    """Sends a message to its method and reads the first answer, through no stub that would look at it."""
    path, data = path_of(message), message.SerializeToString()
    if isinstance(message, video_pb2.WatchProgressRequest | scene_pb2.DownloadAssetRequest):
        await api.channel.unary_stream(path)(data, timeout=60).read()
    elif isinstance(message, scene_pb2.UploadAssetRequest):
        await api.channel.stream_unary(path)(iter([data]), timeout=60)
    else:
        await api.channel.unary_unary(path)(data, timeout=60)


def nested(depth: int, value: object) -> Mapping[str, object]:
    for _ in range(depth):
        value = {"a": [value]}
    return {"deep": value}


ZEROS: list[tuple[Message, str]] = [
    (video_pb2.GetStatusRequest(job_id="\0"), "job_id"),
    (video_pb2.GetStatusRequest(job_id=f"{JOB}\0"), "job_id"),
    (video_pb2.CancelVideoRequest(job_id=f"\0{JOB}"), "job_id"),
    (video_pb2.ResolveSubmissionRequest(job_id="a\0b", resolution=ATTACH, provider_task_id=JOB), "job_id"),
    (
        video_pb2.ResolveSubmissionRequest(job_id=JOB, resolution=ATTACH, provider_task_id=f"{JOB}\0"),
        "provider_task_id",
    ),
    (video_pb2.WatchProgressRequest(job_ids=[JOB, f"{JOB}\0"]), "job_ids[1]"),
    (video_pb2.WatchProgressRequest(project_id="film\0"), "project_id"),
    (video_pb2.ListVideosRequest(project_id="film\0"), "project_id"),
    (video_pb2.ListVideosRequest(project_id="film", scene_id="\0"), "scene_id"),
    (video_pb2.ListVideosRequest(project_id="film", page_token="\0"), "page_token"),
    (video_pb2.GetAccountRequest(project_id="\0film"), "project_id"),
    (scene_pb2.CreateSceneRequest(project_id="film", scene_id="one\0"), "scene_id"),
    (scene_pb2.GetSceneRequest(project_id="film\0", scene_id="one"), "project_id"),
    (scene_pb2.ListScenesRequest(project_id="film", page_token="a\0"), "page_token"),
    (scene_pb2.ListScenesRequest(project_id="\0"), "project_id"),
    (scene_pb2.DeleteSceneRequest(project_id="film", scene_id="\0"), "scene_id"),
    (scene_pb2.DownloadAssetRequest(**SCENE, path="images/a\0.png"), "path"),
    (scene_pb2.DeleteAssetRequest(**SCENE, path="images/\0"), "path"),
    (scene_pb2.GetAssetUrlRequest(**SCENE, path="images/a.png\0"), "path"),
    (scene_pb2.UploadAssetRequest(info=scene_pb2.UploadInfo(**SCENE, path="images/a\0")), "info.path"),
    (scene_pb2.UploadAssetRequest(info={**SCENE, "path": "images/a", "content_type": "a/b\0"}), "info.content_type"),
    (request(prompt_text="a rocket\0"), "prompt_text"),
    (request(prompt_text="\0" * 500), "prompt_text"),
    (request(model="gen4.5\0"), "model"),
    (request(ratio="\0"), "ratio"),
    (request(resolution="720p\0"), "resolution"),
    (request(request_id="a\0"), "request_id"),
    (request(project_id="\0"), "project_id"),
    (request(scene_id="one\0"), "scene_id"),
    (request(labels={"team\0": "x"}), "labels[team\\0]"),
    (request(labels={"team": "x\0"}), "labels[team]"),
    (request(media=[Media(uri="https://example.com/\0.png", role=FIRST)]), "media[0].uri"),
    (request(media=[Media(data=b"\0", role=FIRST), Media(asset="images/\0", role=FIRST)]), "media[1].asset"),
    (request(options={"style": "\0"}), "options.style"),
    (request(options={"style\0": 1}), "options.style\\0"),
    (request(options={"segments": [{"prompt": "a"}, {"prompt": "\0"}]}), "options.segments[1].prompt"),
    (request(options={"segments": [{"a": {"b\0": 1}}]}), "options.segments[0].a.b\\0"),
    (request(options=nested(10, "\0")), "options.deep" + ".a[0]" * 10),
]


@pytest.mark.parametrize(("message", "field"), ZEROS, ids=range(len(ZEROS)))
async def test_a_text_with_a_zero_byte_is_named_before_anything_is_asked(
    api: Api, caplog: pytest.LogCaptureFixture, message: Message, field: str
) -> None:
    assert await invalid(answer(api, message)) == {field: NUL}
    # The sum of what was refused may come from a test before.
    assert {record.name for record in caplog.records} <= {"evergreen_server.rpc.refusals"}


NO_IDS = ("", "../x", "a b", "x" * 64, "x" * 1_000_000, "\N{ROCKET}" * 1000, "'; --", "%00", "\ufffe", "scene", "NUL")


@pytest.mark.parametrize("job_id", NO_IDS, ids=range(len(NO_IDS)))
async def test_what_can_be_no_job_id_is_not_found(api: Api, job_id: str) -> None:
    for message in (
        video_pb2.GetStatusRequest(job_id=job_id),
        video_pb2.CancelVideoRequest(job_id=job_id),
        video_pb2.ResolveSubmissionRequest(job_id=job_id, resolution=ATTACH, provider_task_id=JOB),
        video_pb2.WatchProgressRequest(job_ids=[job_id]),
    ):
        error = await refusal(answer(api, message))

        assert (error.code(), reason_of(error)) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
        assert size_on_the_wire(error) <= STATUS_BYTES


QUEUED = video_pb2.JOB_STATE_QUEUED
COUNTS: list[tuple[Message, str]] = [
    (request(media=[Media(uri="https://example.com/a.png", role=FIRST)] * 10_000), "media"),
    (request(media=[Media(role=99)] * 200_000), "media"),
    (request(media=[Media(asset="images/a.png", role=video_pb2.MEDIA_ROLE_REFERENCE)] * 10_000), "media"),
    (request(media=[Media(data=bytes([n % 251]), role=FIRST) for n in range(20_000)]), "media"),
    (request(labels={f"label-{number}": "x" for number in range(50_000)}), "labels"),
    (request(options={f"option-{number}": 1 for number in range(10_000)}), "options"),
    (request(options={f"option-{number}": "https://example.com" for number in range(10_000)}), "options"),
    (request(options={"segments": [{"prompt": "a", "duration": 3}] * 10_000}), "options"),
    (request(options={"a": {f"{number}": {} for number in range(50_000)}}), "options"),
    (request(options={"a": [[1] * 900] * 300}), "options"),
    (request(options={f"{number}": [0] * 300 for number in range(900)}), "options"),
    (request(options=nested(10, [0] * 100_000)), "options"),
    (video_pb2.ListVideosRequest(states=[77] * 10_000), "states"),
    (video_pb2.ListVideosRequest(states=[QUEUED] * 300_000), "states"),
    (video_pb2.ListVideosRequest(states=[QUEUED] * 3_000_000), "states"),
    (video_pb2.WatchProgressRequest(job_ids=[JOB] * 1001), "job_ids"),
    (video_pb2.WatchProgressRequest(job_ids=[JOB] * 50_000), "job_ids"),
    (video_pb2.WatchProgressRequest(job_ids=[""] * 500_000), "job_ids"),
]


@pytest.mark.parametrize(("message", "field"), COUNTS, ids=range(len(COUNTS)))
async def test_too_many_of_anything_is_refused_before_one_is_looked_at(api: Api, message: Message, field: str) -> None:
    call = asyncio.ensure_future(invalid(answer(api, message)))
    begun = time.monotonic()
    while not call.done():
        await asyncio.wait_for(refusal(api.status(JOB)), 60)
        took, begun = time.monotonic() - begun, time.monotonic()

        assert took < SECONDS_OF_OTHERS

    assert set(await call) == {field}


async def test_as_many_as_may_be_told_of_are_told_of(api: Api) -> None:
    refusals = [
        await refusal(api.video.GenerateVideo(request(media=[Media(role=99)] * count))) for count in (1, 30, 1000)
    ]

    assert [metadata_of(error).get("faults") for error in refusals] == [None, "30", "1000"]
    assert str(refusals[2].details()).endswith("more")


NUMBERS: list[tuple[dict[str, object], str]] = [
    ({"options": {"providerSettings": {"multiPrompt": [{"prompt": "a", "duration": number}] * 3}}}, "multiPrompt")
    for number in (1e308, -1e308, float("inf"), float("-inf"), float("nan"), 1e16, 2.0**53 + 2, -0.0, 5e-324)
] + [
    ({"options": {"cfgScale": number}}, "cfgScale") for number in (1e308, -1e308, float("inf"), float("nan"), 1e17)
]  # fmt: skip


@pytest.mark.parametrize(("fields", "name"), NUMBERS, ids=range(len(NUMBERS)))
async def test_a_number_beyond_all_bounds_is_the_callers_fault(
    api: Api, fields: dict[str, object], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    named = await invalid(
        api.video.GenerateVideo(request(model="kling3.0_pro", ratio="1280:720", duration_seconds=5, **fields))
    )

    assert any(name in field for field in named), named
    assert caplog.records == []


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff",
        b"\x0a\x02\xff\xfe",  # not UTF-8
        b"\x0a\x03\xed\xa0\x80",  # a lone surrogate
        b"\x0a\xff\xff\xff\xff\x0f",  # longer than it is
        b"\x0b" * 200,  # groups in groups
        b"\x72" * 4000,
    ],
    ids=range(6),
)
async def test_bytes_that_are_no_message_are_the_callers_fault(api: Api, data: bytes) -> None:
    for method in ("VideoService/GetStatus", "VideoService/GenerateVideo", "SceneService/GetScene"):
        await invalid(api.channel.unary_unary(f"/evergreen.v1.{method}")(data))


async def test_options_deeper_than_protobuf_reads_are_refused(api: Api) -> None:
    # By hand, since no library writes them: a Struct in a Struct, three messages for each.
    value = b""
    for _ in range(2000):
        value = b"\x2a" + _length(value) + value  # Value.struct_value
        value = b"\x0a\x01a\x12" + _length(value) + value  # an entry's key and value
        value = b"\x0a" + _length(value) + value  # Struct.fields
    options = video_pb2.GenerateVideoRequest.DESCRIPTOR.fields_by_name["options"].number
    data = _length_of_tag(options) + _length(value) + value

    await invalid(api.channel.unary_unary("/evergreen.v1.VideoService/GenerateVideo")(data))


def _length(data: bytes) -> bytes:
    size, out = len(data), bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*out, size])


def _length_of_tag(number: int) -> bytes:
    tag, out = number << 3 | 2, bytearray()
    while tag > 0x7F:
        out.append(tag & 0x7F | 0x80)
        tag >>= 7
    return bytes([*out, tag])


@pytest.mark.parametrize("count", [1, 2, 3, 8, 16, 24, 60, 61, 300, 1000])
@pytest.mark.parametrize(
    "fault",
    [
        FieldError(field="media[0].role", description="required: one of FIRST_FRAME, LAST_FRAME"),
        FieldError(field="labels[" + "ü" * 63 + "]", description="a name may have 1 to 63 characters, a value 255"),
        FieldError(field="\N{ROCKET}" * 500, description="\N{ROCKET}" * 5000),
        FieldError(field="", description="x" * 100_000),
        FieldError(field="%" * 300, description="\n%" * 3000),
    ],
    ids=["usual", "accents", "rockets", "long", "escaped"],
)
async def test_any_number_of_faults_fits_into_what_proxies_take(count: int, fault: FieldError) -> None:
    field_errors = [
        FieldError(field=f"{fault.field}{number}", description=fault.description) for number in range(count)
    ]

    text, ((name, packed),) = fitted(status_of(InvalidRequest(field_errors)))

    told = error_details_pb2.BadRequest()
    details = error_details_pb2.ErrorInfo()
    rich = error_status(packed)
    assert rich.message == text
    assert rich.details[0].Unpack(details)
    assert rich.details[1].Unpack(told)
    assert len(name) + 4 * -(-len(packed) // 3) + len(percent(text)) + 76 <= STATUS_BYTES
    assert 1 <= len(told.field_violations) <= count
    assert ("faults" in details.metadata) is (len(told.field_violations) < count)
    assert len(told.field_violations) == count or details.metadata["faults"] == str(count)


def error_status(packed: bytes) -> status_pb2.Status:
    return status_pb2.Status.FromString(packed)


def percent(text: str) -> str:
    """A text as gRPC sends it."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x25 else f"%{byte:02X}" for byte in text.encode())


async def test_a_token_of_a_page_is_bounded_like_all_else(api: Api) -> None:
    for token in ("A" * 3_000_000, "=" * 100_000, "\N{ROCKET}" * 100_000):
        videos = video_pb2.ListVideosRequest(project_id="film", page_token=token)
        scenes = scene_pb2.ListScenesRequest(project_id="film", page_token=token)

        assert set(await invalid(answer(api, videos))) == set(await invalid(answer(api, scenes))) == {"page_token"}


@pytest.mark.parametrize(("letters", "code"), [(10_000, "OK"), (20_000, "RESOURCE_EXHAUSTED")])
async def test_a_trace_as_long_as_a_page_is_ignored_or_refused_and_never_by_chance(
    api: Api, letters: int, code: str
) -> None:
    call, trace = video_pb2.ListModelsRequest(), (("traceparent", "a" * letters),)

    codes = [await api.video.ListModels(call, metadata=trace).code() for _ in range(30)]

    assert {each.name for each in codes} == {code}
    assert (await api.video.ListModels(call)).models


async def test_the_refused_leave_nothing(api: Api) -> None:
    assert list((await api.video.ListVideos(video_pb2.ListVideosRequest())).jobs) == []
    assert detail_of(await refusal(api.status(JOB)), error_details_pb2.ErrorInfo()).domain == "evergreen.v1"
