"""What somebody wants to follow, and who is told."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from evergreen.v1 import video_pb2
from evergreen_server.gateway.live.items import FILM, Item, film_of, subject_of_film
from evergreen_server.gateway.live.topics import KINDS
from evergreen_server.gateway.problems import Fault

__all__ = ["Reader", "Wish", "request_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants to follow: these jobs and films, or without any the whole project, of which jobs that make
    one of `kinds`, and with FILM among them its films.

    `again`: the same as before, so that what is not after `after` was seen, the end of jobs too.
    """

    job_ids: Sequence[str] = ()
    film_ids: Sequence[str] = ()
    after: int | None = None
    again: bool = False
    include_finished: bool = False
    kinds: frozenset[int] = frozenset(KINDS)

    @property
    def named(self) -> Sequence[str]:
        """Returns the subjects of the jobs and films that are followed by their ids."""
        return [*self.job_ids, *map(subject_of_film, self.film_ids)]

    def without(self, subjects: Collection[str]) -> "Wish":
        """Returns the wish without some of what it names."""
        return replace(
            self,
            job_ids=[job_id for job_id in self.job_ids if job_id not in subjects],
            film_ids=[film_id for film_id in self.film_ids if subject_of_film(film_id) not in subjects],
        )


class Reader(Protocol):
    """Who is told. What it raises ends the following."""

    async def send(self, item: Item) -> None: ...

    async def ended(self, project_id: str, subjects: Sequence[str]) -> None:
        """Takes that jobs and films were seen final, and are followed no more."""

    async def failed(self, project_id: str, wish: Wish, fault: Fault) -> None:
        """Takes that a wish cannot be met."""


def request_of(
    project_id: str, whole: Wish | None, named: Collection[str], *, after: int | None, include_finished: bool
) -> video_pb2.WatchProgressRequest:
    """Returns the request of a watch of one's own: of what is named, or with `whole` of the project with all of it."""
    request = video_pb2.WatchProgressRequest(project_id=project_id, include_finished=include_finished)
    if after is not None:
        request.after_revision = after
    films = [film_id for subject in named if (film_id := film_of(subject)) is not None]
    jobs = [subject for subject in named if film_of(subject) is None]
    if whole is not None:
        # What is named beside it may be of any kind.
        request.kinds.extend(kind for kind in KINDS if jobs or kind in whole.kinds)
        request.include_films = bool(films) or FILM in whole.kinds
    else:
        request.job_ids.extend(jobs)
        request.film_ids.extend(films)
    return request
