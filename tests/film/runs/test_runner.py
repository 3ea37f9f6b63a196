"""The loop around a leg: it is woken by what happens, outlives what fails, and gives way to a newer execution."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from evergreen_server.film.runs.deciding import FilmStage
from evergreen_server.film.runs.run import RunState
from evergreen_server.film.runs.runner import FilmRunner
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job
from tests.film.planning import FILM, film, scenes_of
from tests.film.runs.studio import PROJECT, Studio, studio

MUST_NOT_HANG = 60


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Studio]:
    async with studio(tmp_path, f"sqlite:///{tmp_path / 'jobs.sqlite'}") as opened:
        yield opened


@asynccontextmanager
async def running(runner: FilmRunner, leg: int = 1) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(runner.run(PROJECT, FILM, 1, leg))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def accepted(stand: Studio, count: int) -> list[Job]:
    async with asyncio.timeout(MUST_NOT_HANG):
        while True:
            # Before the look, so that no change during it is lost.
            stand.news.clear()
            if len(jobs := await stand.jobs()) >= count:
                return jobs
            await stand.news.wait()


async def test_a_run_goes_from_its_begin_to_its_end_as_its_jobs_wake_it(stand: Studio) -> None:
    await stand.start(film(scenes_of(1)), stop_after=FilmStage.CLIPS)
    runner = FilmRunner(stand.context)

    async with running(runner) as task:
        for count in (3, 4):
            for job in await accepted(stand, count):
                if not job.final:
                    await stand.end(job, made=True)
                    runner.on_changes([Change(project_id=PROJECT, job_id=job.job_id)])
        async with asyncio.timeout(MUST_NOT_HANG):
            await task

    assert (await stand.now()).state is RunState.SUCCEEDED
    assert stand.context.films_of == {}


async def test_a_newer_execution_of_a_leg_ends_the_older_one_and_is_still_woken(stand: Studio) -> None:
    await stand.start(film(scenes_of(1)), stop_after=FilmStage.STORYBOARD)
    runner = FilmRunner(stand.context)
    async with running(runner) as older:
        await accepted(stand, 3)

        async with running(runner) as newer:
            async with asyncio.timeout(MUST_NOT_HANG):
                await older
            assert not newer.done()
            for job in await stand.jobs():
                await stand.end(job, made=True)
                runner.on_changes([Change(project_id=PROJECT, job_id=job.job_id)])
            async with asyncio.timeout(MUST_NOT_HANG):
                await newer

    assert (await stand.now()).state is RunState.SUCCEEDED
    assert len(await stand.jobs()) == 3


async def test_a_fault_of_the_service_is_told_once_and_tried_again(stand: Studio) -> None:
    await stand.start(film(scenes_of(1)), stop_after=FilmStage.STORYBOARD)
    faults = 3

    class Plans:
        async def plan(self, project_id: str, film_id: str, plan_revision: int) -> object:
            nonlocal faults
            faults -= 1
            if faults >= 0:
                raise ZeroDivisionError("a bug, whose text might hold a prompt")
            return await stand.films.plan(project_id, film_id, plan_revision)

    runner = FilmRunner(replace(stand.context, plans=Plans()))
    async with running(runner):
        await accepted(stand, 3)

    (warning,) = (await stand.now()).warnings
    assert warning.code == "STEP_FAILED"
    assert "prompt" not in warning.message


async def test_a_leg_of_which_nothing_is_left_ends_at_once(stand: Studio) -> None:
    await stand.start(film(scenes_of(1)), stop_after=FilmStage.STORYBOARD)
    runner = FilmRunner(stand.context)

    async with asyncio.timeout(MUST_NOT_HANG):
        await runner.run(PROJECT, FILM, 1, 7)
        await runner.run(PROJECT, "no-such-film", 1, 1)

    assert await stand.jobs() == []
