"""Every task ever created, the queues, the credits and the uploads: rebuilt from the journal.

Nothing here waits. Reading the state at a time advances the queues to that time.
"""

from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, date, datetime

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.sandbox.state.account import (
    DEFAULT_TIER,
    AccountChange,
    tier,
    tier_entry,
    tier_from_entry,
)
from evergreen_server.providers.runway.sandbox.state.clock import Anchor
from evergreen_server.providers.runway.sandbox.state.journal import Journal
from evergreen_server.providers.runway.sandbox.state.lane import Lane
from evergreen_server.providers.runway.sandbox.state.tasks import Task, TaskRecord
from evergreen_server.providers.runway.sandbox.state.uploads import Upload


class NotEnoughCredits(Exception):
    """The balance is below the estimate; nothing was created."""


class DailyLimitReached(Exception):
    """The model's rolling daily quota is used up; nothing was created."""


class Books:
    """The account's state. Each method that changes something has recorded it before it returns."""

    def __init__(self, *, journal: Journal) -> None:
        self._journal = journal
        self._balance = 0
        self._lanes: dict[str, Lane] = {}
        self._tasks: dict[str, Task] = {}
        self._net: defaultdict[tuple[date, str], int] = defaultdict(int)
        self.tier = tier(DEFAULT_TIER)
        self.uploads: dict[str, Upload] = {}
        self.anchor: Anchor | None = None
        """Returns the last recorded relation of real to simulated time; None for a new account."""
        self._replay()

    @property
    def tasks(self) -> list[Task]:
        """Returns all tasks in the order of their creation, deleted ones too."""
        return list(self._tasks.values())

    @property
    def count(self) -> int:
        return len(self._tasks)

    def task(self, task_id: str, now: float) -> Task | None:
        """Finds a task with its queue advanced to `now`, also a deleted one."""
        task = self._tasks.get(task_id)
        if task is not None:
            self._advance(task.record.model, now)
        return task

    def play(self, now: float) -> None:
        """Runs all queues up to `now`."""
        for model in self._lanes:
            self._advance(model, now)

    def balance(self, now: float) -> int:
        self.play(now)
        return self._balance

    def used_today(self, model: str, now: float) -> int:
        lane = self._lanes.get(model)
        return 0 if lane is None else lane.used_today(now)

    def at_limit(self, model: str, now: float) -> bool:
        """Returns whether another task of a model would wait for one that runs."""
        self._advance(model, now)
        return self._lane(model).full

    def create(self, record: TaskRecord) -> Task:
        """Creates a task, charged and queued. Raises NotEnoughCredits, DailyLimitReached."""
        now = record.created_at
        if self.balance(now) < record.estimate:
            raise NotEnoughCredits
        if self._lane(record.model).full_today(now):
            raise DailyLimitReached
        self._write("task", now, record.entry())
        return self._created(record)

    def delete(self, task: Task, now: float) -> None:
        """Cancels an unfinished task or forgets an ended one."""
        self._write("delete", now, {"id": task.record.id})
        self._deleted(task, now)

    def change(self, change: AccountChange, now: float) -> None:
        entry: dict[str, Json] = {}
        if change.balance is not None:
            entry["balance"] = change.balance
        if change.tier is not None:
            entry["tier"] = tier_entry(change.tier)
        if entry:
            self._write("account", now, entry)
            self._changed(change, now)

    def charge(self, model: str, amount: int, now: float) -> None:
        """Charges what is no task, or gives back where the amount is negative. Raises NotEnoughCredits."""
        if amount > 0 and self.balance(now) < amount:
            raise NotEnoughCredits
        self._write("charge", now, {"model": model, "amount": amount})
        self._charge(model, amount, now)

    def keep_upload(self, upload: Upload, now: float) -> None:
        self._write("upload", now, asdict(upload))
        self.uploads[upload.id] = upload

    def keep_clock(self, anchor: Anchor) -> None:
        self._write("clock", anchor.simulated, asdict(anchor))

    def net_usage(self, now: float) -> dict[tuple[date, str], int]:
        """Returns charges less refunds, in millicredits, by UTC day and model."""
        self.play(now)
        return dict(self._net)

    def _write(self, kind: str, at: float, entry: dict[str, Json]) -> None:
        self._journal.append({"kind": kind, "at": float(at), "entry": entry})

    def _replay(self) -> None:
        for line in self._journal.replay():
            match line:
                case {"kind": "task", "entry": dict(entry)}:
                    record = TaskRecord.from_entry(entry)
                    self.play(record.created_at)
                    self._created(record)
                case {"kind": "delete", "at": float(at), "entry": {"id": str(task_id)}}:
                    task = self.task(task_id, at)
                    assert task is not None
                    self._deleted(task, at)
                case {"kind": "account", "at": float(at), "entry": dict(entry)}:
                    balance = entry.get("balance")
                    change = AccountChange(
                        balance=balance if isinstance(balance, int) else None,
                        tier=tier_from_entry(entry["tier"]) if "tier" in entry else None,
                    )
                    self._changed(change, at)
                case {"kind": "charge", "at": float(at), "entry": {"model": str(model), "amount": int(amount)}}:
                    self._charge(model, amount, at)
                case {"kind": "upload", "entry": dict(entry)}:
                    upload = Upload(**entry)  # type: ignore[arg-type] # written by `keep_upload`
                    self.uploads[upload.id] = upload
                case {"kind": "clock", "entry": dict(entry)}:
                    self.anchor = Anchor(**entry)  # type: ignore[arg-type] # written by `keep_clock`

    def _created(self, record: TaskRecord) -> Task:
        self._advance(record.model, record.created_at)
        task = Task(record=record, charged=record.estimate)
        self._tasks[record.id] = task
        self._charge(record.model, record.estimate, record.created_at)
        self._lane(record.model).add(task)
        return task

    def _deleted(self, task: Task, now: float) -> None:
        self._advance(task.record.model, now)
        status = task.status(now)
        task.deleted_at = now
        if status in {"SUCCEEDED", "FAILED"}:
            return
        task.cancelled = True
        if status != "RUNNING":
            self._settle(task, 0, now)
        self._lane(task.record.model).remove(task, now)

    def _changed(self, change: AccountChange, now: float) -> None:
        self.play(now)
        if change.balance is not None:
            self._balance = change.balance
        if change.tier is not None:
            self.tier = change.tier
            for model, lane in self._lanes.items():
                limits = change.tier.of(model)
                lane.max_daily = limits.daily
                lane.limit(limits.concurrent, now)

    def _lane(self, model: str) -> Lane:
        if model not in self._lanes:
            limits = self.tier.of(model)
            self._lanes[model] = Lane(max_concurrent=limits.concurrent, max_daily=limits.daily)
        return self._lanes[model]

    def _advance(self, model: str, now: float) -> None:
        for task in self._lane(model).advance(now):
            assert task.ends_at is not None
            failure = task.record.failure
            kept = failure is None or failure.charged
            self._settle(task, task.record.cost if kept else 0, task.ends_at)

    def _settle(self, task: Task, cost: int, at: float) -> None:
        self._charge(task.record.model, cost - task.charged, at)
        task.charged = cost

    def _charge(self, model: str, amount: int, at: float) -> None:
        self._balance -= amount
        self._net[datetime.fromtimestamp(at, UTC).date(), model] += amount
