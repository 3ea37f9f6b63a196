"""The metrics, read over HTTP from a real server."""

import asyncio
import logging
import re
from pathlib import Path

import aiohttp
import pytest

from evergreen.v1 import film_pb2
from evergreen.v1 import video_pb2 as v1
from tests.rpc.films import approved, film_until, planned, started
from tests.serving import Control, serving


async def test_what_happens_is_counted(tmp_path: Path, sandbox: Control, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await sandbox.fault("lost_answer", operation="create", prompt="lost")
    await sandbox.fault("status", operation="get_task", status=503, count=12)
    async with (
        serving(tmp_path / "data", sandbox.url, EVERGREEN_METRICS_LISTEN="127.0.0.1:0") as api,
        aiohttp.ClientSession() as session,
    ):
        done = await api.finished((await api.generate()).job_id)
        lost = await api.generate(prompt_text="lost")
        await api.until(lost.job_id, v1.JOB_STATE_NEEDS_ATTENTION)
        address = next(record.address for record in caplog.records if record.message == "metrics served")

        # The server learns a moment later that the watches above were left.
        async with asyncio.timeout(60):
            while True:
                async with session.get(f"http://{address}/metrics") as answer:
                    kind, text = answer.content_type, await answer.text()
                assert (answer.status, kind) == (200, "text/plain")
                lines = re.findall(r"^(evergreen\S+) (\S+)$", text, re.MULTILINE)
                found = {name: float(value) for name, value in lines}
                if found["evergreen_watchers"] == 0:
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


async def metrics_of(session: aiohttp.ClientSession, address: str) -> dict[str, float]:
    async with session.get(f"http://{address}/metrics") as answer:
        lines = re.findall(r"^(evergreen\S+) (\S+)$", await answer.text(), re.MULTILINE)
    return {name: float(value) for name, value in lines}


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
