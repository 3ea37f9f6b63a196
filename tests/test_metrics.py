"""The metrics, read over HTTP from a real server."""

import asyncio
import logging
import re
from pathlib import Path

import aiohttp
import grpc
import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from evergreen.v1 import film_pb2
from evergreen.v1 import video_pb2 as v1
from evergreen_server.metrics.counts import RowCounts
from evergreen_server.metrics.exposition import Exposition, serve_metrics
from evergreen_server.runtime.background import Background
from tests.documented import documented
from tests.rpc.films import approved, film_until, planned, started
from tests.serving import Control, serving


async def test_what_happens_is_counted(tmp_path: Path, sandbox: Control, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await sandbox.fault("lost_answer", operation="create", prompt="lost")
    await sandbox.fault("status", operation="get_task", status=503, count=12)
    async with (
        serving(
            tmp_path / "data",
            sandbox.url,
            EVERGREEN_METRICS_LISTEN="127.0.0.1:0",
            EVERGREEN_HTTP_LISTEN="127.0.0.1:0",
        ) as api,
        aiohttp.ClientSession() as session,
    ):
        done = await api.finished((await api.generate()).job_id)
        lost = await api.generate(prompt_text="lost")
        await api.until(lost.job_id, v1.JOB_STATE_NEEDS_ATTENTION)
        with pytest.raises(grpc.aio.AioRpcError):
            await api.status("no-job")
        address = next(record.address for record in caplog.records if record.message == "metrics served")

        async with (
            session.ws_connect(f"{api.http}/api/v1/socket"),
            session.get(f"{api.http}/api/v1/projects/film/events?after=0") as events,
        ):
            await events.content.readline()
            opened = await metrics_until(session, address, evergreen_gateway_topics=1)

        # The server learns a moment later that the watches above were left; the gateway keeps its own for a while.
        async with asyncio.timeout(60):
            while True:
                async with session.get(f"http://{address}/metrics") as answer:
                    kind, text = answer.content_type, await answer.text()
                assert (answer.status, kind) == (200, "text/plain")
                lines = re.findall(r"^(evergreen\S+) (\S+)$", text, re.MULTILINE)
                found = {name: float(value) for name, value in lines}
                if found["evergreen_watchers"] == 1:
                    break

    assert done.state == v1.JOB_STATE_SUCCEEDED
    assert found['evergreen_jobs{state="SUCCEEDED"}'] == 1
    assert found['evergreen_jobs{state="NEEDS_ATTENTION"}'] == 1
    assert found['evergreen_jobs{state="RUNNING"}'] == 0
    assert (found["evergreen_queue_depth"], found["evergreen_queue_oldest_seconds"]) == (0, 0)
    assert found["evergreen_credits_reserved"] == 24
    assert found['evergreen_credits_spent{basis="CONFIRMED"}'] == 24
    assert found['evergreen_credits_spent{basis="UPPER_BOUND"}'] == 0
    assert found['evergreen_create_errors_total{kind="SubmissionUnknown"}'] == 1
    assert found['evergreen_poll_errors_total{kind="ProviderUnavailable"}'] >= 1
    assert found["evergreen_event_lag_seconds_count"] > 0
    assert found["evergreen_event_lag_seconds_sum"] < 10 * found["evergreen_event_lag_seconds_count"]
    assert found["evergreen_loop_lag_seconds_count"] > 0
    assert found["evergreen_takeovers_total"] == 0
    # Whatever could grow without bound is in no label.
    assert not any(word in text for word in ('"film', done.job_id, lost.job_id))
    of_model = 'model="gen4.5"'
    assert found[f'evergreen_job_seconds_count{{{of_model},state="SUCCEEDED"}}'] == 1
    stages = ("PREPARING", "WAITING", "SUBMITTING", "DELIVERING")
    counted = {stage: found[f'evergreen_job_stage_seconds_count{{{of_model},stage="{stage}"}}'] for stage in stages}
    assert counted == {"PREPARING": 2, "WAITING": 2, "SUBMITTING": 2, "DELIVERING": 1}
    assert found['evergreen_provider_seconds_count{operation="create",outcome="OK"}'] == 1
    assert found['evergreen_provider_seconds_count{operation="create",outcome="SubmissionUnknown"}'] == 1
    assert found['evergreen_provider_seconds_count{operation="task",outcome="ProviderUnavailable"}'] >= 1
    assert found['evergreen_storage_seconds_count{operation="put_stream",outcome="OK"}'] >= 1
    assert found['evergreen_database_transaction_seconds_count{kind="write"}'] > 10
    assert found['evergreen_database_wait_seconds_count{kind="read"}'] > 1
    assert found['evergreen_database_connections{state="used"}'] >= 0
    assert found['evergreen_grpc_calls_total{code="OK",method="VideoService.GenerateVideo"}'] == 2
    assert found['evergreen_grpc_call_seconds_count{method="VideoService.GenerateVideo"}'] == 2
    assert found['evergreen_grpc_calls_total{code="NOT_FOUND",method="VideoService.GetStatus"}'] == 1
    assert found['evergreen_grpc_streams{method="VideoService.WatchProgress"}'] == 1
    assert (opened["evergreen_gateway_sockets"], opened["evergreen_gateway_streams"]) == (1, 1)
    assert "_created" not in text
    assert served(text) == {name: of.type for name, of in documented().items()}
    labels = {name: of.labels for name, of in documented().items()}
    given = {
        (family.name, label)
        for family in text_string_to_metric_families(text)
        for s in family.samples
        for label in s.labels
    }
    assert {(name, label) for name, label in given if label != "le" and label not in labels[name]} == set()


def served(text: str) -> dict[str, str]:
    """The type of each metric that is served."""
    return {family.name: family.type for family in text_string_to_metric_families(text)}


async def test_metrics_are_read_in_the_midst_of_a_storm_of_calls(
    tmp_path: Path, sandbox: Control, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await sandbox.account(maxConcurrentGenerations=0)
    async with (
        serving(tmp_path / "data", sandbox.url, EVERGREEN_METRICS_LISTEN="127.0.0.1:0") as api,
        aiohttp.ClientSession() as session,
    ):
        address = next(record.address for record in caplog.records if record.message == "metrics served")
        storm = [asyncio.create_task(api.generate()) for _ in range(300)]
        seen: list[float] = []
        accepted = 'evergreen_grpc_calls_total{code="OK",method="VideoService.GenerateVideo"}'
        while not seen or seen[-1] < len(storm):
            seen.append((await asyncio.wait_for(metrics_of(session, address), 60)).get(accepted, 0))

        jobs = {job.job_id for job in await asyncio.gather(*storm)}

    assert len(jobs) == len(storm)
    assert seen == sorted(seen)
    assert seen[0] < len(storm), "it did not wait for the end of the storm"


async def test_a_storm_of_scrapes_costs_one() -> None:
    registry, counted = CollectorRegistry(), 0
    number = Counter("storms", "Counts.", registry=registry)

    async def refresh() -> None:
        nonlocal counted
        counted += 1
        number.inc()
        await asyncio.sleep(0)

    async with (
        serve_metrics("127.0.0.1:0", Exposition(registry, refresh=refresh, seconds=3600)) as address,
        aiohttp.ClientSession() as session,
    ):

        async def scrape() -> str:
            async with session.get(f"http://{address}/metrics") as answer:
                return await answer.text()

        texts = {await asyncio.wait_for(each, 60) for each in [asyncio.create_task(scrape()) for _ in range(200)]}
        paths = {}
        for path in ("/", "/healthz", "/nothing"):
            async with session.get(f"http://{address}{path}") as answer:
                paths[path] = answer.status, await answer.text()

    assert counted == len(texts) == 1
    assert paths["/healthz"] == (200, "ok\n")
    assert "href=/metrics" in paths["/"][1]
    assert paths["/nothing"][0] == 404


async def test_a_database_that_does_not_answer_leaves_the_other_metrics_and_is_asked_once() -> None:
    registry, answers, asked, gone = CollectorRegistry(), asyncio.Event(), 0, asyncio.Event()

    async def census() -> object:
        nonlocal asked
        asked += 1
        await answers.wait()
        gone.set()
        raise OSError("gone")

    counts = RowCounts(registry, census=census, films=census, webhooks=census, seconds=0, wait_seconds=0.01)
    async with Background(failed=lambda _: None) as background:
        background.start(counts.run, name="counts")
        for _ in range(5):
            await counts.refresh()
        assert asked == 1, "a thread that counts cannot be stopped, and there are few"
        answers.set()
        await asyncio.wait_for(gone.wait(), 60)
        text = (await Exposition(registry, refresh=counts.refresh).text()).decode()

    [age] = re.findall(r"^evergreen_counts_age_seconds (\S+)$", text, re.MULTILINE)
    assert float(age) > 0
    assert "evergreen_queue_depth 0.0" in text


async def metrics_of(session: aiohttp.ClientSession, address: str) -> dict[str, float]:
    async with session.get(f"http://{address}/metrics") as answer:
        lines = re.findall(r"^(evergreen\S+) (\S+)$", await answer.text(), re.MULTILINE)
    return {name: float(value) for name, value in lines}


async def metrics_until(session: aiohttp.ClientSession, address: str, **wanted: float) -> dict[str, float]:
    """Waits until some numbers are served, which are a second old at most."""
    async with asyncio.timeout(60):
        while True:
            found = await metrics_of(session, address)
            if wanted.items() <= found.items():
                return found
            await asyncio.sleep(0.1)


async def test_films_are_counted_by_state_with_what_they_hold_and_wait_for(
    tmp_path: Path, sandbox: Control, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    small = film_pb2.FilmSettings(profiles=[film_pb2.ExportProfile(name="small", width=160, height=90)])
    async with (
        serving(tmp_path / "data", sandbox.url, EVERGREEN_METRICS_LISTEN="127.0.0.1:0") as api,
        aiohttp.ClientSession() as session,
    ):
        address = next(record.address for record in caplog.records if record.message == "metrics served")
        quote = (await planned(api, settings=small)).film.quote.credits
        await planned(api, film_id="other", settings=film_pb2.FilmSettings(scene_prefix="other"))
        await started(api, "film", max_credits=quote, stop_after=0, gates=[v1.FILM_GATE_STORYBOARD])
        status = (await film_until(api, "film", v1.FILM_STATE_AWAITING_APPROVAL)).status
        waiting = await metrics_of(session, address)
        await approved(api, status)
        await film_until(api, "film", v1.FILM_STATE_SUCCEEDED)
        again = film_pb2.ExportFilmRequest(project_id="film", film_id="movie", request_id="again", plan_revision=1)
        await api.film.ExportFilm(again)
        await film_until(api, "film", v1.FILM_STATE_SUCCEEDED)
        # Counts of rows are a few seconds old at most.
        async with asyncio.timeout(60):
            while True:
                done = await metrics_of(session, address)
                if done['evergreen_films{state="SUCCEEDED"}']:
                    break
                await asyncio.sleep(0.2)

    assert waiting['evergreen_films{state="AWAITING_APPROVAL"}'] == 1
    assert waiting['evergreen_films{state="PLANNED"}'] == 1
    assert waiting['evergreen_films{state="RUNNING"}'] == 0
    assert waiting["evergreen_film_approvals"] == 1
    assert waiting["evergreen_film_approvals_oldest_seconds"] >= 0
    assert waiting["evergreen_film_credits_held"] == status.reserved_credits > 0
    assert (done["evergreen_film_approvals"], done["evergreen_film_credits_held"]) == (0, 0)
    assert done['evergreen_film_renders_total{outcome="RENDERED"}'] == 1
    assert done['evergreen_film_renders_total{outcome="REUSED"}'] == 1
    assert done["evergreen_film_renders_running"] == 0


async def test_a_port_that_is_taken_is_told_with_its_setting() -> None:
    registry = CollectorRegistry()
    async with serve_metrics("127.0.0.1:0", Exposition(registry)) as address:
        with pytest.raises(OSError, match=f"^cannot listen on {address}: .* choose another with EVERGREEN_METRICS"):
            async with serve_metrics(address, Exposition(registry)):
                pass
