"""What somebody wants to follow, and who is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from evergreen_server.gateway.live.items import Item
from evergreen_server.gateway.live.topics import KINDS
from evergreen_server.gateway.problems import Fault

__all__ = ["Reader", "Wish"]


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
