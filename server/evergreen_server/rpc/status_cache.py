"""Serialized answers to GetStatus, kept while they are surely current."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from evergreen_server.jobs.feed.window import Entry
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Slot
from evergreen_server.rpc.access.policy import Caller

STATUSES_KEPT = 10_000


class StatusCache:
    """Serialized GetStatus answers. A lone process is notified of every change, so what it keeps is what the row says.

    With `final_only`, for one of several servers, only jobs that can change no more are kept.
    """

    def __init__(self, *, final_only: bool = False, size: int = STATUSES_KEPT) -> None:
        self._final_only = final_only
        self._size = size
        self._kept: OrderedDict[str, tuple[bytes, int, str, Slot | None]] = OrderedDict()
        self._reading: dict[str, object] = {}

    def on_commit(self, changes: Iterable[Change]) -> None:
        """Drops what a commit changed."""
        for change in changes:
            self._kept.pop(change.job_id, None)
            self._reading.pop(change.job_id, None)

    def on_events_read(self, events: Iterable[Entry]) -> None:
        """Drops what is older than an event that a watcher is about to see, even if its commit is not announced yet."""
        for event in events:
            self._reading.pop(event.job_id, None)
            kept = self._kept.get(event.job_id)
            if kept is not None and kept[1] < event.revision:
                del self._kept[event.job_id]

    def get(self, job_id: str, caller: Caller) -> tuple[bytes, Slot | None] | None:
        """Returns the answer about a job that the caller may see, if it is kept, and the job's need of a slot.

        If it needs one, its forecast is to be added.
        """
        kept = self._kept.get(job_id)
        return (kept[0], kept[3]) if kept is not None and caller.sees(kept[2]) else None

    @contextmanager
    def reading(self, job_id: str) -> Iterator[Callable[[Job, bytes], None]]:
        """Yields a function that keeps the answer about a row read inside, unless the row has changed meanwhile."""
        mark = self._reading[job_id] = object()

        def keep(job: Job, answer: bytes) -> None:
            if self._reading.get(job_id) is mark and (job.final or not self._final_only):
                self._kept[job_id] = answer, job.revision, job.request.project_id, job.needs_slot
                if len(self._kept) > self._size:
                    self._kept.popitem(last=False)

        try:
            yield keep
        finally:
            if self._reading.get(job_id) is mark:
                del self._reading[job_id]
