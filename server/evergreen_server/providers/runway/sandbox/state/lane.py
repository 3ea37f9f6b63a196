"""One model's queue: a number of tasks at once; the others are THROTTLED, and admitted first come, first served."""

from collections import deque
from heapq import heappop, heappush

from evergreen_server.providers.runway.sandbox.state.tasks import Task

DAY = 24 * 3600.0


class Lane:
    """Advances a model's queue in simulated time. Every step costs O(log n) of its own tasks."""

    def __init__(self, *, max_concurrent: int | None, max_daily: int | None) -> None:
        self.max_concurrent = max_concurrent
        self.max_daily = max_daily
        self._active = 0
        self._count = 0
        self._ends: list[tuple[float, int, Task]] = []
        self._held: list[tuple[float, int, Task]] = []
        self._waiting: deque[Task] = deque()
        self._created: deque[float] = deque()

    def used_today(self, now: float) -> int:
        """Counts the creations of the last 24 hours; a deleted task still counts."""
        while self._created and self._created[0] <= now - DAY:
            self._created.popleft()
        return len(self._created)

    def full_today(self, now: float) -> bool:
        return self.max_daily is not None and self.used_today(now) >= self.max_daily

    @property
    def full(self) -> bool:
        """Returns whether another task would have to wait."""
        return self.max_concurrent is not None and self._active >= self.max_concurrent

    def add(self, task: Task) -> None:
        """Adds a task at its creation time, to which the lane must have been advanced."""
        at = task.record.created_at
        self._created.append(at)
        if task.record.held_seconds > 0:
            self._push(self._held, at + task.record.held_seconds, task)
        else:
            self._waiting.append(task)
            self._admit(at)

    def remove(self, task: Task, at: float) -> None:
        """Frees the slot of an unfinished task. Its entries stay in the heaps and are skipped later."""
        if task.admitted_at is not None:
            self._active -= 1
            self._admit(at)

    def limit(self, max_concurrent: int | None, at: float) -> None:
        self.max_concurrent = max_concurrent
        self._admit(at)

    def advance(self, now: float) -> list[Task]:
        """Processes everything up to `now` in order. Returns the tasks that ended."""
        ended = []
        while (at := min(self._first(self._ends), self._first(self._held))) <= now:
            while self._first(self._held) <= at:
                self._waiting.append(heappop(self._held)[2])
            while self._first(self._ends) <= at:
                task = heappop(self._ends)[2]
                if not task.cancelled:
                    self._active -= 1
                    ended.append(task)
            self._admit(at)
        return ended

    def _admit(self, at: float) -> None:
        while self._waiting and (self.max_concurrent is None or self._active < self.max_concurrent):
            task = self._waiting.popleft()
            if task.cancelled:
                continue
            task.admitted_at = at
            self._active += 1
            self._push(self._ends, at + task.record.seconds_to_end, task)

    def _push(self, heap: list[tuple[float, int, Task]], at: float, task: Task) -> None:
        self._count += 1
        heappush(heap, (at, self._count, task))

    @staticmethod
    def _first(heap: list[tuple[float, int, Task]]) -> float:
        return heap[0][0] if heap else float("inf")
