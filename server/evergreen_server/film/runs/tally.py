"""How far a run is, for those who watch it: how many outputs of each kind there are, and a share of the whole."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Final

from evergreen_server.film.model import OutputKind
from evergreen_server.film.runs.deciding import Item
from evergreen_server.film.statuses import Status
from evergreen_server.jobs.model.job import Job

__all__ = ["Count", "Tally", "tally"]

_SECONDS: Final = {OutputKind.PICTURE: 5.0, OutputKind.SPEECH: 3.0, OutputKind.CLIP: 60.0}
"""About how long each takes to be made, by which the share is weighted."""
_FAILED: Final = frozenset({Status.STILL, Status.LEFT_OUT, Status.TROUBLE, Status.FATAL, Status.UNREACHABLE})
_RUNNING: Final = frozenset({Status.OPEN, Status.ASKS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """The outputs of one kind that a run is to have."""

    total: int = 0
    reused: int = 0
    """That were there before the run, older ones that stand in among them."""
    done: int = 0
    """That the run has made."""
    running: int = 0
    """That have a job under way, or one that asks."""
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    counts: Mapping[OutputKind, Count] = field(default_factory=dict)
    share: float = 0.0
    """Of the outputs that are to be made, 0 to 1: how much of the time that they take is over."""


def tally(items: Iterable[Item], statuses: Mapping[str, Status], *, jobs: Mapping[str, Job], made: Set[str]) -> Tally:
    """Returns how far a run is. `made` are the outputs that it has made itself; jobs are by output."""
    counts = {kind: Count() for kind in OutputKind}
    done = whole = 0.0
    for item in items:
        key = item.key
        status, count, seconds = statuses[key], counts[item.kind], _SECONDS[item.kind]
        there = status in (Status.THERE, Status.OLDER)
        running, failed = status in _RUNNING, status in _FAILED
        counts[item.kind] = Count(
            total=count.total + 1,
            reused=count.reused + (there and key not in made),
            done=count.done + (there and key in made),
            running=count.running + running,
            failed=count.failed + failed,
        )
        if there and key not in made:
            continue
        whole += seconds
        job = jobs.get(key)
        done += seconds * (1.0 if there or failed else job.progress if running and job is not None else 0.0)
    return Tally(counts=counts, share=round(done / whole, 2) if whole else 1.0)
