"""What somebody wants to follow, and who is told."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from evergreen.v1 import video_pb2
from evergreen_server.gateway.live.items import FILM, Item
from evergreen_server.gateway.live.topics import KINDS
from evergreen_server.gateway.problems import Fault

__all__ = ["Reader", "Wish", "request_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants to follow: these jobs, or without any the whole project, of which jobs that make one of
    `kinds`, and with FILM among them its films.

    `again`: the same as before, so that what is not after `after` was seen, the end of jobs too.
    """

    job_ids: Sequence[str] = ()
    after: int | None = None
    again: bool = False
    include_finished: bool = False
    kinds: frozenset[int] = frozenset(KINDS)


class Reader(Protocol):
    """Who is told. What it raises ends the following."""

    async def send(self, item: Item) -> None: ...

    async def ended(self, job_ids: Sequence[str]) -> None:
        """Takes that jobs were seen final, and are followed no more."""

    async def failed(self, project_id: str, wish: Wish, fault: Fault) -> None:
        """Takes that a wish cannot be met."""


def request_of(
    project_id: str, whole: Wish | None, job_ids: Collection[str] | None, *, after: int | None, include_finished: bool
) -> video_pb2.WatchProgressRequest:
    """Returns the request of a watch of one's own: of these jobs, or without any, of what is wished of the project."""
    request = video_pb2.WatchProgressRequest(project_id=project_id, include_finished=include_finished)
    if after is not None:
        request.after_revision = after
    if job_ids is not None:
        request.job_ids.extend(job_ids)
    elif whole is not None:
        request.kinds.extend(kind for kind in KINDS if kind in whole.kinds)
        request.include_films = FILM in whole.kinds
    return request
