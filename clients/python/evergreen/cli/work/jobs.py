"""Reads, cancels and resolves jobs, and shows one."""

import sys
from collections.abc import Sequence

import click

from evergreen.cli.output import encodable, moment, say, when, write_facts, write_json
from evergreen.cli.reading.ids import whole_id, whole_ids
from evergreen.cli.session import Session
from evergreen.cli.work.follow import tell_needs_attention
from evergreen.cli.work.wording import (
    credits_of,
    done,
    kind_name,
    model_of,
    paths,
    percent,
    request_facts,
    stage_name,
    state_name,
)
from evergreen.specs import ALL_KINDS
from evergreen.v1.video_pb2 import Job, JobState, MediaKind, SubmissionResolution
from evergreen.watch import is_final
from evergreen.wire import WireClient


async def statuses(client: WireClient, texts: Sequence[str]) -> list[Job]:
    """Returns jobs by their whole or short ids."""
    return [await client.status(job_id) for job_id in await whole_ids(client, texts)]


async def cancel_all(client: WireClient, ours: Session, texts: Sequence[str]) -> None:
    """Cancels jobs, and shows each as it is then."""
    for number, job_id in enumerate(await whole_ids(client, texts)):
        job = await client.cancel(job_id)
        if number and not ours.json:
            click.echo()
        write_job(ours, job)
        if is_final(job) and job.state != JobState.JOB_STATE_CANCELLED:
            say(f"{job.job_id} had ended before: {state_name(job)}")


async def resolve_job(client: WireClient, text: str, how: str, task_id: str) -> Job:
    """Decides how a job goes on, and returns it."""
    resolution = SubmissionResolution.Value(f"SUBMISSION_RESOLUTION_{how.upper()}")
    return await client.resolve(await whole_id(client, text), resolution, provider_task_id=task_id)


def kinds_of(names: Sequence[str]) -> Sequence[MediaKind.ValueType]:
    return [MediaKind.Value(f"MEDIA_KIND_{name.upper()}") for name in names] or ALL_KINDS


def write_job(ours: Session, job: Job) -> None:
    """Writes all that is known of a job."""
    if ours.json:
        write_json(job)
    else:
        cost = credits_of(job)
        write_facts(
            [
                ("job", job.job_id),
                ("state", state_name(job)),
                ("stage", stage_name(job)),
                ("queue position", str(job.queue_position or "")),
                ("progress", percent(done(job))),
                ("scene", f"{job.project_id}/{job.scene_id}"),
                ("request", job.request_id),
                ("kind", kind_name(job)),
                ("model", model_of(job)),
                *request_facts(job),
                ("attempt", str(job.attempt or "")),
                ("task", job.provider_task_id),
                ("credits", encodable(sys.stdout, cost, cost.replace("≤", "<="))),
                ("created", _both(job, "create_time")),
                ("starts about", _both(job, "estimated_start_time")),
                ("started", _both(job, "start_time")),
                ("ends about", _both(job, "estimated_end_time")),
                ("ended", _both(job, "end_time")),
                *(("label", f"{key}={value}") for key, value in sorted(job.labels.items())),
                *(("file", path) for path in paths(job)),
                *(("warning", f"{warning.message} ({warning.code})") for warning in job.warnings),
                ("error", f"{job.error.message} ({job.error.reason})" if job.HasField("error") else ""),
            ]
        )
    if job.state == JobState.JOB_STATE_NEEDS_ATTENTION:
        tell_needs_attention(ours, job)


def _both(job: Job, field: str) -> str:
    """Returns a time, and on a terminal how long ago it is beside it."""
    if not job.HasField(field):  # type: ignore[arg-type]  # one of the fields above
        return ""
    exact, relative = moment(getattr(job, field)), when(getattr(job, field))
    return exact if exact == relative else f"{exact} ({relative})"
