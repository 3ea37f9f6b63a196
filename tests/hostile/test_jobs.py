"""What is thrown at a job between its acceptance and its submission: it ends, or is waited for and told; never silence.

Each row is one job that runs by itself, over a real database and real files; its provider and its media are scripted.
"""

import errno
import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import exc

from evergreen_server.jobs.model.states import State
from evergreen_server.ports.media import MediaRefused, MediaUnreachable
from evergreen_server.ports.provider import (
    DailyLimitReached,
    NotSent,
    ProviderUnavailable,
    Refused,
    SubmissionUnknown,
    Unauthorized,
)
from evergreen_server.ports.specs import Media, Role
from evergreen_storage import AssetConflict, InvalidKey, NotFound, TooLarge, Unavailable
from tests.jobs.stepping import JOB_ID, Script, Stepping, stepping, with_picture

URL = "https://pictures.example/one.jpg"
INPUT = f"images/{JOB_ID}-1.jpg"
ASSET = "images/hero.jpg"
NEVER = 1000
"""So often something is raised that is never over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is raised by which call, and how often; and what becomes of the job: state, reason, codes of warnings."""

    call: str
    raised: BaseException
    times: int
    state: State
    reason: str = ""
    warned: str = ""


def odd(call: str, raised: BaseException) -> Row:
    return Row(call=call, raised=raised, times=NEVER, state=State.FAILED, reason="INTERNAL", warned="STEP_FAILED")


def passing(call: str, raised: BaseException, warned: str) -> Row:
    """What passes after a while: the job goes on as if nothing had been, to the end that its scripted task has."""
    return Row(call=call, raised=raised, times=7, state=State.FAILED, reason="PROVIDER_TASK_GONE", warned=warned)


def ended(call: str, raised: BaseException, reason: str) -> Row:
    return Row(call=call, raised=raised, times=NEVER, state=State.FAILED, reason=reason)


