"""What a refusal must look like, and what it must not leave behind."""

import asyncio
from collections.abc import Awaitable, Iterable
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from evergreen.v1 import video_pb2
from tests.serving import Api, Control, detail_of, reason_of, violations_of

Error = grpc.aio.AioRpcError


async def refusal(call: Awaitable[object]) -> Error:
    """Awaits a call that must fail, and gives its error."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def invalid(call: Awaitable[object]) -> dict[str, str]:
    """Awaits a call that must be refused for what is in it, and gives the faults by field."""
    error = await refusal(call)
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"), error
    return violations_of(error)


def metadata_of(error: Error) -> dict[str, str]:
    return dict(detail_of(error, error_details_pb2.ErrorInfo()).metadata)


def retry_seconds(error: Error) -> float:
    """How long the caller is told to wait; fails where nothing is told."""
    delay = detail_of(error, error_details_pb2.RetryInfo()).retry_delay
    return delay.seconds + delay.nanos / 1e9


async def jobs_of(api: Api, project_id: str = "") -> list[video_pb2.Job]:
    return list((await api.video.ListVideos(video_pb2.ListVideosRequest(project_id=project_id))).jobs)


def files_below(folder: Path) -> list[str]:
    """Every file below a folder, by its path in it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def assert_nothing_left(api: Api, sandbox: Control, data: Path, *, jobs: Iterable[str] = ()) -> None:
    """No file of a scene, no spooled download, no paid task, and no row but those of `jobs`."""
    assert files_below(data / "projects") == []
    # A job's end may be told a moment before what was spooled for it is removed.
    async with asyncio.timeout(60):
        while files_below(data / "state" / "temp"):  # noqa: ASYNC110 (a folder gives no event)
            await asyncio.sleep(0.01)
    assert await sandbox.tasks() == []
    assert [job.job_id for job in await jobs_of(api)] == list(jobs)
