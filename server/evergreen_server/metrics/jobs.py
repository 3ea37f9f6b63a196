"""How long jobs take: each stage, and the whole, by model. Models are those of the catalogue, and so are few."""

from collections.abc import Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, Histogram

from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job
from evergreen_server.metrics.buckets import JOBS


class JobMetrics:
    """Counts what this server commits; to be subscribed to its changes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._stages = Histogram(
            "evergreen_job_stage_seconds",
            "Seconds that jobs were in a stage, counted when they left it.",
            ["stage", "model"],
            buckets=JOBS,
            registry=registry,
        )
        self._jobs = Histogram(
            "evergreen_job_seconds",
            "Seconds from the acceptance of jobs to their end.",
            ["state", "model"],
            buckets=JOBS,
            registry=registry,
        )

    def on_changes(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.step is None:
                continue
            old, new = change.step.old, change.step.new
            model = new.request.spec.model
            if change.step.leaves and old.stage_at is not None:
                self._stages.labels(old.stage.value or old.state.value, model).observe(_seconds(old.stage_at, new))
            if new.final and not old.final:
                self._jobs.labels(new.state.value, model).observe(_seconds(new.created_at, new))


def _seconds(since: datetime, job: Job) -> float:
    return max(0.0, (job.updated_at - since).total_seconds())
