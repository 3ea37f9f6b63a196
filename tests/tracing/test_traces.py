"""Traces of jobs and films: whole over a kill and a take-over, in bounded memory and time, without anything secret."""

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from evergreen.v1 import film_pb2
from evergreen.v1 import video_pb2 as v1
from tests.postgres import Postgres
from tests.rpc.films import film_until, planned, start_request
from tests.serving import Control, ServerProcess, free_address, request, serving
from tests.tracing.collector import collector

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
START = "evergreen.v1.FilmService/StartFilm"
CALL = "evergreen.v1.VideoService/GenerateVideo"
STAGES = ("prepare", "wait", "submit", "generate", "deliver")


async def test_a_job_is_one_trace_over_a_kill_and_a_take_over(
    tmp_path: Path, sandbox: Control, postgres: Postgres
) -> None:
    await sandbox.settings(task_mean_seconds=100_000)
    async with AsyncExitStack() as stack:
        sent = await stack.enter_async_context(collector())
        changes = {
            "EVERGREEN_DATABASE_URL": postgres.create(),
            "EVERGREEN_STORAGE_URL": (tmp_path / "scenes").as_uri(),
            "OTEL_EXPORTER_OTLP_ENDPOINT": sent.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "NO_PROXY": "*",
        }
        first, second = [
            await stack.enter_async_context(ServerProcess(tmp_path / name, sandbox.url, changes)) for name in "ab"
        ]
        api = await first.start()
        call = api.video.GenerateVideo(
            request(prompt_text="a hush-hush rocket", labels={"who": "nobody-knows"}),
            metadata=(("traceparent", PARENT),),
        )
        job = (await call).job
        await api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
        await sent.until(CALL, "prepare", "wait", "submit")
        await first.end()

        api = await second.start()
        await sandbox.advance(1_000_000)
        done = await api.finished(job.job_id)
        told = await sent.until(CALL, *STAGES, "job")

    assert done.state == v1.JOB_STATE_SUCCEEDED
    ours = [each for each in sent.told if each.span.trace_id.hex() == TRACE]
    assert {each.name for each in ours} - {"throttled"} == {CALL, *STAGES, "job"}
    assert len({each.span.span_id for each in ours}) == len(ours)
    assert told[CALL].span.parent_span_id.hex() == SPAN
    assert told["job"].span.parent_span_id == told[CALL].span.span_id
    assert all(told[stage].span.parent_span_id == told["job"].span.span_id for stage in STAGES)
    assert told["submit"].server == told[CALL].server != told["generate"].server == told["job"].server
    assert {each.service for each in ours} == {"evergreen"}
    # The stage in which the first was killed is told from its beginning, and none leaves a gap to the next.
    at = sorted((each.span.start_time_unix_nano, each.span.end_time_unix_nano) for each in ours if each.name in STAGES)
    whole = told["job"].span
    assert (at[0][0], at[-1][1]) == (whole.start_time_unix_nano, whole.end_time_unix_nano)
    assert told["job"].attributes["evergreen.state"] == "SUCCEEDED"
    everything = b"".join(sent.bodies)
    for word in (b"hush-hush", b"nobody-knows", b"http:", b"https:", b"key_"):
        assert word not in everything


@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "is away"])
async def test_a_collector_that_does_not_answer_slows_neither_jobs_nor_the_stop(
    tmp_path: Path, sandbox: Control, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hangs: bool
) -> None:
    async with collector(hangs=True) as sent:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": sent.url if hangs else f"http://{free_address()}"}
        for name, value in {**environ, "OTEL_BSP_SCHEDULE_DELAY": "10", "NO_PROXY": "*"}.items():
            monkeypatch.setenv(name, value)
        async with serving(tmp_path / "data", sandbox.url, **environ) as api:
            first = await api.finished((await api.generate()).job_id)
            if hangs:
                await asyncio.wait_for(sent.asked.wait(), 60)
            second = await api.finished((await api.generate()).job_id)
            caplog.set_level(logging.WARNING)

    assert first.state == second.state == v1.JOB_STATE_SUCCEEDED
    assert sent.told == []
    assert "spans not sent" in [record.message for record in caplog.records]


async def test_a_film_is_one_trace_with_its_jobs_and_its_render(
    tmp_path: Path, sandbox: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with collector() as sent:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": sent.url}
        for name, value in {**environ, "OTEL_BSP_SCHEDULE_DELAY": "50", "NO_PROXY": "*"}.items():
            monkeypatch.setenv(name, value)
        async with serving(tmp_path / "data", sandbox.url, **environ) as api:
            small = film_pb2.FilmSettings(profiles=[film_pb2.ExportProfile(name="small", width=160, height=90)])
            plan = await planned(api, script="INT. KITCHEN - DAY\n\nA hush-hush kettle.\n", settings=small)
            start = start_request("film", max_credits=plan.film.quote.credits, stop_after=0)
            await api.film.StartFilm(start, metadata=(("traceparent", PARENT),))
            await film_until(api, "film", v1.FILM_STATE_SUCCEEDED)
            told = await sent.until(START, "job", "render", "film")

    ours = [each for each in sent.told if each.span.trace_id.hex() == TRACE]
    film, jobs = told["film"], [each for each in ours if each.name == "job"]
    assert len({each.span.span_id for each in ours}) == len(ours)
    assert told[START].span.parent_span_id.hex() == SPAN
    assert film.span.parent_span_id == told[START].span.span_id
    assert len(jobs) == 2
    assert {each.span.parent_span_id for each in (*jobs, told["render"])} == {film.span.span_id}
    assert {each.span.trace_id.hex() for each in (film, *jobs, told["render"])} == {TRACE}
    assert film.span.start_time_unix_nano <= told["render"].span.start_time_unix_nano
    assert told["render"].span.end_time_unix_nano == film.span.end_time_unix_nano
    assert (film.attributes["evergreen.state"], film.attributes["evergreen.kind"]) == ("SUCCEEDED", "PRODUCE")
    assert b"hush-hush" not in b"".join(sent.bodies)
