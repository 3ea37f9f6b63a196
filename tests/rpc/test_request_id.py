"""The request_id makes a request safe to repeat; `validate_only` and the limits on credits come before any job."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.v1 import video_pb2, video_pb2_grpc
from tests.rpc.refusals import assert_nothing_left, invalid, jobs_of, metadata_of, refusal
from tests.serving import Api, Control, first_frame, reason_of, request, serving


async def test_the_same_request_again_gives_the_same_job_whatever_became_of_it(api: Api, sandbox: Control) -> None:
    same = request(media=[first_frame()])

    first = await api.video.GenerateVideo(same)
    second = await api.video.GenerateVideo(same)
    await api.finished(first.job.job_id)
    third = await api.video.GenerateVideo(same)

    assert first.job.job_id == second.job.job_id == third.job.job_id
    assert third.job.state == video_pb2.JOB_STATE_SUCCEEDED
    assert first.estimated_credits == third.estimated_credits == 24
    assert len(await sandbox.tasks()) == 1
    assert len(await jobs_of(api)) == 1


async def test_twenty_at_once_over_several_channels_make_one_job_and_one_task(tmp_path: Path, sandbox: Control) -> None:
    same = request(media=[first_frame()])
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(serving(tmp_path / "data", sandbox.url))
        stubs = []
        for number in range(5):
            # Without an option of its own, a channel would share its connection with the others.
            options = [("grpc.use_local_subchannel_pool", 1), ("grpc.primary_user_agent", f"caller-{number}")]
            channel = grpc.aio.insecure_channel(api.address, options=options)
            stubs.append(video_pb2_grpc.VideoServiceStub(await stack.enter_async_context(channel)))

        answers = await asyncio.gather(*(stub.GenerateVideo(same) for stub in stubs for _ in range(4)))
        done = await api.finished(answers[0].job.job_id)

        assert {answer.job.job_id for answer in answers} == {done.job_id}
        assert done.state == video_pb2.JOB_STATE_SUCCEEDED
        assert [job.job_id for job in await jobs_of(api)] == [done.job_id]
    assert len(await sandbox.tasks()) == 1


async def test_another_body_is_refused_naming_the_first_job_before_anything_else_is_judged(
    api: Api, sandbox: Control
) -> None:
    job = await api.generate(request_id="once", media=[first_frame()])

    for change in (
        {"prompt_text": "another"},
        {"labels": {"take": "2"}},
        {"media": [first_frame("coffee.png")]},
        {"model": "gen9"},
        {"scene_id": "../x"},
        {"max_credits": 1},
        {"start_by": Timestamp(seconds=1)},
    ):
        fields: dict[str, object] = {"request_id": "once", "media": [first_frame()], **change}
        error = await refusal(api.video.GenerateVideo(request(**fields)))

        assert (error.code(), reason_of(error)) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"), change
        assert metadata_of(error) == {"job_id": job.job_id}

    await api.finished(job.job_id)
    assert len(await sandbox.tasks()) == 1
    assert [kept.job_id for kept in await jobs_of(api)] == [job.job_id]


async def test_of_twenty_different_bodies_at_once_one_wins_and_the_others_learn_its_job(
    api: Api, sandbox: Control
) -> None:
    calls = [api.video.GenerateVideo(request(request_id="once", prompt_text=f"take {take}")) for take in range(20)]

    answers = await asyncio.gather(*calls, return_exceptions=True)

    (winner,) = [answer for answer in answers if isinstance(answer, video_pb2.GenerateVideoResponse)]
    losers = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(losers) == 19
    assert {reason_of(error) for error in losers} == {"REQUEST_ID_REUSED"}
    assert {metadata_of(error)["job_id"] for error in losers} == {winner.job.job_id}
    await api.finished(winner.job.job_id)
    assert len(await sandbox.tasks()) == 1


async def test_the_same_id_in_another_project_is_another_job(api: Api, sandbox: Control) -> None:
    jobs = [await api.generate(request_id="once", project_id=project) for project in ("one", "two")]

    for job in jobs:
        await api.finished(job.job_id)

    assert jobs[0].job_id != jobs[1].job_id
    assert len(await sandbox.tasks()) == 2


async def test_an_accepted_request_stays_accepted_though_its_times_are_past(
    api: Api, sandbox: Control, tmp_path: Path
) -> None:
    soon = Timestamp()
    soon.FromDatetime(datetime.now(UTC) + timedelta(seconds=0.5))
    # Refused for today, so that the job waits until its time is over.
    await sandbox.fault("status", operation="create", status=429, retryAfter=3600)
    same = request(start_by=soon)
    job = (await api.video.GenerateVideo(same)).job
    expired = await api.until(job.job_id, video_pb2.JOB_STATE_EXPIRED)
    late = request(start_by=soon)

    again = await api.video.GenerateVideo(same)

    assert (again.job.job_id, again.job.state) == (job.job_id, video_pb2.JOB_STATE_EXPIRED)
    assert (expired.error.reason, expired.charged_credits) == ("START_BY_PASSED", 0)
    assert set(await invalid(api.video.GenerateVideo(late))) == {"start_by"}
    assert await sandbox.tasks() == []


async def test_validate_only_quotes_and_keeps_nothing(api: Api, sandbox: Control, tmp_path: Path) -> None:
    fields: dict[str, object] = {"request_id": "free", "media": [first_frame()], "duration_seconds": 5}

    quote = await api.video.GenerateVideo(request(**fields, validate_only=True))
    faults = await invalid(api.video.GenerateVideo(request(**{**fields, "ratio": "1:1"}, validate_only=True)))
    await assert_nothing_left(api, sandbox, tmp_path / "data")
    calls = await sandbox.calls(operation="image_to_video")
    job = await api.generate(request_id="free", prompt_text="the id stayed free")

    assert not quote.HasField("job")
    assert quote.estimated_credits == 60
    assert set(faults) == {"ratio"}
    assert calls == []
    assert (await api.finished(job.job_id)).state == video_pb2.JOB_STATE_SUCCEEDED


async def test_validate_only_of_an_accepted_request_quotes_and_makes_no_second_job(api: Api, sandbox: Control) -> None:
    job = await api.generate(request_id="once")

    answer = await api.video.GenerateVideo(request(request_id="once", validate_only=True))
    await api.finished(job.job_id)

    assert not answer.HasField("job")
    assert answer.estimated_credits == 24
    assert len(await jobs_of(api)) == 1
    assert len(await sandbox.tasks()) == 1


async def test_a_quote_above_max_credits_is_refused_with_the_quote(api: Api, sandbox: Control, tmp_path: Path) -> None:
    dear: dict[str, object] = {"model": "veo3.1", "duration_seconds": 8}

    error = await refusal(api.video.GenerateVideo(request(**dear, max_credits=319.999)))
    asked = await refusal(api.video.GenerateVideo(request(**dear, max_credits=1, validate_only=True)))
    await assert_nothing_left(api, sandbox, tmp_path / "data")
    exact = await api.video.GenerateVideo(request(**dear, max_credits=320, validate_only=True))
    silent = await api.video.GenerateVideo(
        request(**dear, max_credits=160, options={"audio": False}, validate_only=True)
    )

    for refused in (error, asked):
        assert (refused.code(), reason_of(refused)) == (grpc.StatusCode.FAILED_PRECONDITION, "CREDITS_EXCEEDED")
        assert metadata_of(refused) == {"estimated_credits": "320"}
    assert (exact.estimated_credits, silent.estimated_credits) == (320, 160)


async def test_a_limit_on_credits_needs_a_known_price(api: Api, sandbox: Control, tmp_path: Path) -> None:
    models = (await api.video.ListModels(video_pb2.ListModelsRequest())).models
    priced = {model.model: bool(model.prices) for model in models}
    fields: dict[str, object] = {"model": "kling_4", "duration_seconds": 5}

    error = await refusal(api.video.GenerateVideo(request(**fields, max_credits=1000)))
    await assert_nothing_left(api, sandbox, tmp_path / "data")
    answer = await api.video.GenerateVideo(request(**fields, validate_only=True))

    assert priced["gen4.5"]
    assert not priced["kling_4"]
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "PRICE_UNKNOWN")
    assert not answer.HasField("estimated_credits")


async def test_the_list_of_models_tells_of_each_operation(api: Api) -> None:
    models = (await api.video.ListModels(video_pb2.ListModelsRequest())).models
    [veo] = [model for model in models if model.model == "veo3.1"]

    assert [rules.operation for rules in veo.rules] == list(veo.operations)
    assert [rules.prompt_required for rules in veo.rules] == [False, True]
    assert all(rules.prompt_max_utf16 == 1000 and rules.prices == veo.prices for rules in veo.rules)


async def test_models_are_listed_by_what_they_make_and_those_of_clips_if_that_is_not_said(api: Api) -> None:
    async def listed(*kinds: video_pb2.MediaKind.ValueType) -> dict[str, video_pb2.Model]:
        models = (await api.video.ListModels(video_pb2.ListModelsRequest(kinds=kinds))).models
        return {model.model: model for model in models}

    clips, videos = await listed(), await listed(video_pb2.MEDIA_KIND_VIDEO)
    speech, pictures = await listed(video_pb2.MEDIA_KIND_SPEECH), await listed(video_pb2.MEDIA_KIND_IMAGE)

    assert "act_two" in videos.keys() - clips.keys()
    assert all(
        operation <= video_pb2.OPERATION_VIDEO_TO_VIDEO for one in clips.values() for operation in one.operations
    )
    [spoken], [drawn] = speech["eleven_v3"].rules, pictures["gpt_image_2"].rules
    assert (len(spoken.voices), spoken.prices[0].unit, spoken.prices[0].quantity, spoken.prices[0].credits) == (
        49, video_pb2.PRICE_UNIT_CHARACTER, 50, 1
    )  # fmt: skip
    assert (drawn.references_max, drawn.outputs_max, drawn.prices[0].credits_per_second) == (16, 10, 0)
    assert not speech["eleven_v3"].HasField("prompt_max_utf16")
    assert speech["eleven_voice_isolation"].rules[0].source_max_seconds == 3600


async def test_wrong_input_is_told_before_the_price(api: Api) -> None:
    assert set(await invalid(api.video.GenerateVideo(request(seed=-1, max_credits=1)))) == {"seed"}
