"""What keeps steps from being done: it ends the job, or is waited for and told; nothing is repeated in silence."""

import errno
import json
import struct
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.model.states import State
from evergreen_server.ports.provider import NotSent, ProviderUnavailable
from evergreen_storage import Unavailable
from evergreen_storage.engines.disk import Traits
from tests.jobs.stepping import Script, stepping, with_picture
from tests.jobs.tools import request_at

SECRET = "key_7f3a, https://example.com/?signature=1"
ODD = [
    ZeroDivisionError(SECRET),
    OverflowError(SECRET),
    RecursionError(SECRET),
    MemoryError(SECRET),
    struct.error(SECRET),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    OSError("encoder error -2 when writing image file"),
    KeyError("RGB;16B"),
    json.JSONDecodeError("no value", "doc", 0),
    NotImplementedError(SECRET),
]
PASSING = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EMFILE, "Too many open files"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
]


def gone() -> sa.exc.OperationalError:
    return sa.exc.OperationalError("SELECT", {}, Exception("the server closed the connection"))


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
@pytest.mark.parametrize("stage", ["picture", "compose"])
async def test_what_no_rule_knows_in_work_on_the_input_ends_the_job_at_the_third_try(
    stage: str, odd: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(**{stage: [odd] * 10})
    async with stepping(tmp_path, script) as steps:
        job = await steps.run(with_picture())

    assert (job.state, job.error.reason, job.error.retryable) == (State.FAILED, "INTERNAL", False)
    assert (script.calls.count(stage), steps.provider.sent) == (3, 0)
    assert (job.charged_millicredits, job.cost_basis) == (0, "CONFIRMED")
    (warning,) = job.warnings
    assert warning.code == "STEP_FAILED"
    # The same id in the warning, the error and each line of the log; and no text of what was raised.
    assert all(record.error_id in job.error.message for record in caplog.records if record.msg == "step failed")
    assert type(odd).__name__ in job.error.message
    assert SECRET not in f"{job.error.message} {warning.message}"


@pytest.mark.parametrize("odd", ODD[:2], ids=lambda odd: type(odd).__name__)
async def test_what_no_rule_knows_twice_is_forgotten_when_the_third_try_succeeds(
    odd: Exception, tmp_path: Path
) -> None:
    script = Script(picture=[odd] * 2, compose=[odd] * 2)
    async with stepping(tmp_path, script) as steps:
        job = await steps.run(with_picture())

    assert (job.task_id, steps.provider.sent) == ("task-1", 1)


async def test_what_no_rule_knows_after_the_request_was_sent_is_asked_about(tmp_path: Path) -> None:
    async with stepping(tmp_path, Script(create=[OverflowError(SECRET)])) as steps:
        job = await steps.run(request_at(datetime.now(UTC)))

    assert (job.state, job.error.reason) == (State.NEEDS_ATTENTION, "SUBMISSION_UNKNOWN")
    assert "OverflowError" in job.error.message
    assert SECRET not in job.error.message


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
async def test_what_no_rule_knows_of_a_paid_task_never_ends_its_job(
    odd: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(task=[odd] * 6)
    async with stepping(tmp_path, script) as steps:
        job = await steps.run(request_at(datetime.now(UTC)))

    # The scripted task ended as cancelled, which is what its job was followed to.
    assert (job.state, job.error.reason, script.calls.count("task")) == (State.FAILED, "PROVIDER_TASK_GONE", 7)
    codes = [warning.code for warning in job.warnings]
    known = isinstance(odd, OSError)
    assert codes == (["STORAGE_UNAVAILABLE"] if known else ["STEP_FAILED"])
    assert SECRET not in job.warnings[0].message
    if not known:
        error_ids = {record.error_id for record in caplog.records if record.msg == "step failed"}
        assert len(error_ids) == 1
        assert error_ids.pop() in job.warnings[0].message


@pytest.mark.parametrize("passing", PASSING, ids=lambda passing: errno.errorcode[passing.errno])
@pytest.mark.parametrize("stage", ["picture", "compose", "record_request", "task"])
async def test_what_the_system_raises_is_waited_for_however_often(stage: str, passing: OSError, tmp_path: Path) -> None:
    script = Script(**{stage: [passing] * 6})
    async with stepping(tmp_path, script) as steps:
        job = await steps.run(with_picture())

    assert (job.task_id, steps.provider.sent, script.calls.count(stage)) == ("task-1", 1, 7)
    assert [warning.code for warning in job.warnings] in (["STORAGE_UNAVAILABLE"], ["PROVIDER_UNAVAILABLE"])


@pytest.mark.parametrize(
    ("stage", "raised", "code"),
    [
        ("record_request", Unavailable("the disk is full"), "STORAGE_UNAVAILABLE"),
        ("compose", NotSent("The provider was not reached."), "PROVIDER_UNAVAILABLE"),
        ("task", ProviderUnavailable("The provider answered HTTP 503."), "PROVIDER_UNAVAILABLE"),
        ("again", gone(), "DATABASE_UNAVAILABLE"),
        ("record_request", RuntimeError("no rule knows it, and it is not the input's"), "STEP_FAILED"),
    ],
)
async def test_who_is_waited_for_is_told_once(stage: str, raised: Exception, code: str, tmp_path: Path) -> None:
    script = Script(**{stage: [raised] * 8})
    async with stepping(tmp_path, script) as steps:
        job = await steps.run(with_picture())

    assert (job.task_id, steps.provider.sent) == ("task-1", 1)
    assert [warning.code for warning in job.warnings] == [code]


async def test_a_short_absence_of_the_database_is_not_told(tmp_path: Path) -> None:
    async with stepping(tmp_path, Script(again=[gone(), gone()])) as steps:
        job = await steps.run(with_picture())

    assert (job.task_id, job.warnings) == ("task-1", ())


@pytest.mark.parametrize(
    ("exists", "asked"),
    [(("film", "intro"), ("film", "Intro")), (("film", "scene-1"), ("Film", "scene-1")), (("A", "b"), ("a", "B"))],
)
@pytest.mark.parametrize("media", [True, False])
async def test_an_id_that_the_disk_takes_for_another_ends_the_job(
    media: bool, exists: tuple[str, str], asked: tuple[str, str], tmp_path: Path
) -> None:
    async with stepping(tmp_path, Script(), traits=Traits(case_sensitive=False, hard_links=True)) as steps:
        await steps.context.scenes.create(*exists)
        request = with_picture() if media else request_at(datetime.now(UTC))
        job = await steps.run(replace(request, project_id=asked[0], scene_id=asked[1]))

    assert (job.state, job.error.reason) == (State.FAILED, "SCENE_REFUSED")
    assert "differs only by case" in job.error.message
    assert (job.charged_millicredits, steps.provider.sent) == (0, 0)
