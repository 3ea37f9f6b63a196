"""Lists of jobs and projects: what is asked for, and page after page of it."""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, TypedDict, Unpack

from evergreen.calls import Calls
from evergreen.fields import check_fields
from evergreen.job import Kind, State, numbers
from evergreen.requests import timestamp
from evergreen.specs import ALL_KINDS
from evergreen.v1.video_pb2 import (
    Job,
    JobState,
    ListOrder,
    ListProjectsRequest,
    ListVideosRequest,
    MediaKind,
    Project,
)

if TYPE_CHECKING:
    # Exists only in the stubs' type information.
    from evergreen.v1.video_pb2_grpc import VideoServiceAsyncStub


class ListFields(TypedDict, total=False):
    """Which jobs a list has, and in which order. What is not given, or empty, matches all."""

    project_id: str
    scene_id: str
    states: Iterable[JobState.ValueType | State]
    kinds: Iterable[MediaKind.ValueType | Kind]
    models: Iterable[str]
    labels: Mapping[str, str]
    """A job has all of them."""
    created_from: datetime
    created_before: datetime
    job_id_part: str
    """What a job's id begins or ends with, such as the `0e450440` of a short id."""
    newest_first: bool
    page_size: int


def list_request(**fields: Unpack[ListFields]) -> ListVideosRequest:
    """Returns the request for the first page. Raises TypeError, and ValueError for a time without a zone."""
    check_fields(ListFields, fields)
    begin, end = fields.get("created_from"), fields.get("created_before")
    newest, oldest = ListOrder.LIST_ORDER_NEWEST_FIRST, ListOrder.LIST_ORDER_UNSPECIFIED
    return ListVideosRequest(
        project_id=fields.get("project_id", ""),
        scene_id=fields.get("scene_id", ""),
        states=numbers(JobState.DESCRIPTOR, fields.get("states", ()), "state"),
        kinds=numbers(MediaKind.DESCRIPTOR, fields.get("kinds", ALL_KINDS), "kind"),
        models=fields.get("models", ()),
        labels=fields.get("labels", {}),
        created_from=None if begin is None else timestamp(begin, "created_from"),
        created_before=None if end is None else timestamp(end, "created_before"),
        job_id_part=fields.get("job_id_part", ""),
        order=newest if fields.get("newest_first") else oldest,
        page_size=fields.get("page_size", 0),
    )


async def jobs(calls: Calls, stub: "VideoServiceAsyncStub", request: ListVideosRequest) -> AsyncIterator[Job]:
    """Yields jobs, fetching one page after the other."""
    while True:
        page = await calls.unary(stub.ListVideos, request)
        for job in page.jobs:
            yield job
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def projects(calls: Calls, stub: "VideoServiceAsyncStub", page_size: int) -> AsyncIterator[Project]:
    """Yields projects, fetching one page after the other."""
    request = ListProjectsRequest(page_size=page_size)
    while True:
        page = await calls.unary(stub.ListProjects, request)
        for project in page.projects:
            yield project
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
