"""Delivery knows no kind of output by itself: names, type, examination and words are those of the kind's deliverer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.execution.context import Limits
from evergreen_server.jobs.execution.deliver import deliver
from evergreen_server.jobs.execution.kinds.deliverer import Examined, Unusable
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.ports.media import Clip
from evergreen_server.ports.provider import Download, Task, TaskGone, TaskState
from evergreen_server.ports.specs import MediaKind
from evergreen_storage import SceneStore, open_storage
from tests.jobs.stepping import SCALE
from tests.jobs.tools import context_of, request_at, store_of

BODY = b"a drawing"


class Signatures:
    """Knows drawings by their first bytes."""

    def sniff(self, head: bytes) -> str | None:
        return "image/png" if head and BODY.startswith(head) else None


DRAWING = Clip(content_type="image/png", width=8, height=6, duration_seconds=0.0, codec="")


def now() -> datetime:
    return datetime.now(UTC)


class Provider:
    """Has one finished task of two outputs."""

    async def task(self, task_id: str) -> Task:
        urls = ("https://x/1", "https://x/2")
        return Task(task_id=task_id, state=TaskState.SUCCEEDED, status="SUCCEEDED", output_urls=urls)

    def __init__(self, body: bytes = BODY) -> None:
        self._body = body

    @asynccontextmanager
    async def download(self, _url: str, *, offset: int) -> AsyncIterator[Download]:
        async def chunks() -> AsyncIterator[bytes]:
            yield self._body[offset:]

        yield Download(chunks=chunks(), size=len(self._body), offset=offset, content_type="image/png")


class Drawings:
    """Delivers drawings, which have no poster; or finds fault with each one."""

    noun = "drawing"
    folder = "images"
    extensions: ClassVar = {"image/jpeg": "jpg", "image/png": "png"}
    most_bytes = len(BODY)

    def __init__(self, wrong: str = "") -> None:
        self._wrong = wrong

    async def examine(self, _job: Job, path: Path, content_type: str) -> Examined:
        assert content_type == "image/png"
        assert await asyncio.to_thread(path.read_bytes) == BODY
        if self._wrong:
            raise Unusable(self._wrong)
        return Examined(probe=DRAWING)


async def delivered(tmp_path: Path, drawings: Drawings, provider: object | None = None) -> Job:
    async with (
        open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database,
        open_storage((tmp_path / "scenes").as_uri()) as storage,
    ):
        store = store_of(database, clock=now)
        await store.accept(request_at(now()), job_id="job", estimated_millicredits=None, inline={})
        job = await store.claim("job", attempt=1, restarts=0, fencing_token="mine")
        assert job is not None
        made = replace(job, state=State.RUNNING, stage=Stage.DELIVERING, task_id="task", submit_token="mine")
        job = await store.change(job, lambda _: made, fencing_token="mine")
        context = context_of(
            store,
            scenes=SceneStore(storage, clock=now),
            provider=provider or Provider(),
            media=Signatures(),
            deliverers={MediaKind.VIDEO: drawings},
            limits=Limits(delivery_tries=2),
        )
        return await deliver(replace(context, pace=replace(context.pace, scale=SCALE)), job, "mine")


async def test_outputs_are_stored_as_their_deliverer_says(tmp_path: Path) -> None:
    job = await delivered(tmp_path, Drawings())

    assert job.state is State.SUCCEEDED
    assert [output.path for output in job.outputs] == ["images/job-1-1.png", "images/job-1-2.png"]
    assert {(output.content_type, output.width, output.poster) for output in job.outputs} == {("image/png", 8, "")}
    assert [path.name for path in sorted((tmp_path / "scenes/projects/film/scene-1/images").glob("job*"))] == [
        "job-1-1.png",
        "job-1-2.png",
    ]


@pytest.mark.parametrize("wrong", ["the output is no drawing", "the output shows nothing"])
async def test_what_is_no_good_is_removed_and_named_in_the_deliverers_words(tmp_path: Path, wrong: str) -> None:
    job = await delivered(tmp_path, Drawings(wrong))

    assert job.error is not None
    assert (job.state, job.error.reason) == (State.FAILED, "OUTPUT_INVALID")
    assert job.error.message == f"the drawing was made, but could not be stored: {wrong}"
    assert not list((tmp_path / "scenes/projects/film/scene-1/images").glob("job*"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>not here</html>", "the output is not a drawing: the file is of no known kind"),
        (b"", "the output is not a drawing: the file is empty"),
    ],
)
async def test_what_begins_as_something_else_is_never_stored(tmp_path: Path, body: bytes, message: str) -> None:
    job = await delivered(tmp_path, Drawings(), Provider(body))

    assert job.error is not None
    assert (job.state, job.error.reason) == (State.FAILED, "OUTPUT_INVALID")
    assert job.error.message == f"the drawing was made, but could not be stored: {message}"
    assert not list((tmp_path / "scenes").rglob("job*"))


class Broken(Provider):
    """One of its outputs is no drawing, and the other is; then the task is gone."""

    def __init__(self, broken: str, *, lasts: int = 9) -> None:
        super().__init__()
        self._broken = broken
        self._left = lasts

    async def task(self, task_id: str) -> Task:
        self._left -= 1
        if self._left < 0:
            raise TaskGone("deleted")
        return await super().task(task_id)

    @asynccontextmanager
    async def download(self, url: str, *, offset: int) -> AsyncIterator[Download]:
        async with Provider(b"<html>" if url == self._broken else BODY).download(url, offset=offset) as download:
            yield download


@pytest.mark.parametrize(
    ("broken", "left"), [("https://x/1", "images/job-1-2.png"), ("https://x/2", "images/job-1-1.png")]
)
async def test_what_is_paid_for_is_delivered_whichever_output_is_broken(broken: str, left: str, tmp_path: Path) -> None:
    job = await delivered(tmp_path, Drawings(), Broken(broken))

    assert (job.state, job.error and job.error.reason) == (State.FAILED, "OUTPUT_INVALID")
    assert [output.path for output in job.outputs] == [left]


async def test_the_later_outputs_of_a_task_that_is_gone_are_found(tmp_path: Path) -> None:
    job = await delivered(tmp_path, Drawings(), Broken("https://x/1", lasts=1))

    assert (job.state, [warning.code for warning in job.warnings]) == (State.SUCCEEDED, ["TASK_GONE"])
    assert [output.path for output in job.outputs] == ["images/job-1-2.png"]


async def test_an_output_that_is_longer_than_its_kind_may_be_is_given_up(tmp_path: Path) -> None:
    class Short(Drawings):
        most_bytes = len(BODY) - 1

    job = await delivered(tmp_path, Short())

    assert job.error is not None
    assert (job.state, job.error.reason) == (State.FAILED, "OUTPUT_INVALID")
    assert "larger than 8 bytes" in job.error.message
    assert not list((tmp_path / "scenes").rglob("job*"))
