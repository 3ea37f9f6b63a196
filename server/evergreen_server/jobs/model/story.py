"""The story of a job in the log: one line for each of its transitions, without a word of its request."""

from collections.abc import Mapping

from evergreen_server.jobs.model.change import Line
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.ports.audit import Note
from evergreen_server.runtime.traces import read_traceparent

STAGES: Mapping[Stage, str] = {
    Stage.SUBMITTING: "job submitting",
    Stage.GENERATING: "job generating",
    Stage.DELIVERING: "job delivering",
}
"""Of the others a job leaves most without having done anything."""
STATES: Mapping[State, str] = {
    State.NEEDS_ATTENTION: "job needs attention",
    State.CANCELLING: "job cancelling",
    State.SUCCEEDED: "job delivered",
    State.FAILED: "job failed",
    State.CANCELLED: "job cancelled",
    State.EXPIRED: "job expired",
}


def accepted(job: Job, note: Note | None) -> Line:
    """Returns the first line of a job."""
    spec = job.request.spec
    return Line(event="job accepted", facts={**_facts(job, note), "model": spec.model, "makes": spec.kind.value})


def changed(old: Job, new: Job, note: Note | None) -> list[Line]:
    """Returns what became of a job, in the order in which it did."""
    lines: list[Line] = []
    facts = _facts(new, note)
    if new.task_id and new.task_id != old.task_id:
        lines.append(Line(event="job submitted", facts={**facts, "provider_task_id": new.task_id}))
    if new.state is not old.state and new.state in STATES:
        lines.append(_ended(new, facts))
    elif old.state is State.NEEDS_ATTENTION and new.state is not old.state:
        lines.append(Line(event="job resolved", facts=facts))
    elif new.attempt != old.attempt:
        lines.append(Line(event="job tried again", facts=facts))
    elif old.state is State.RUNNING and new.state is State.QUEUED:
        lines.append(Line(event="job put back", facts=facts))
    elif new.stage is not old.stage and new.stage in STAGES:
        lines.append(Line(event=STAGES[new.stage], facts=facts))
    return lines


def _ended(job: Job, facts: Mapping[str, object]) -> Line:
    more: dict[str, object] = {}
    if job.final:
        more["seconds"] = round((job.updated_at - job.created_at).total_seconds(), 3)
        if job.charged_millicredits is not None:
            more["credits"] = job.charged_millicredits / 1000
    if job.state is State.SUCCEEDED:
        more["outputs"] = len(job.outputs)
    elif job.error is not None:
        # Its message may repeat what the provider says of the prompt.
        more |= {"reason": job.error.reason, "provider_code": job.error.provider_code or None}
    warns = job.state in (State.NEEDS_ATTENTION, State.FAILED, State.EXPIRED)
    told = {**facts, **{name: value for name, value in more.items() if value is not None}}
    return Line(event=STATES[job.state], facts=told, warns=warns)


def _facts(job: Job, note: Note | None) -> dict[str, object]:
    request = job.request
    facts: dict[str, object] = {
        "job_id": job.job_id,
        "project_id": request.project_id,
        "scene_id": request.scene_id,
        "attempt": job.attempt,
    }
    if trace := read_traceparent(request.traceparent):
        facts["trace_id"] = trace.trace_id
    if request.film_id:
        facts["film_id"] = request.film_id
    return facts if note is None else {**facts, **note.details, **note.origin.facts()}
