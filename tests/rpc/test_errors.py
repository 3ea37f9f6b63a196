"""Every error carries a rich status, in trailers that fit, and tells nothing of the inside."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2

from evergreen.v1 import scene_pb2, video_pb2
from tests.rpc.refusals import Error, files_below, invalid, jobs_of, metadata_of, refusal, retry_seconds
from tests.serving import Api, Control, detail_of, first_frame, reason_of, request

UNKNOWN = "0198c2d4-0000-7000-8000-000000000000"
TRAILERS = 3072


def watch(api: Api, **fields: object) -> Awaitable[object]:
    return api.video.WatchProgress(video_pb2.WatchProgressRequest(**fields)).read()


@contextmanager
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """The database under the running server, opened beside it."""
    with closing(sqlite3.connect(tmp_path / "data" / "state" / "evergreen.sqlite")) as opened, opened:
        yield opened


def size_on_the_wire(error: Error) -> int:
    """The trailers' length as HTTP/2 counts it: binary values in base64, the text with its bytes escaped."""
    fields = [("grpc-message", quote(error.details() or "", safe=" "))]
    fields += [
        (name, value if isinstance(value, str) else "=" * (4 * -(-len(value) // 3)))
        for name, value in error.trailing_metadata() or ()
    ]
    return sum(len(name) + len(value) + 32 for name, value in fields)


async def test_an_unknown_job_is_not_found_by_any_call(api: Api) -> None:
    for job_id in (UNKNOWN, "", "../x", "x" * 1_000_000, "\N{ROCKET}" * 1000):
        calls = (
            api.video.GetStatus(video_pb2.GetStatusRequest(job_id=job_id)),
            api.video.CancelVideo(video_pb2.CancelVideoRequest(job_id=job_id)),
            api.video.ResolveSubmission(
                video_pb2.ResolveSubmissionRequest(
                    job_id=job_id, resolution=video_pb2.SUBMISSION_RESOLUTION_ATTACH, provider_task_id=UNKNOWN
                )
            ),
            watch(api, job_ids=[job_id]),
        )
        for call in calls:
            error = await refusal(call)

            assert (error.code(), reason_of(error)) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
            assert detail_of(error, error_details_pb2.ErrorInfo()).domain == "evergreen.v1"
            assert metadata_of(error)["job_id"][:20] == job_id[:20]
            assert size_on_the_wire(error) < TRAILERS


async def test_an_unknown_scene_and_a_cursor_ahead_are_told_with_their_reasons(api: Api) -> None:
    scene = await refusal(api.scene.GetScene(scene_pb2.GetSceneRequest(project_id="film", scene_id="none")))
    ahead = await refusal(watch(api, project_id="film", after_revision=7))

    assert (scene.code(), reason_of(scene)) == (grpc.StatusCode.NOT_FOUND, "SCENE_NOT_FOUND")
    assert metadata_of(scene) == {"project_id": "film", "scene_id": "none"}
    assert (ahead.code(), reason_of(ahead)) == (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_AHEAD")


async def test_bytes_that_are_no_message_are_the_callers_fault(api: Api) -> None:
    for method in ("VideoService/GenerateVideo", "VideoService/GetStatus", "SceneService/ListScenes"):
        error = await refusal(api.channel.unary_unary(f"/evergreen.v1.{method}")(b"\xff\xff\xff"))

        assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"), method
    stream = api.channel.unary_stream("/evergreen.v1.VideoService/WatchProgress")(b"\x0a\x02\xff\xfe")
    assert (await refusal(stream.read())).code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_provider_that_does_not_answer_is_unavailable_and_worth_another_try(api: Api, sandbox: Control) -> None:
    await sandbox.fault("status", operation="get_organization", status=503, retryAfter=3600, count=None)

    error = await refusal(api.video.GetAccount(video_pb2.GetAccountRequest()))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE")
    assert retry_seconds(error) > 0


async def test_a_refused_key_is_for_the_operator_and_not_worth_another_try(api: Api, sandbox: Control) -> None:
    await sandbox.account(apiKeys=[f"key_{'0' * 128}"])

    error = await refusal(api.video.GetAccount(video_pb2.GetAccountRequest()))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "PROVIDER_UNAUTHORIZED")
    with pytest.raises(AssertionError, match="no RetryInfo"):
        retry_seconds(error)


async def test_a_storage_that_fails_is_unavailable_and_tells_no_path(api: Api, tmp_path: Path) -> None:
    (tmp_path / "data" / "projects").mkdir(exist_ok=True)
    (tmp_path / "data" / "projects" / "film").write_text("a file where a folder should be")

    error = await refusal(api.scene.CreateScene(scene_pb2.CreateSceneRequest(project_id="film", scene_id="s")))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
    assert retry_seconds(error) > 0
    assert str(tmp_path) not in str(error.details())


async def test_a_database_that_fails_is_unavailable_and_the_same_request_works_later(
    api: Api, sandbox: Control, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    same = request(prompt_text="whisper of the fjord", media=[first_frame()])
    with database(tmp_path) as beside:
        beside.execute("ALTER TABLE jobs RENAME TO lost")

    calls = [api.video.GenerateVideo(same), api.video.GetStatus(video_pb2.GetStatusRequest(job_id=UNKNOWN))]
    errors = [await refusal(call) for call in [*calls, watch(api, job_ids=[UNKNOWN])]]
    with database(tmp_path) as beside:
        beside.execute("ALTER TABLE lost RENAME TO jobs")
    job = (await api.video.GenerateVideo(same)).job

    for error in errors:
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
        assert retry_seconds(error) > 0
        assert "jobs" not in str(error.details())
    assert (await api.finished(job.job_id)).state == video_pb2.JOB_STATE_SUCCEEDED
    assert [kept.job_id for kept in await jobs_of(api)] == [job.job_id]
    assert len(await sandbox.tasks()) == 1
    assert "request failed" in caplog.text
    assert "whisper of the fjord" not in caplog.text


@pytest.mark.parametrize(
    "damage", ["state = 'BROKEN-BY-HAND'", "spec = '{broken-by-hand'", "outputs = '[{\"broken_by_hand\": 1}]'"]
)
async def test_what_was_not_expected_leaves_as_internal_with_an_id_and_nothing_else(
    api: Api, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    job = await api.generate()
    await api.finished(job.job_id)
    with database(tmp_path) as beside:
        beside.execute(f"UPDATE jobs SET {damage} WHERE job_id = ?", (job.job_id,))
    calls = (
        api.video.GetStatus(video_pb2.GetStatusRequest(job_id=job.job_id)),
        api.video.ListVideos(video_pb2.ListVideosRequest()),
        api.video.CancelVideo(video_pb2.CancelVideoRequest(job_id=job.job_id)),
        watch(api, job_ids=[job.job_id]),
    )

    errors = [await refusal(call) for call in calls]
    other = await api.generate()

    records = {record.error_id: record for record in caplog.records if record.getMessage() == "internal error"}
    for error in errors:
        assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "internal error")
        assert reason_of(error) == "INTERNAL"
        metadata = metadata_of(error)
        assert set(metadata) == {"error_id"}
        assert records[metadata["error_id"]].exc_info
        assert "roken" not in str(error.trailing_metadata())
    assert len(records) == len(errors)
    assert (await api.finished(other.job_id)).state == video_pb2.JOB_STATE_SUCCEEDED


async def test_hundreds_of_faults_fit_into_the_trailers(api: Api) -> None:
    labels = {f"{number}{'ü' * 70}": "x" * 300 for number in range(500)}
    media = [video_pb2.Media(role=99) for _ in range(500)]
    for fields, number in (
        ({"labels": labels}, 501),
        ({"media": media}, 500),
        ({"labels": labels, "media": media, "project_id": "\N{ROCKET}" * 5000, "model": "x" * 100_000}, None),
        ({"options": {"\N{ROCKET}" * 50_000: 1}}, 1),
        ({"options": {f"option-{number}": "https://example.com" for number in range(1000)}}, 1000),
    ):
        error = await refusal(api.video.GenerateVideo(request(**fields)))

        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert size_on_the_wire(error) < TRAILERS
        told = detail_of(error, error_details_pb2.BadRequest()).field_violations
        assert len(told) == 1 if number == 1 else len(told) >= 8
        # Where not all fit, it is told how many there are.
        assert number in (None, 1) or metadata_of(error) == {"faults": str(number)}


async def test_what_is_allowed_is_told_whole_where_it_fits(api: Api) -> None:
    models = [model.model for model in (await api.video.ListModels(video_pb2.ListModelsRequest())).models]

    faults = await invalid(api.video.GenerateVideo(request(model="gen9")))
    ratios = await invalid(api.video.GenerateVideo(request(model="seedance2", ratio="1:2", duration_seconds=4)))

    assert all(model in faults["model"] for model in models)
    assert "2160:3840" in ratios["ratio"]


async def test_a_refused_call_is_no_error_of_the_service(
    api: Api, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    await refusal(api.video.GenerateVideo(request(seed=-1)))
    await refusal(api.video.GetStatus(video_pb2.GetStatusRequest(job_id=UNKNOWN)))
    await refusal(api.scene.GetAssetUrl(scene_pb2.GetAssetUrlRequest()))
    async with asyncio.timeout(60):
        await refusal(watch(api))

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert files_below(tmp_path / "data" / "projects") == []