ROWS = [
    *(
        odd(call, raised)
        for call in ("fetch", "picture", "compose")
        for raised in (
            ZeroDivisionError("division by zero"),
            RecursionError("maximum recursion depth exceeded"),
            MemoryError(),
            OverflowError("cannot convert float infinity to integer"),
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
            struct.error("unpack requires a buffer of 4 bytes"),
            OSError("broken data stream when reading image file"),
            StopIteration(),
            AssertionError(),
            json.JSONDecodeError("Expecting value", "", 0),
        )
    ),
    *(
        passing(call, OSError(number, os.strerror(number)), "STORAGE_UNAVAILABLE")
        for call in ("fetch", "picture", "record_request")
        for number in (errno.ENOSPC, errno.EMFILE, errno.EIO, errno.EROFS)
    ),
    *(
        passing("record_request", raised, "STORAGE_UNAVAILABLE")
        for raised in (Unavailable("the bucket answers 503"), NotFound("the bucket"))
    ),
    passing("record_request", exc.ProgrammingError("SELECT", {}, Exception("odd")), "STEP_FAILED"),
    passing("again", exc.OperationalError("SELECT", {}, Exception("the server closed")), "DATABASE_UNAVAILABLE"),
    passing("again", exc.InterfaceError("SELECT", {}, Exception("the connection is closed")), "DATABASE_UNAVAILABLE"),
    passing("again", exc.DataError("SELECT", {}, Exception("invalid byte sequence")), "STEP_FAILED"),
    passing("again", RuntimeError("of the engine"), "STEP_FAILED"),
    passing("compose", NotSent("The provider was not reached."), "PROVIDER_UNAVAILABLE"),
    passing("compose", OSError(errno.ENETUNREACH, "Network is unreachable"), "PROVIDER_UNAVAILABLE"),
    passing("task", ProviderUnavailable("The provider answered HTTP 502."), "PROVIDER_UNAVAILABLE"),
    passing("task", Unauthorized("The provider refused the key."), "PROVIDER_UNAVAILABLE"),
    *(
        passing("task", raised, "STEP_FAILED")
        for raised in (OverflowError("400 digits"), KeyError("status"), ValueError("a lone surrogate"))
    ),
    ended("fetch", MediaUnreachable("the name does not resolve"), "MEDIA_UNREACHABLE"),
    ended("fetch", MediaRefused("not at a public address", reason="MEDIA_REFUSED"), "MEDIA_REFUSED"),
    ended("picture", MediaRefused("broken or truncated", reason="PICTURE_INVALID"), "PICTURE_INVALID"),
    passing("picture", MediaUnreachable("too many files are being decoded"), "DECODERS_BUSY"),
    ended("record_request", InvalidKey("'Film' differs only by case from 'film'"), "SCENE_REFUSED"),
    ended("record_request", TooLarge("scene.json has no room"), "SCENE_REFUSED"),
    ended("compose", Refused("The provider refused the request.", status=413), "PROVIDER_REFUSED"),
    ended("compose", Unauthorized("The provider refused the key."), "PROVIDER_UNAUTHORIZED"),
    *(
        Row(
            call="create",
            raised=raised,
            times=1,
            state=State.NEEDS_ATTENTION,
            reason="SUBMISSION_UNKNOWN",
        )
        for raised in (
            SubmissionUnknown("The provider's answer was lost."),
            OverflowError("an estimate of 400 digits"),
            RecursionError("an answer of 100,000 brackets"),
            OSError(errno.ECONNRESET, "Connection reset by peer"),
        )
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.call} {type(row.raised).__name__} {row.raised}"[:60])
async def test_whatever_a_call_raises_the_job_ends_or_says_what_it_waits_for(row: Row, tmp_path: Path) -> None:
    script = Script(**{row.call: [row.raised] * row.times})
    async with stepping(tmp_path, script) as steps:
        job = await steps.run(with_picture(Media(role=Role.FIRST_FRAME, uri=URL)))

    assert job.error is not None
    assert (job.state, job.error.reason) == (row.state, row.reason), job.error
    assert [warning.code for warning in job.warnings] == ([row.warned] if row.warned else [])
    if row.reason not in ("SUBMISSION_UNKNOWN", "PROVIDER_TASK_GONE"):
        assert (job.charged_millicredits, steps.provider.sent) == (0, 0)
    assert steps.provider.sent <= 1


def gone(file: Path) -> None:
    file.unlink()


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def a_link(to: str) -> Callable[[Path], None]:
    def replaced(file: Path) -> None:
        file.unlink()
        file.symlink_to(to)

    return replaced


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def endless(file: Path) -> None:
    os.truncate(file, 1 << 40)


def another(file: Path) -> None:
    file.write_bytes(b"\xff\xd8" + os.urandom(7))


def the_whole_scene(file: Path) -> None:
    for path in sorted(file.parents[1].rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


HANDS = {
    "gone": gone,
    "a folder": a_folder,
    "a link to a secret": a_link("/etc/passwd"),
    "a link to itself": a_link("hero.jpg"),
    "a link to an endless device": a_link("/dev/zero"),
    "a pipe that nobody fills": a_pipe,
    "empty": empty,
    "a terabyte": endless,
    "another picture": another,
    "the whole scene gone": the_whole_scene,
}
WAITING = {
    "a folder",
    "a link to a secret",
    "a link to itself",
    "a link to an endless device",
    "a pipe that nobody fills",
}
"""What the storage refuses to read says nothing about the file, which may come back: the job may also wait for it."""


@pytest.mark.parametrize("hand", HANDS)
@pytest.mark.parametrize("whose", ["the caller's asset", "the job's own input"])
async def test_whatever_takes_an_inputs_place_is_never_sent(whose: str, hand: str, tmp_path: Path) -> None:
    own = whose == "the job's own input"
    path = INPUT if own else ASSET
    file = tmp_path / "scenes" / "projects" / "film" / "scene-1" / path
    looked = 0

    def meddle() -> None:
        nonlocal looked
        looked += 1
        if looked == 1:
            HANDS[hand](file)

    async with stepping(tmp_path, Script(), before_slot=meddle) as steps:
        request = with_picture() if own else with_picture(await asset(steps))
        await steps.accept(request)
        running = steps.start(JOB_ID)
        job = await steps.until(JOB_ID, lambda job: job.final or bool(job.warnings))
        running.cancel()

    assert steps.provider.sent == 0
    if job.final:
        assert (job.state, job.error.reason, job.charged_millicredits) == (State.FAILED, "MEDIA_REFUSED", 0)
    else:
        assert hand in WAITING
        assert [warning.code for warning in job.warnings] == ["STORAGE_UNAVAILABLE"]


async def asset(steps: Stepping) -> Media:
    request = with_picture()
    await steps.context.scenes.create(request.project_id, request.scene_id)
    await steps.context.scenes.add(request.project_id, request.scene_id, ASSET, b"a picture", "image/jpeg")
    return Media(role=Role.FIRST_FRAME, asset=ASSET)


UPLOADS = {
    Refused("The provider's storage refused the upload with HTTP 403.", status=403): "PROVIDER_REFUSED",
    Refused("The name of an upload has 3 to 255 characters."): "PROVIDER_REFUSED",
    Unauthorized("The provider refused the key."): "PROVIDER_UNAUTHORIZED",
    DailyLimitReached("The provider takes no more uploads for now."): "",
    ProviderUnavailable("The upload to the provider's storage broke off."): "",
    OSError(errno.EIO, "Input/output error"): "",
    AssetConflict("of the storage"): "",
}


@pytest.mark.parametrize("raised", UPLOADS, ids=str)
async def test_an_upload_that_fails_ends_the_job_or_is_tried_again_and_told(raised: Exception, tmp_path: Path) -> None:
    script = Script(upload=[raised] * 3)
    async with stepping(tmp_path, script) as steps:
        request = with_picture()
        await steps.context.scenes.create(request.project_id, request.scene_id)
        large = os.urandom(4_500_000)
        await steps.context.scenes.add(request.project_id, request.scene_id, ASSET, large, "image/jpeg")
        job = await steps.run(replace(request, spec=with_picture(Media(role=Role.FIRST_FRAME, asset=ASSET)).spec))

    if reason := UPLOADS[raised]:
        assert (job.state, job.error.reason, steps.provider.sent) == (State.FAILED, reason, 0)
        assert job.warnings == ()
    else:
        assert (job.task_id, steps.provider.sent, script.calls.count("upload")) == ("task-1", 1, 4)
        assert len(job.warnings) == 1
        # Given back each time, though it was told of but once.
        assert steps.granted >= 4
