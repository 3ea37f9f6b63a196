"""A clip that is paid for is delivered whole, also where it cannot be measured, or no poster of it made."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.execution.context import Limits
from evergreen_server.jobs.execution.deliver import deliver
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.ports.media import MediaRefused, MediaTooCostly
from evergreen_server.ports.provider import Download, Task, TaskState
from evergreen_storage import SceneStore, open_storage
from tests.jobs.stepping import CLIP, SCALE
from tests.jobs.tools import context_of, request_at, store_of

BODY = b"a clip of which no poster can be made"


def now() -> datetime:
    return datetime.now(UTC)


class Provider:
    """Has one finished task, and counts how often its output is fetched."""

    fetched = 0

    async def task(self, task_id: str) -> Task:
        return Task(task_id=task_id, state=TaskState.SUCCEEDED, status="SUCCEEDED", output_urls=("https://x/clip",))

    @asynccontextmanager
    async def download(self, _url: str, *, offset: int) -> AsyncIterator[Download]:
        async def chunks() -> AsyncIterator[bytes]:
            yield BODY[offset:]

        self.fetched += 1
        yield Download(chunks=chunks(), size=len(BODY), offset=offset, content_type="video/mp4")


class Media:
    """Finds every clip sound, and fails at its poster, or before."""

    def __init__(self, fault: Exception, *, at_once: bool) -> None:
        self._fault = fault
        self._at_once = at_once

    def sniff(self, _head: bytes) -> str:
        return "video/mp4"

    async def probe(self, _path: Path, *, owner: str) -> object:
        if self._at_once:
            raise self._fault
        return CLIP

    async def poster(self, _path: Path, *, owner: str) -> bytes:
        raise self._fault


async def delivered(tmp_path: Path, fault: Exception, *, at_once: bool = False) -> tuple[Job, int]:
    """Runs the last step of a job, and tells how often the clip was fetched for it."""
    async with (
        open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database,
        open_storage((tmp_path / "scenes").as_uri()) as storage,
    ):
        store, provider = store_of(database, clock=now), Provider()
        await store.accept(request_at(now()), job_id="job", estimated_millicredits=None, inline={})
        job = await store.claim("job", attempt=1, restarts=0, fencing_token="mine")
        assert job is not None
        made = replace(job, state=State.RUNNING, stage=Stage.DELIVERING, task_id="task", submit_token="mine")
        job = await store.change(job, lambda _: made, fencing_token="mine")
        media = Media(fault, at_once=at_once)
        context = context_of(store, scenes=SceneStore(storage, clock=now), provider=provider, media=media)
        context = replace(context, limits=Limits(delivery_tries=2), pace=replace(context.pace, scale=SCALE))
        return await deliver(context, job, "mine"), provider.fetched


@pytest.mark.parametrize(
    "text", ["the file took longer than 30 s to decode", "the file is broken: its decoder crashed"]
)
async def test_a_poster_that_costs_too_much_is_left_out(tmp_path: Path, text: str) -> None:
    job, fetched = await delivered(tmp_path, MediaTooCostly(text, reason="MEDIA_REFUSED"))

    assert (job.state, fetched) == (State.SUCCEEDED, 1)
    assert [(warning.code, text in warning.message) for warning in job.warnings] == [("POSTER_MISSING", True)]
    assert [output.poster for output in job.outputs] == [""]
    assert (tmp_path / "scenes/projects/film/scene-1" / job.outputs[0].path).read_bytes() == BODY


async def test_a_clip_that_costs_too_much_to_measure_is_delivered_unmeasured(tmp_path: Path) -> None:
    job, fetched = await delivered(tmp_path, MediaTooCostly("its decoder crashed", reason=""), at_once=True)

    assert (job.state, fetched) == (State.SUCCEEDED, 1)
    assert [warning.code for warning in job.warnings] == ["CLIP_UNMEASURED"]
    assert [(output.width, output.duration_seconds, output.poster) for output in job.outputs] == [(0, 0.0, "")]


async def test_a_clip_of_which_no_frame_decodes_is_fetched_again_and_then_refused(tmp_path: Path) -> None:
    job, fetched = await delivered(tmp_path, MediaRefused("no frame decodes", reason="MEDIA_REFUSED"))

    assert (job.state, fetched) == (State.FAILED, 2)
    assert job.error is not None
    assert job.error.reason == "OUTPUT_INVALID"
