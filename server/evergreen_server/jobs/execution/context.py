"""What the steps of a job work with, and the few functions that they share."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

from evergreen_server.jobs.admission.durations import Durations
from evergreen_server.jobs.admission.scheduler import SlotScheduler
from evergreen_server.jobs.execution.kinds.deliverer import Deliverer
from evergreen_server.jobs.execution.polling.budget import PollBudget
from evergreen_server.jobs.execution.polling.schedule import Pace
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.progress_buffer import ProgressBuffer
from evergreen_server.jobs.store.provider_tasks import TaskRecords
from evergreen_server.jobs.wakeups import Wakeups
from evergreen_server.ports.catalog import ModelTable
from evergreen_server.ports.media import MediaTools
from evergreen_server.ports.metrics import Metrics, NullMetrics
from evergreen_server.ports.provider import NotSent, Provider, Task
from evergreen_server.ports.specs import MediaKind
from evergreen_server.runtime.backoff import doubled
from evergreen_server.runtime.shield import ProtectedTasks
from evergreen_server.runtime.threads import OwnThreads
from evergreen_server.runtime.turns import Turns
from evergreen_storage import SceneStore

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long the steps wait for others. Unless noted, seconds are the provider's, and are divided by `Pace.scale`."""

    submission_grace_seconds: float = 0.0
    """For how long, in real seconds from the intent, another process may still get an answer; 0 if there is none."""
    generation_hours: float = 24.0
    """After this long a task that has not ended is cancelled, if the request has no finish_by."""
    patience_hours: float = 1.0
    """An execution waits for a task at least this long, since the clock may have been set forward."""
    load_wait_seconds: float = 60.0
    """In real seconds, how long a job that has a slot waits to load its inputs; then others get the slot."""
    media_tries: int = 3
    delivery_tries: int = 5
    delivery_hours: float = 24.0
    """After this long an output whose server gives no answer is given up; its URLs live hardly longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """How many jobs of this process may be in a step at once, with turns for their projects."""

    prepares: Turns = field(default_factory=lambda: Turns(4))
    """Jobs whose inputs are fetched, checked and kept, one input of each at a time."""
    loads: Turns = field(default_factory=lambda: Turns(8))
    """Jobs whose inputs are loaded and submitted; each may hold three times the bytes of its request."""
    creates: Turns = field(default_factory=lambda: Turns(64))
    """Jobs with a recorded intent and no answer yet, each with its own connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """The collaborators of the steps."""

    store: JobStore
    tasks: TaskRecords
    provider: Provider
    models: ModelTable
    media: MediaTools
    deliverers: Mapping[MediaKind, Deliverer]
    scenes: SceneStore
    scheduler: SlotScheduler
    wakeups: Wakeups
    progress: ProgressBuffer
    durations: Durations
    pace: Pace
    limits: Limits
    random: Random
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    shield: "ProtectedTasks"
    places: Places
    files: OwnThreads
    temp_dir: Path
    lease_check: Callable[[], Callable[[], None]]
    """Called before something irrevocable is recorded; returns a check to be called just before that is sent.

    The check raises NotOurs if another replica may own the job by then.
    """
    metrics: Metrics = field(default_factory=NullMetrics)
    poll_budget: PollBudget = field(default_factory=PollBudget)
    answers: dict[str, Task] = field(default_factory=dict)
    """By job, the last answer about a task that has ended, kept from the poll to the delivery."""
    until: dict[str, float] = field(default_factory=dict)
    """By job, when its task is cancelled, by the monotonic clock."""
    unanswered: dict[str, float] = field(default_factory=dict)
    """By job, since when the server of its output gives no answer, by the monotonic clock."""

    def deliverer(self, job: Job) -> Deliverer:
        """Returns what knows the kind of thing that the job makes."""
        return self.deliverers[job.request.spec.kind]

    def seconds_until(self, at: datetime) -> float:
        return (at - self.clock()).total_seconds()

    def backoff(self, tries: int) -> float:
        """Returns a jittered pause in real seconds: 1, 2, 4 … 60, each times a random factor of 0.5 to 1."""
        return doubled(1.0, tries, most=60.0) * self.random.uniform(0.5, 1.0) / self.pace.scale

    def later(self, tries: int) -> datetime:
        """Returns the time at which that pause ends."""
        return self.clock() + timedelta(seconds=self.backoff(tries))

    def forget(self, job_id: str) -> None:
        """Drops what an execution kept about a job."""
        self.wakeups.forget(job_id)
        self.answers.pop(job_id, None)
        self.until.pop(job_id, None)
        self.unanswered.pop(job_id, None)

    async def pause(self, job_id: str, seconds: float) -> bool:
        """Waits at most `seconds`, and only until a caller changes the job; returns whether one did."""
        return await self.wakeups.of(job_id).wait(seconds)


def still_owner(check: Callable[[], None]) -> bool:
    """Returns whether this replica has surely owned its jobs since it got the check."""
    try:
        check()
    except NotSent:
        return False
    return True


def generation_seconds(job: Job, now: datetime, limits: Limits) -> float:
    """Returns how many seconds the provider may still take for a submitted task.

    To be measured by the monotonic clock from now on: a clock that is set forward must not cost a paid task.
    """
    if job.request.finish_by is not None:
        return (job.request.finish_by - now).total_seconds()
    age = (now - (job.submitted_at or job.created_at)).total_seconds()
    return max(limits.generation_hours * 3600 - max(0.0, age), limits.patience_hours * 3600)


StepWork = Callable[[StepContext, Job, str], Awaitable[Job]]
"""Takes the context, the job, and the fencing token of this execution; returns the job as it last saw it."""
