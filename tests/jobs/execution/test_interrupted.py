"""A step in the middle of which the database goes away, or another execution takes the job over."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.execution.runner import Runner
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.ports.provider import NotSent, ProviderUnavailable, Submission
from evergreen_server.ports.specs import PreparedMedia
from evergreen_storage import Unavailable
from tests.jobs.stepping import JOB_ID, Script, ScriptedProvider, Stepping, stepping
from tests.jobs.tools import Said, away, request_at


class Interrupted(Script):
    """A script during one call of which something else happens, once."""

    def __init__(self, at: str, **raised: list[BaseException]) -> None:
        super().__init__(**raised)
        self.at = at
        self.happens: Callable[[], object] = lambda: None

    def call(self, name: str) -> None:
        if name == self.at:
            self.at = ""
            self.happens()
        super().call(name)


@contextmanager
def listening() -> Iterator[Said]:
    handler, logger = Said(), logging.getLogger("evergreen_server.jobs.execution")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


async def accepted(steps: Stepping) -> str:
    return await steps.accept(request_at(datetime.now(UTC)))


async def run(steps: Stepping) -> Job:
    """Runs the job to its end, or to where another execution owns it."""
    async with asyncio.timeout(60):
        await steps.runner.run(JOB_ID, 1, 0)
    return await steps.store.get(JOB_ID)


def taken_over(steps: Stepping) -> None:
    """Another execution owns the job from here on."""
    with steps.database.engine.begin() as db:
        db.execute(sa.update(jobs).values(execution="another's"))


async def test_a_job_is_run_as_soon_as_the_database_is_back(tmp_path: Path) -> None:
    async with stepping(tmp_path, Script()) as steps:
        with listening() as said:
            job_id = await accepted(steps)
            with away(steps.database):
                running = steps.start(job_id)
                await said.until("job not claimed")
            async with asyncio.timeout(60):
                await running

        assert (await steps.store.get(job_id)).task_id == "task-1"
    assert (said.levels("job not claimed"), steps.provider.sent) == ({"WARNING"}, 1)


@pytest.mark.parametrize("odd", ["[]", "{", '{"model": 1}'])
async def test_a_job_that_cannot_be_read_is_run_as_soon_as_it_can(odd: str, tmp_path: Path) -> None:
    def write(spec: str) -> str:
        with steps.database.engine.begin() as db:
            before = db.exec_driver_sql("SELECT spec FROM jobs").scalar_one()
            db.exec_driver_sql("UPDATE jobs SET spec = ?", (spec,))
        return str(before)

    async with stepping(tmp_path, Script()) as steps:
        with listening() as said:
            job_id = await accepted(steps)
            whole = write(odd)
            running = steps.start(job_id)
            await said.until("job not claimed")
            write(whole)
            async with asyncio.timeout(60):
                await running

        assert (await steps.store.get(job_id)).task_id == "task-1"
    assert (said.levels("job not claimed"), steps.provider.sent) == ({"ERROR"}, 1)


@pytest.mark.parametrize("failure", [Unavailable("the disk is full"), RuntimeError("odd"), ProviderUnavailable("away")])
async def test_a_step_that_fails_after_another_execution_took_the_job_changes_nothing(
    failure: Exception, tmp_path: Path
) -> None:
    script = Interrupted("record_request", record_request=[failure])
    async with stepping(tmp_path, script) as steps:
        script.happens = lambda: taken_over(steps)
        with listening() as said:
            await accepted(steps)
            job = await run(steps)

        assert not steps.runner.running
    assert (job.state, job.stage, job.warnings) == (State.QUEUED, Stage.PREPARING, ())
    assert "job not warned" not in said.messages
    assert said.messages[-1] == "execution superseded"


async def test_a_warning_that_cannot_be_written_is_written_once_the_database_is_back(tmp_path: Path) -> None:
    script = Interrupted("record_request", record_request=[Unavailable("the disk is full")] * 2)
    async with stepping(tmp_path, script) as steps:
        with ExitStack() as absence, listening() as said:
            script.happens = lambda: absence.enter_context(away(steps.database))
            running = steps.start(await accepted(steps))
            await said.until("job not warned")
            absence.close()
            async with asyncio.timeout(60):
                await running
        job = await steps.store.get(JOB_ID)

    assert job.task_id == "task-1"
    # Of the database too, if it was away for long enough.
    assert job.warnings[-1].code == "STORAGE_UNAVAILABLE"


async def test_an_answer_that_comes_after_another_execution_took_the_job_is_adopted_by_that(tmp_path: Path) -> None:
    script = Interrupted("create")
    async with stepping(tmp_path, script) as steps:
        script.happens = lambda: taken_over(steps)
        await accepted(steps)
        before = await run(steps)
        # The other one, which finds the intent.
        after = await run(steps)

    assert (before.state, before.stage, before.task_id) == (State.RUNNING, Stage.SUBMITTING, "")
    assert (after.task_id, steps.provider.sent) == ("task-1", 1)


@pytest.mark.parametrize("failure", [NotSent("The provider was not reached."), ZeroDivisionError("odd")])
async def test_an_intent_of_which_nothing_was_sent_is_withdrawn_for_the_execution_that_took_the_job(
    failure: Exception, tmp_path: Path
) -> None:
    script = Interrupted("compose", compose=[failure])
    async with stepping(tmp_path, script) as steps:
        script.happens = lambda: taken_over(steps)
        await accepted(steps)
        before = await run(steps)
        after = await run(steps)

    assert (before.state, before.stage, before.submit_token) == (State.QUEUED, Stage.WAITING, "")
    assert (after.task_id, steps.provider.sent) == ("task-1", 1)


class Late(ScriptedProvider):
    """Answers, or fails, after another execution has run."""

    def __init__(self, steps: Stepping, failure: Exception | None = None) -> None:
        super().__init__(Script())
        self._steps, self._failure = steps, failure
        self.meanwhile: Job | None = None

    async def create(
        self, spec: object, media: Sequence[PreparedMedia], *, before_send: Callable[[], None]
    ) -> Submission:
        submission = None if self._failure else await super().create(spec, media, before_send=before_send)
        self.meanwhile = self.meanwhile or await run(self._steps)
        if submission is None:
            raise self._failure  # type: ignore[misc]  # which there is then
        return submission


async def test_an_answer_that_comes_after_another_execution_gave_the_job_up_ends_the_question_to_its_caller(
    tmp_path: Path,
) -> None:
    async with stepping(tmp_path, Script()) as steps:
        provider = Late(steps)
        await accepted(steps)
        async with asyncio.timeout(60):
            await Runner(replace(steps.context, provider=provider)).run(JOB_ID, 1, 0)
        job = await steps.store.get(JOB_ID)

    assert provider.meanwhile is not None
    assert provider.meanwhile.state is State.NEEDS_ATTENTION
    assert (job.state, job.stage, job.task_id, job.error) == (State.RUNNING, Stage.GENERATING, "task-1", None)
    assert (job.restarts, provider.sent, steps.provider.sent) == (1, 1, 0)


@pytest.mark.parametrize("failure", [NotSent("The provider was not reached."), ZeroDivisionError("odd")])
async def test_a_job_that_another_execution_gave_up_though_nothing_was_sent_is_queued_again(
    failure: Exception, tmp_path: Path
) -> None:
    async with stepping(tmp_path, Script()) as steps:
        provider = Late(steps, failure)
        await accepted(steps)
        async with asyncio.timeout(60):
            await Runner(replace(steps.context, provider=provider)).run(JOB_ID, 1, 0)
        job = await steps.store.get(JOB_ID)

    assert provider.meanwhile is not None
    assert provider.meanwhile.state is State.NEEDS_ATTENTION
    assert (job.state, job.stage, job.submit_token, job.error) == (State.QUEUED, Stage.WAITING, "", None)
    assert (job.restarts, provider.sent, steps.provider.sent) == (1, 0, 0)
