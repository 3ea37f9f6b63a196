"""The log tells the story: each transition of a job and of a film once, who asked for what, and no secret."""

import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import film_pb2, scene_pb2, video_pb2
from evergreen_server.runtime.logs import FactsFormatter
from tests.rpc.films import film_until, plan_request, start_request
from tests.rpc.identities import Tokens, bearer
from tests.serving import SAMPLES, Api, Control, request, serving

PROMPT = "whisper of the fjord"
TRACE = "0af7651916cd43dd8448eb211c80319c"
ASKED = {"caller": "ann", "call_id": "from-ann", "trace_id": TRACE, "address": "127.0.0.1"}


@pytest.fixture
def token(tmp_path: Path) -> str:
    return Tokens(tmp_path / "tokens").give("ann", projects=(), rights="read write approve admin")


@pytest.fixture
async def api(tmp_path: Path, sandbox: Control, token: str, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Api]:
    caplog.set_level(logging.INFO, "evergreen_server")
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_TOKENS_FILE=str(tmp_path / "tokens")) as opened:
        metadata = (*bearer(token), ("x-request-id", "from-ann"), ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"))
        async with grpc.aio.insecure_channel(opened.address, interceptors=[*_as(metadata)]) as channel:
            yield Api(channel, opened.address)


def _as(metadata: Sequence[tuple[str, str]]) -> Sequence[grpc.aio.ClientInterceptor]:
    """Interceptors by which every call of a channel has some metadata."""

    class Unary(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation, details, message):
            return await continuation(details._replace(metadata=metadata), message)

    class Watch(grpc.aio.UnaryStreamClientInterceptor):
        async def intercept_unary_stream(self, continuation, details, message):
            return await continuation(details._replace(metadata=metadata), message)

    class Upload(grpc.aio.StreamUnaryClientInterceptor):
        async def intercept_stream_unary(self, continuation, details, messages):
            return await continuation(details._replace(metadata=metadata), messages)

    return Unary(), Watch(), Upload()


class Story:
    """What was logged so far."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        found = [*caplog.get_records("setup"), *caplog.get_records("call")]
        self.records = [vars(record) for record in found]
        self.text = "\n".join(FactsFormatter("json").format(record) for record in found)

    def of(self, name: str, value: str) -> list[str]:
        """The events with this fact, of jobs or films."""
        return [
            record["msg"]
            for record in self.records
            if record.get(name) == value and str(record["msg"]).startswith(("job ", "film "))
        ]

    def facts(self, event: str, *names: str, **where: str) -> dict[str, object]:
        [record] = [each for each in self.records if each["msg"] == event and where.items() <= each.items()]
        return {name: record.get(name) for name in names or ASKED}


async def test_the_log_of_a_batch_tells_each_transition_once_and_no_secret(
    api: Api, sandbox: Control, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Long enough for a poll to find it running, and by state until then.
    await sandbox.settings(task_mean_seconds=60.0)
    await sandbox.fault("failure", failureCode="SAFETY.INPUT.TEXT", message=PROMPT, prompt="refused")
    good = await api.generate(prompt_text=PROMPT)
    await api.until(good.job_id, video_pb2.JOB_STATE_RUNNING, stage=video_pb2.JOB_STAGE_GENERATING)
    bad = await api.generate(prompt_text=f"{PROMPT} refused")
    again = request(prompt_text=PROMPT, request_id="order-1")
    gone = (await api.video.GenerateVideo(again)).job
    assert (await api.video.GenerateVideo(again)).job.job_id == gone.job_id
    for _ in range(2):
        await api.video.CancelVideo(video_pb2.CancelVideoRequest(job_id=gone.job_id))
    data = (SAMPLES / "rocket.jpg").read_bytes()
    where = {"project_id": "film", "scene_id": "files"}
    info = scene_pb2.UploadInfo(**where, path="images/rocket.jpg")
    parts = [scene_pb2.UploadAssetRequest(info=info), scene_pb2.UploadAssetRequest(chunk=data)]
    await api.scene.UploadAsset(iter(parts))
    await api.scene.DeleteAsset(scene_pb2.DeleteAssetRequest(**where, path="images/rocket.jpg"))
    await api.scene.DeleteScene(scene_pb2.DeleteSceneRequest(**where))
    with pytest.raises(grpc.aio.AioRpcError):
        await api.generate(prompt_text=PROMPT, model=PROMPT)
    async with grpc.aio.insecure_channel(api.address) as stranger:
        with pytest.raises(grpc.aio.AioRpcError):
            await Api(stranger, api.address).video.ListModels(
                video_pb2.ListModelsRequest(), metadata=bearer("evg_sesame")
            )
    for job in (good, bad, gone):
        await api.finished(job.job_id)

    story = Story(caplog)
    begun = ["job accepted", "job submitting", "job submitted", "job generating"]
    told = story.of("job_id", good.job_id)
    assert sorted(told) == sorted([*begun, "job delivering", "job delivered"])
    assert told[0] == "job accepted"
    assert told[-2:] == ["job delivering", "job delivered"]
    assert story.of("job_id", bad.job_id)[-1] == "job failed"
    assert story.of("job_id", bad.job_id).count("job failed") == 1
    assert story.facts("job failed", "reason", "project_id", job_id=bad.job_id)["project_id"] == "film"
    assert story.facts("job failed", "reason", job_id=bad.job_id)["reason"]
    cancelled = story.of("job_id", gone.job_id)
    assert [cancelled.count(event) for event in ("job accepted", "job cancelling", "job cancelled")] == [1, 1, 1]
    for event, place in (
        ("job accepted", {"job_id": good.job_id}),
        ("job cancelling", {"job_id": gone.job_id}),
        ("asset uploaded", {"path": "images/rocket.jpg"}),
        ("asset deleted", {"path": "images/rocket.jpg"}),
        ("scene deleted", {"scene_id": "files"}),
        ("request refused", {"reason": "INVALID_REQUEST"}),
    ):
        assert story.facts(event, **place) == ASKED, event
    assert story.facts("request refused", "caller", "address", reason="TOKEN_INVALID") == {
        "caller": None,
        "address": "127.0.0.1",
    }
    assert story.facts("serving", "tokens", "tls") == {"tokens": True, "tls": False}
    assert story.facts("serving", "jobs")["jobs"].endswith("/data/state/evergreen.sqlite")
    for secret in (PROMPT, token, "sesame", "signature", "_jwt", "order-1"):
        assert secret not in story.text, secret


async def test_the_log_of_a_film_tells_each_transition_once_and_who_asked(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    script = f"Title: One\n\nINT. ROOM - DAY\n\nA {PROMPT} falls on a chair.\n"
    await api.film.PlanFilm(plan_request(project_id="film", script=script))
    await api.film.StartFilm(start_request("film"))
    await film_until(api, "film", video_pb2.FILM_STATE_SUCCEEDED)
    await api.film.DeleteFilm(film_pb2.DeleteFilmRequest(project_id="film", film_id="movie"))

    story = Story(caplog)
    events = [event for event in story.of("film_id", "movie") if event.startswith("film ")]
    for event in ("film planned", "film started", "film succeeded", "film deleted"):
        assert events.count(event) == 1, events
    for event in ("film planned", "film started", "film deleted"):
        assert story.facts(event, project_id="film") == ASKED, event
    accepted = [record for record in story.records if record["msg"] == "job accepted"]
    assert accepted
    assert {record.get("film_id") for record in accepted} == {"movie"}
    delivered = [record["job_id"] for record in story.records if record["msg"] == "job delivered"]
    assert sorted(delivered) == sorted(record["job_id"] for record in accepted)
    assert PROMPT not in story.text
