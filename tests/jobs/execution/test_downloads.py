"""Outputs whose download breaks off: where it goes on, and when there is nothing to go on with."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from evergreen_server.jobs.model.states import State
from evergreen_server.ports.provider import Download, OutputUnavailable, Task, TaskState
from tests.jobs.execution.test_deliverers import BODY, Drawings, delivered

URLS = ("https://x/1",)
WHOLE = Task(task_id="task", state=TaskState.SUCCEEDED, status="SUCCEEDED", output_urls=URLS)
EMPTY = Task(task_id="task", state=TaskState.SUCCEEDED, status="SUCCEEDED")
CANCELLED = Task(task_id="task", state=TaskState.CANCELLED, status="CANCELLED", output_urls=URLS)
RUNNING = Task(task_id="task", state=TaskState.RUNNING, status="RUNNING", output_urls=URLS)


class Provider:
    """Gives the answers about the task in order, the last one again and again; each first download breaks off."""

    def __init__(self, *tasks: Task, breaks_at: int = 4, resumes_at: Sequence[int] = ()) -> None:
        self._tasks = list(tasks)
        self._breaks_at = breaks_at
        self._resumes_at = list(resumes_at)
        self.offsets: list[int] = []

    async def task(self, _task_id: str) -> Task:
        return self._tasks.pop(0) if len(self._tasks) > 1 else self._tasks[0]

    @asynccontextmanager
    async def download(self, _url: str, *, offset: int) -> AsyncIterator[Download]:
        self.offsets.append(offset)
        start = self._resumes_at.pop(0) if offset and self._resumes_at else offset
        breaks = len(self.offsets) == 1

        async def chunks() -> AsyncIterator[bytes]:
            for place in range(start, self._breaks_at if breaks else len(BODY)):
                yield BODY[place : place + 1]
            if breaks:
                raise OutputUnavailable("the connection was lost")

        yield Download(chunks=chunks(), size=len(BODY), offset=start, content_type="image/png")


@pytest.mark.parametrize("resumes_at", [4, 3, 0])
async def test_a_download_goes_on_where_it_broke_off_wherever_the_server_resumes(
    resumes_at: int, tmp_path: Path
) -> None:
    provider = Provider(WHOLE, resumes_at=[resumes_at])

    job = await delivered(tmp_path, Drawings(), provider)

    assert (job.state, job.outputs[0].size_bytes) == (State.SUCCEEDED, len(BODY))
    assert provider.offsets == [0, 4]


@pytest.mark.parametrize("resumes_at", [5, len(BODY)])
async def test_a_download_that_resumes_too_late_is_begun_anew(resumes_at: int, tmp_path: Path) -> None:
    provider = Provider(WHOLE, resumes_at=[resumes_at])

    job = await delivered(tmp_path, Drawings(), provider)

    assert (job.state, job.outputs[0].size_bytes) == (State.SUCCEEDED, len(BODY))
    assert provider.offsets == [0, 4, 0]


async def test_a_download_whose_task_has_no_output_for_a_while_is_begun_anew(tmp_path: Path) -> None:
    provider = Provider(WHOLE, EMPTY, WHOLE)

    job = await delivered(tmp_path, Drawings(), provider)

    assert (job.state, job.outputs[0].size_bytes) == (State.SUCCEEDED, len(BODY))
    assert provider.offsets == [0, 0]


@pytest.mark.parametrize("task", [EMPTY, CANCELLED, RUNNING], ids=lambda task: task.status)
async def test_a_task_that_was_finished_and_has_no_output_any_more_fails_the_job(task: Task, tmp_path: Path) -> None:
    provider = Provider(task)

    job = await delivered(tmp_path, Drawings(), provider)

    assert job.error is not None
    assert (job.state, job.error.reason) == (State.FAILED, "OUTPUT_UNAVAILABLE")
    assert f"the task is {task.status} and has no output" in job.error.message
    assert provider.offsets == []
