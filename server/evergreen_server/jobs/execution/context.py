"""What the steps of a job work with, and the little that they share."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

from evergreen_server.jobs.admission.durations import Durations
from evergreen_server.jobs.admission.scheduler import SlotScheduler
from evergreen_server.jobs.execution.deliverer import Deliverer
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
from evergreen_server.ports.specs import GenerationKind
from evergreen_server.runtime.backoff import doubled
from evergreen_server.runtime.shield import ProtectedTasks
from evergreen_server.runtime.threads import FileThreads
from evergreen_server.runtime.turns import Turns
from evergreen_storage import SceneStore

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long the steps wait for others. Seconds are the provider's own and are divided by `Pace.scale`."""

    submission_grace_seconds: float = 0.0
    """How long, in real seconds from the intent, another process may still be answered; 0 where none can live."""
    generation_hours: float = 24.0
    """After this long a task that has not ended is cancelled, where no finish_by says when."""
    patience_hours: float = 1.0
    """So long at least whoever begins to follow a task waits for it, since the clock may have been set forward."""
    load_wait_seconds: float = 60.0
    """In real seconds, how long a job that has a slot waits until its inputs may be loaded; then others get it."""
    media_tries: int = 3
    delivery_tries: int = 5
    delivery_hours: float = 24.0
    """After this long an output whose server gives no answer is given up; its URLs live hardly longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """How many jobs of this process may be within a step at once, by turns of their projects."""

    prepares: Turns = field(default_factory=lambda: Turns(4))
    """Jobs whose inputs are fetched, checked and kept, each one after the other."""
    loads: Turns = field(default_factory=lambda: Turns(8))
    """Jobs whose inputs are loaded and submitted; each may hold three times the bytes that go into its request."""
    creates: Turns = field(default_factory=lambda: Turns(64))
    """Jobs with an intent that is recorded and not yet answered, each with a connection of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """The collaborators of the steps."""

    store: JobStore
    tasks: TaskRecords
    provider: Provider
    models: ModelTable
    media: MediaTools
    deliverers: Mapping[GenerationKind, Deliverer]
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
    files: FileThreads
    temp_dir: Path
    lease_check: Callable[[], Callable[[], None]]
    """Called before what cannot be taken back is recorded, gives what is called just before it is sent.

    That raises NotOurs where another replica may own the job by then.
    """
    metrics: Metrics = field(default_factory=NullMetrics)
    poll_budget: PollBudget = field(default_factory=PollBudget)
    answers: dict[str, Task] = field(default_factory=dict)
    """The last answer about a task that has ended, kept from the poll to the delivery."""
    until: dict[str, float] = field(default_factory=dict)
    """When, by the monotonic clock, a job's task is cancelled."""
    unanswered: dict[str, float] = field(default_factory=dict)
    """Since when, by the monotonic clock, the server of a job's output gives no answer."""

    def deliverer(self, job: Job) -> Deliverer:
        """Returns what knows the kind of thing that the job makes."""
        return self.deliverers[job.request.spec.kind]

    def seconds_until(self, at: datetime) -> float:
        return (at - self.clock()).total_seconds()

    def backoff(self, tries: int) -> float:
        """Gives a jittered pause in real seconds: 1, 2, 4 … 60, each between half and whole."""
        return doubled(1.0, tries, most=60.0) * self.random.uniform(0.5, 1.0) / self.pace.scale

    def later(self, tries: int) -> datetime:
        """Gives the moment when that pause is over."""
        return self.clock() + timedelta(seconds=self.backoff(tries))

    def forget(self, job_id: str) -> None:
        """Drops what an execution kept of a job."""
        self.wakeups.forget(job_id)
        self.answers.pop(job_id, None)
        self.until.pop(job_id, None)
        self.unanswered.pop(job_id, None)

    async def pause(self, job_id: str, seconds: float) -> bool:
        """Waits, but no longer than until a caller changes the job; tells whether one has."""
        return await self.wakeups.of(job_id).wait(seconds)


def still_owner(check: Callable[[], None]) -> bool:
    """Tells whether this replica has surely kept its jobs since it got the check."""
    try:
        check()
    except NotSent:
        return False
    return True


def generation_seconds(job: Job, now: datetime, limits: Limits) -> float:
    """Tells how long the provider may still take for a submitted task.

    To be measured from then on by the monotonic clock: what is set forward meanwhile must not cost a paid task.
    """
    if job.request.finish_by is not None:
        return (job.request.finish_by - now).total_seconds()
    age = (now - (job.submitted_at or job.created_at)).total_seconds()
    return max(limits.generation_hours * 3600 - max(0.0, age), limits.patience_hours * 3600)


StepWork = Callable[[StepContext, Job, str], Awaitable[Job]]
"""Takes the tools, the job as it stands, and the token of this execution; gives the job as it last saw it."""
