"""Jobs to rows and back. Times are stored as microseconds since 1970 (UTC), lists as JSON."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping

from evergreen_server.jobs.model.job import Input, Job, JobFailure, JobRequest, JobWarning, Output, Pin
from evergreen_server.jobs.model.states import CostBasis, OnUnknownSubmission, Slot, Stage, State
from evergreen_server.ports.specs import GenerationSpec, Media, Operation, Role

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MORE_OF_MEDIA = ("scene_id", "tag", "subject")
"""What the release before does not know of a piece of media."""


def to_micros(at: datetime) -> int:
    """Returns a time as whole microseconds since 1970."""
    return (at - EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """Returns the time that lies so many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=value)


def _to_micros_or_none(at: datetime | None) -> int | None:
    return None if at is None else to_micros(at)


def _from_micros_or_none(value: int | None) -> datetime | None:
    return None if value is None else from_micros(value)


def spec_to_row(spec: GenerationSpec) -> dict[str, object]:
    """Returns the columns of a spec. What `spec` holds can be read by the release before, which knows only videos."""
    value = asdict(spec)
    del value["operation"]
    parameters = value.pop("parameters")
    more = [{name: text for name in _MORE_OF_MEDIA if (text := item.pop(name))} for item in value["media"]]
    beside: dict[str, object] = {"parameters": parameters, "media": more} if parameters or any(more) else {}
    if spec.operation and spec.duration_seconds is not None:
        # The release before takes whole seconds alone, and would list no job of the project at all.
        beside["duration_seconds"], value["duration_seconds"] = spec.duration_seconds, None
    return {
        "kind": spec.kind.value,
        "operation": spec.operation.value if spec.operation else None,
        "model": spec.model,
        "duration_seconds": spec.whole_seconds,
        "spec": value,
        "spec_more": beside or None,
    }


def spec_from_row(row: RowMapping | Mapping[str, Any]) -> GenerationSpec:
    """Returns the spec of a row, written by this release or the one before; only its model and operation, if the rest
    was not read.
    """
    operation = Operation(row["operation"]) if row["operation"] else None
    if "spec" not in row:
        return GenerationSpec(model=row["model"], operation=operation)
    value, more = dict(row["spec"]), row["spec_more"] or {}
    value["duration_seconds"] = more.get("duration_seconds", value["duration_seconds"])
    each = more.get("media") or [{}] * len(value["media"])
    media = tuple(
        Media(**{**item, **extra, "role": Role(item["role"])}) for item, extra in zip(value["media"], each, strict=True)
    )
    parameters = more.get("parameters", {})
    return GenerationSpec(**{**value, "operation": operation, "parameters": parameters, "media": media})


def request_to_row(request: JobRequest) -> dict[str, object]:
    """Returns the columns that never change after acceptance."""
    return {
        "project_id": request.project_id,
        "scene_id": request.scene_id,
        "request_id": request.request_id,
        "digest": request.digest,
        **spec_to_row(request.spec),
        "labels": dict(request.labels),
        "priority": request.priority,
        "max_attempts": request.max_attempts,
        "on_unknown_submission": request.on_unknown_submission.value,
        "max_millicredits": request.max_millicredits,
        "start_by": to_micros(request.start_by),
        "finish_by": _to_micros_or_none(request.finish_by),
        "film_id": request.film_id or None,
        "film_run": request.film_run or None,
        "traceparent": request.traceparent or None,
    }


def life_to_row(job: Job) -> dict[str, object]:
    """Returns the columns that change during the job's life."""
    return {
        "state": job.state.value,
        "stage": job.stage.value,
        "stage_at": _to_micros_or_none(job.stage_at),
        "revision": job.revision,
        "progress": job.progress,
        "attempt": job.attempt,
        "run": job.restarts,
        "numbered": f"{job.attempt}.{job.restarts}" if job.widened else None,
        "execution": job.fencing_token,
        "replica": job.replica,
        "submit_token": job.submit_token,
        "submitted_at": _to_micros_or_none(job.submitted_at),
        "not_before": _to_micros_or_none(job.not_before),
        "task_id": job.task_id,
        "delete_sent": job.delete_sent,
        "estimated_millicredits": job.estimated_millicredits,
        "charged_millicredits": job.charged_millicredits,
        "cost_basis": job.cost_basis.value if job.cost_basis else None,
        "charge_basis": job.charge_basis.value if job.charge_basis else None,
        "inputs": [asdict(item) for item in job.inputs],
        "pins": [pin and asdict(pin) for pin in job.pins] or None,
        "outputs": [asdict(item) for item in job.outputs],
        "warnings": [asdict(item) for item in job.warnings],
        "error": asdict(job.error) if job.error else None,
        "created_at": to_micros(job.created_at),
        "started_at": _to_micros_or_none(job.started_at),
        "updated_at": to_micros(job.updated_at),
        "ended_at": _to_micros_or_none(job.ended_at),
    }


def job_from_row(row: RowMapping | Mapping[str, Any]) -> Job:
    """Returns the job of a row of `jobs`; its spec has the model and operation only, if the rest was not read."""
    request = JobRequest(
        project_id=row["project_id"],
        scene_id=row["scene_id"],
        request_id=row["request_id"],
        digest=row["digest"],
        spec=spec_from_row(row),
        priority=row["priority"],
        max_attempts=row["max_attempts"],
        on_unknown_submission=OnUnknownSubmission(row["on_unknown_submission"]),
        max_millicredits=row["max_millicredits"],
        start_by=from_micros(row["start_by"]),
        finish_by=_from_micros_or_none(row["finish_by"]),
        labels=row["labels"],
        film_id=row["film_id"] or "",
        film_run=row["film_run"] or 0,
        traceparent=row["traceparent"] or "",
    )
    return life_from_row(row, request)


def life_from_row(row: RowMapping | Mapping[str, Any], request: JobRequest) -> Job:
    """Returns the job of a row of which only the columns that change were read, with its request."""
    return Job(
        job_id=row["job_id"],
        request=request,
        state=State(row["state"]),
        stage=Stage(row["stage"]),
        stage_at=_from_micros_or_none(row["stage_at"]),
        revision=row["revision"],
        progress=row["progress"],
        attempt=row["attempt"],
        restarts=row["run"],
        fencing_token=row["execution"],
        replica=row["replica"],
        submit_token=row["submit_token"],
        slot=Slot(row["slot"]) if row["slot"] else None,
        submitted_at=_from_micros_or_none(row["submitted_at"]),
        not_before=_from_micros_or_none(row["not_before"]),
        task_id=row["task_id"],
        delete_sent=row["delete_sent"],
        estimated_millicredits=row["estimated_millicredits"],
        charged_millicredits=row["charged_millicredits"],
        cost_basis=CostBasis(row["cost_basis"]) if row["cost_basis"] else None,
        charge_basis=CostBasis(row["charge_basis"]) if row["charge_basis"] else None,
        inputs=tuple(Input(**item) for item in row["inputs"]),
        pins=tuple(pin and Pin(**pin) for pin in row["pins"] or ()),
        outputs=tuple(Output(**item) for item in row["outputs"]),
        warnings=tuple(JobWarning(**item) for item in row["warnings"]),
        error=JobFailure(**row["error"]) if row["error"] else None,
        created_at=from_micros(row["created_at"]),
        started_at=_from_micros_or_none(row["started_at"]),
        updated_at=from_micros(row["updated_at"]),
        ended_at=_from_micros_or_none(row["ended_at"]),
    )
