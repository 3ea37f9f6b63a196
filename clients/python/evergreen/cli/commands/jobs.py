"""`evergreen job`: the commands for jobs, whatever they make."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, Unpack

import click

from evergreen.cli.arguments import moment as at
from evergreen.cli.arguments import pair
from evergreen.cli.follow import Follower, tell_needs_attention
from evergreen.cli.output import (
    KINDS,
    credits_of,
    kind_name,
    model_of,
    moment,
    paths,
    stage_name,
    state_name,
    write_facts,
    write_json,
    write_table,
)
from evergreen.cli.session import Session, global_options, session
from evergreen.listing import ListFields
from evergreen.specs import ALL_KINDS
from evergreen.v1.video_pb2 import Job, JobState, MediaKind, SubmissionResolution
from evergreen.wire import WireClient

_STATES = {name.removeprefix("JOB_STATE_").lower(): value for name, value in JobState.items() if value}


class _Listed(TypedDict):
    """The options that say which jobs are listed, and in which order."""

    project: str
    scene: str
    states: tuple[str, ...]
    kinds: tuple[str, ...]
    models: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    created_from: datetime | None
    created_before: datetime | None
    newest: bool


_kind_option = click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(list(KINDS)),
    help="Of a project, only jobs that make this. Can be repeated. Default: all.",
)


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
@global_options()
@click.pass_context
def status(context: click.Context, job_ids: tuple[str, ...]) -> None:
    """Show the current state of jobs."""
    ours = session(context)
    jobs = ours.run(lambda client: _statuses(client, job_ids))
    for number, job in enumerate(jobs):
        if number and not ours.json:
            click.echo()
        _write_job(ours, job)


@click.command()
@click.argument("job_ids", nargs=-1, metavar="[JOB_ID]...")
@click.option("--project", default="", metavar="ID", help="Watch all jobs of this project, including future ones.")
@click.option(
    "--after", type=click.IntRange(min=0), metavar="REVISION", help="Only show what comes after this revision."
)
@click.option("--include-finished", is_flag=True, help="With --project: show finished jobs too.")
@_kind_option
@global_options()
@click.pass_context
def watch(
    context: click.Context,
    job_ids: tuple[str, ...],
    project: str,
    after: int | None,
    include_finished: bool,
    kinds: tuple[str, ...],
) -> None:
    """Follow jobs until they end, or a project until Ctrl-C.

    Leaving the watch cancels no job. With --output json, each event is one line.
    """
    if not job_ids and not project:
        raise click.UsageError("name the jobs to watch, or a --project")
    ours = session(context)
    follower = Follower(
        session=ours,
        project_id=project,
        job_ids=job_ids,
        after_revision=after,
        include_finished=include_finished,
        kinds=_kinds(kinds),
    )
    context.exit(ours.run(follower.follow))


@click.command()
@click.argument("job_id")
@global_options()
@click.pass_context
def cancel(context: click.Context, job_id: str) -> None:
    """Request the cancellation of a job. What is finished by then is kept."""
    ours = session(context)
    _write_job(ours, ours.run(lambda client: client.cancel(job_id)))


@click.command("list")
@click.option("--project", default="", metavar="ID", help="Only jobs of this project.")
@click.option("--scene", default="", metavar="ID", help="Only jobs of this scene; needs --project.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(list(_STATES), case_sensitive=False),
    help="Only jobs in this state. Can be repeated.",
)
@_kind_option
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only jobs of this model. Can be repeated.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    type=pair,
    metavar="KEY=VALUE",
    help="Only jobs with this label. Can be repeated; then only those with all of them.",
)
@click.option("--created-from", type=at, metavar="TIME", help="Only jobs created at this time or later.")
@click.option("--created-before", type=at, metavar="TIME", help="Only jobs created before this time.")
@click.option("--newest", is_flag=True, help="List what was created last first, instead of oldest first.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Maximum number of jobs.")
@global_options()
@click.pass_context
def list_jobs(context: click.Context, limit: int, **given: Unpack[_Listed]) -> None:
    """List jobs, oldest first, or newest first with --newest."""
    ours = session(context)
    fields = _fields(given)
    fields["page_size"] = min(limit, 200)
    jobs = ours.run(lambda client: _list(client, fields, limit))
    if ours.json:
        for job in jobs:
            write_json(job)
        return
    write_table(
        ("JOB", "STATE", "STAGE", "DONE", "KIND", "MODEL", "PROJECT", "SCENE", "CREDITS", "CREATED"),
        [
            (
                job.job_id,
                state_name(job),
                f"{stage_name(job)} {job.queue_position or ''}".strip(),
                f"{job.progress:.0%}",
                kind_name(job),
                model_of(job),
                job.project_id,
                job.scene_id,
                credits_of(job),
                moment(job.create_time),
            )
            for job in jobs
        ],
    )


@click.command()
@click.argument("job_id")
@click.option("--resubmit", is_flag=True, help="No task exists, or paying twice is acceptable: try again.")
@click.option("--abandon", is_flag=True, help="Give up the job; its estimate counts as spent.")
@click.option("--attach", metavar="TASK_ID", help="The provider's task exists: continue with it.")
@global_options()
@click.pass_context
def resolve(context: click.Context, job_id: str, resubmit: bool, abandon: bool, attach: str | None) -> None:
    """Decide how to continue with a job that needs attention.

    The answer to a paid request was lost. Check in the provider's console, then choose one of the options.
    """
    if resubmit + abandon + (attach is not None) != 1:
        raise click.UsageError("choose one of --resubmit, --abandon and --attach TASK_ID")
    resolution = (
        SubmissionResolution.SUBMISSION_RESOLUTION_RESUBMIT
        if resubmit
        else SubmissionResolution.SUBMISSION_RESOLUTION_ABANDON
        if abandon
        else SubmissionResolution.SUBMISSION_RESOLUTION_ATTACH
    )
    ours = session(context)
    _write_job(ours, ours.run(lambda client: client.resolve(job_id, resolution, provider_task_id=attach or "")))


async def _statuses(client: WireClient, job_ids: Sequence[str]) -> list[Job]:
    return [await client.status(job_id) for job_id in job_ids]


def _kinds(names: Sequence[str]) -> Sequence[MediaKind.ValueType]:
    return [KINDS[name] for name in names] or ALL_KINDS


def _fields(given: _Listed) -> ListFields:
    labels = dict(given["labels"])
    for name, value in given["labels"]:
        if labels[name] != value:
            raise click.UsageError(f"no job has two values of the label {name!r}")
    fields: ListFields = {
        "project_id": given["project"],
        "scene_id": given["scene"],
        "states": [_STATES[state] for state in given["states"]],
        "kinds": _kinds(given["kinds"]),
        "models": given["models"],
        "labels": labels,
        "newest_first": given["newest"],
    }
    if given["created_from"] is not None:
        fields["created_from"] = given["created_from"]
    if given["created_before"] is not None:
        fields["created_before"] = given["created_before"]
    return fields


async def _list(client: WireClient, fields: ListFields, limit: int) -> list[Job]:
    jobs: list[Job] = []
    async for job in client.list(**fields):
        jobs.append(job)
        if len(jobs) == limit:
            break
    return jobs


def _write_job(ours: Session, job: Job) -> None:
    if ours.json:
        write_json(job)
    else:
        write_facts(
            [
                ("job", job.job_id),
                ("state", state_name(job)),
                ("stage", stage_name(job)),
                ("queue position", str(job.queue_position or "")),
                ("progress", f"{job.progress:.0%}"),
                ("scene", f"{job.project_id}/{job.scene_id}"),
                ("request", job.request_id),
                ("kind", kind_name(job)),
                ("model", model_of(job)),
                ("attempt", str(job.attempt or "")),
                ("task", job.provider_task_id),
                ("credits", credits_of(job)),
                ("created", moment(job.create_time)),
                ("starts about", moment(job.estimated_start_time)),
                ("started", moment(job.start_time)),
                ("ends about", moment(job.estimated_end_time)),
                ("ended", moment(job.end_time)),
                *(("label", f"{key}={value}") for key, value in sorted(job.labels.items())),
                *(("file", path) for path in paths(job)),
                *(("warning", f"{warning.message} ({warning.code})") for warning in job.warnings),
                ("error", f"{job.error.message} ({job.error.reason})" if job.HasField("error") else ""),
            ]
        )
    if job.state == JobState.JOB_STATE_NEEDS_ATTENTION:
        tell_needs_attention(ours, job)


VERBS = (status, watch, cancel, list_jobs, resolve)
"""The commands that serve every job."""


@click.group()
@global_options()
def job() -> None:
    """Follow, list, cancel and resolve jobs."""


for _command in VERBS:
    job.add_command(_command)
