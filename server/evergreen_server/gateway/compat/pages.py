"""Lists a project's jobs after a given one, as OpenAI's lists go on: by the id of the last that was seen."""

from datetime import UTC, timedelta

from evergreen.v1 import video_pb2
from evergreen_server.gateway.compat.jobs import VIDEO, Jobs
from evergreen_server.gateway.compat.videos import job_id_of
from evergreen_server.gateway.problems import invalid
from evergreen_server.gateway.rest.calls import Calls
from evergreen_server.gateway.visitors import Visitor

__all__ = ["Pages"]

ORDERS = {"asc": video_pb2.LIST_ORDER_OLDEST_FIRST, "desc": video_pb2.LIST_ORDER_NEWEST_FIRST}
USUAL, MOST = 20, 100
SPARE = 100
"""Jobs of the very same moment as the last that was seen, which come before what follows it."""
MOMENT = timedelta(microseconds=1)


class Pages:
    """Reads pages as a visitor. Used on one loop."""

    def __init__(self, *, calls: Calls, jobs: Jobs) -> None:
        self._calls = calls
        self._jobs = jobs

    async def after(
        self, visitor: Visitor, project_id: str, *, after: str, limit: str, order: str
    ) -> tuple[list[video_pb2.Job], bool]:
        """Returns a page of jobs, and whether there are more. Raises Refused."""
        size = _size(limit)
        if order not in ("", *ORDERS):
            raise invalid("order", "must be asc or desc")
        chosen = ORDERS[order or "desc"]
        message = video_pb2.ListVideosRequest(project_id=project_id, order=chosen, page_size=size + 1)
        if after:
            last = await self._jobs.status(visitor, job_id_of(after))
            if last.project_id != project_id:
                raise invalid("after", "is a video of another project")
            at = last.create_time.ToDatetime(UTC)
            if chosen == video_pb2.LIST_ORDER_OLDEST_FIRST:
                message.created_from.FromDatetime(at)
            else:
                message.created_before.FromDatetime(at + MOMENT)
            message.page_size += SPARE
        listed = await self._calls.ask(visitor, f"{VIDEO}/ListVideos", message, video_pb2.ListVideosResponse)
        found = list(listed.jobs)
        if after:
            places = (place for place, job in enumerate(found, 1) if job.job_id == last.job_id)
            found = found[next(places, 0) :]
        return found[:size], len(found) > size or bool(listed.next_page_token)


def _size(limit: str) -> int:
    if not limit:
        return USUAL
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 3 and 1 <= int(limit) <= MOST):
        raise invalid("limit", f"must be 1 to {MOST}")
    return int(limit)
