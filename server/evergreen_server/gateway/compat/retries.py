"""Knows the retries of SDKs that repeat a POST by themselves and without a key, so that none of them pays twice."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from uuid import uuid4

from aiohttp import web

from evergreen.v1 import video_pb2
from evergreen_server.gateway.compat.jobs import VIDEO
from evergreen_server.gateway.rest.calls import Calls
from evergreen_server.gateway.rest.reading import idempotency_key
from evergreen_server.gateway.visitors import Visitor, only, visitor_of

__all__ = ["LABEL", "Retries", "digest_of"]

LABEL = "evergreen-body"
"""The label that has a request's digest: another replica, or this one after a restart, finds its job by it."""
COUNT = "X-Stainless-Retry-Count"
KEPT = timedelta(minutes=15)
MOST = 10_000


class Retries:
    """The request ids of the last quarter of an hour, by who asked for what; 10,000 at most. Used on one loop."""

    def __init__(self, *, calls: Calls, monotonic: Callable[[], float], now: Callable[[], datetime]) -> None:
        self._calls = calls
        self._monotonic = monotonic
        self._now = now
        self._kept: OrderedDict[tuple[str, str, str], tuple[str, float]] = OrderedDict()

    async def request_id(self, request: web.Request, project_id: str, digest: str) -> str:
        """Returns the id for a request: that of the one that it repeats, or a new one. Raises Refused."""
        if key := idempotency_key(request):
            return key
        visitor, count = visitor_of(request), only(request, COUNT)
        place = visitor.owner, project_id, digest
        found = ""
        if count not in ("", "0"):
            known, since = self._kept.get(place, ("", 0.0))
            fresh = bool(known) and self._monotonic() - since < KEPT.total_seconds()
            found = known if fresh else await self._recorded(visitor, project_id, digest)
        found = found or uuid4().hex
        self._kept[place] = found, self._monotonic()
        self._kept.move_to_end(place)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return found

    async def _recorded(self, visitor: Visitor, project_id: str, digest: str) -> str:
        """Returns the id of the newest request of this digest that the server knows of, empty if there is none."""
        message = video_pb2.ListVideosRequest(
            project_id=project_id,
            labels={LABEL: digest},
            order=video_pb2.LIST_ORDER_NEWEST_FIRST,
            page_size=1,
        )
        message.created_from.FromDatetime(self._now() - KEPT)
        listed = await self._calls.ask(visitor, f"{VIDEO}/ListVideos", message, video_pb2.ListVideosResponse)
        return listed.jobs[0].request_id if listed.jobs else ""


def digest_of(fields: Mapping[str, object], files: Mapping[str, tuple[bytes, str]]) -> str:
    """Returns the digest of all that a request says."""
    digest = hashlib.sha256()
    for name, value in sorted(fields.items()):
        digest.update(f"{name!r}={value!r}\n".encode(errors="backslashreplace"))
    for name, (data, _) in sorted(files.items()):
        digest.update(f"{name!r}:{len(data)}\n".encode(errors="backslashreplace"))
        digest.update(data)
    return digest.hexdigest()[:32]
