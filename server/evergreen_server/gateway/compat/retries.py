"""Knows the retries of SDKs that repeat a POST by themselves and without a key, so that none of them pays twice."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
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
MOST_EACH = 16
"""Of those that say the same."""


class Retries:
    """The request ids of the last quarter of an hour, by who asked for what; of 10,000 at most. Used on one loop."""

    def __init__(self, *, calls: Calls, monotonic: Callable[[], float], now: Callable[[], datetime]) -> None:
        self._calls = calls
        self._monotonic = monotonic
        self._now = now
        self._kept: OrderedDict[tuple[str, str, str], tuple[dict[str, int], float]] = OrderedDict()

    async def request_id(self, request: web.Request, project_id: str, digest: str) -> str:
        """Returns the id for a request: that of the one that it repeats, or a new one. Raises Refused.

        Of several that say the same it is the newest that was not repeated as often yet, so that the retries of two
        find both; if all were, the newest.
        """
        if key := idempotency_key(request):
            return key
        visitor, count = visitor_of(request), _count_of(request)
        place = visitor.owner, project_id, digest
        posts, found = self._fresh(place), ""
        if count and not (found := _left(reversed(posts), posts, count)):
            recorded = await self._recorded(visitor, project_id, digest)
            posts = self._fresh(place)
            found = _left(recorded, posts, count) or next(chain(reversed(posts), recorded), "")
        found = found or uuid4().hex
        posts[found] = max(count, posts.get(found, 0))
        if len(posts) > MOST_EACH:
            del posts[next(iter(posts))]
        self._kept[place] = posts, self._monotonic()
        self._kept.move_to_end(place)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return found

    def _fresh(self, place: tuple[str, str, str]) -> dict[str, int]:
        """Returns how often requests were repeated that say the same, by their ids, the oldest first."""
        posts, since = self._kept.get(place, ({}, 0.0))
        return posts if self._monotonic() - since < KEPT.total_seconds() else {}

    async def _recorded(self, visitor: Visitor, project_id: str, digest: str) -> Sequence[str]:
        """Returns the ids of the requests of this digest that the server knows of, the newest first."""
        message = video_pb2.ListVideosRequest(
            project_id=project_id,
            labels={LABEL: digest},
            order=video_pb2.LIST_ORDER_NEWEST_FIRST,
            page_size=MOST_EACH,
        )
        message.created_from.FromDatetime(self._now() - KEPT)
        listed = await self._calls.ask(visitor, f"{VIDEO}/ListVideos", message, video_pb2.ListVideosResponse)
        return [job.request_id for job in listed.jobs]


def _left(found: Iterable[str], posts: Mapping[str, int], count: int) -> str:
    """Returns the first that was not repeated as often, empty if there is none."""
    return next((request_id for request_id in found if posts.get(request_id, 0) < count), "")


def _count_of(request: web.Request) -> int:
    """Returns the number of the retry that a request is, 0 for one that is none."""
    count = only(request, COUNT)
    return int(count) if count.isascii() and count.isdigit() and len(count) <= 4 else int(bool(count))


def digest_of(fields: Mapping[str, object], files: Mapping[str, tuple[bytes, str]]) -> str:
    """Returns the digest of all that a request says."""
    digest = hashlib.sha256()
    for name, value in sorted(fields.items()):
        digest.update(f"{name!r}={value!r}\n".encode(errors="backslashreplace"))
    for name, (data, _) in sorted(files.items()):
        digest.update(f"{name!r}:{len(data)}\n".encode(errors="backslashreplace"))
        digest.update(data)
    return digest.hexdigest()[:32]
