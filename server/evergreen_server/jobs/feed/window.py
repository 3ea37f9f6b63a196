"""What the watchers of one project share: the window of its last events, and whom to wake for which job."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

WINDOW = 1024
AT_ONCE = 100
"""How many events a watcher takes at a time: times their size, that bounds what one that stops reading holds."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it goes on the wire."""

    revision: int
    job_id: str
    """The job, or `film/` and the id of a film."""
    progress: bool
    final: bool
    kind: str
    """What the job makes, or FILM."""
    data: bytes


class Watcher:
    """One open watch: which jobs it is about, and whether there is something to read."""

    __slots__ = ("_future", "aged", "checked_at", "job_ids", "ticked", "woken")

    def __init__(self, job_ids: frozenset[str], now: float) -> None:
        self.job_ids = job_ids
        self.checked_at = now
        self.aged = False
        self.ticked = False
        self.woken = False
        self._future: asyncio.Future[None] | None = None

    def wake(self) -> None:
        self.woken = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def age(self) -> None:
        """Ends the watch as soon as it has caught up."""
        self.aged = True
        self.wake()

    def sleep(self) -> asyncio.Future[None]:
        """Returns a future that ends at the next `wake`; no coroutine, since each event of each watcher passes here."""
        self._future = asyncio.get_running_loop().create_future()
        return self._future


class ProjectWindow:
    """A watched project: its last events, without a gap, and its watchers. `revision` is that of the last one."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.watchers: set[Watcher] = set()
        self._window: list[Entry] = []
        self._of_project: set[Watcher] = set()
        self._of_job: dict[str, set[Watcher]] = {}

    def join(self, watcher: Watcher) -> None:
        self.watchers.add(watcher)
        if not watcher.job_ids:
            self._of_project.add(watcher)
        for job_id in watcher.job_ids:
            self._of_job.setdefault(job_id, set()).add(watcher)

    def leave(self, watcher: Watcher) -> None:
        self.watchers.discard(watcher)
        self._of_project.discard(watcher)
        for job_id in watcher.job_ids:
            watchers = self._of_job.get(job_id, set())
            watchers.discard(watcher)
            if not watchers:
                self._of_job.pop(job_id, None)

    def concerned(self, entries: Iterable[Entry]) -> Collection[Watcher]:
        """Returns the watchers that at least one of the events concerns."""
        found = set(self._of_project)
        for job_id in {entry.job_id for entry in entries}:
            found |= self._of_job.get(job_id, set())
        return found

    def extend(self, entries: Sequence[Entry]) -> None:
        if entries[0].revision != self.revision + 1:
            self._window.clear()
        self._window += entries
        self.revision = entries[-1].revision
        if len(self._window) > 2 * WINDOW:
            del self._window[:-WINDOW]

    def after(self, cursor: int) -> tuple[Sequence[Entry], int] | None:
        """Returns the next events and the revision they reach; None if the window begins later."""
        if cursor >= self.revision:
            return (), cursor
        start = cursor + 1 - self._window[0].revision if self._window else -1
        if start < 0:
            return None
        entries = self._window[start : start + AT_ONCE]
        return entries, entries[-1].revision


def select_for(entries: Sequence[Entry], job_ids: frozenset[str], kinds: Collection[str]) -> Iterable[Entry]:
    """Returns the events to send to a watch, without a percentage that a later event of the same job follows.

    They are those of the jobs, or without any, those of jobs of these kinds.
    """
    if len(entries) == 1 and (entries[0].job_id in job_ids if job_ids else entries[0].kind in kinds):
        return entries
    picked: list[Entry] = []
    later: set[str] = set()
    for entry in reversed(entries):
        if entry.job_id not in job_ids if job_ids else entry.kind not in kinds:
            continue
        if not (entry.progress and entry.job_id in later):
            picked.append(entry)
        later.add(entry.job_id)
    picked.reverse()
    return picked
