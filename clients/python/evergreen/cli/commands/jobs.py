"""`evergreen job`: the commands for jobs, whatever they make."""

from __future__ import annotations

import click

from evergreen.cli.commands.job_files import download, logs, open_job, retry
from evergreen.cli.commands.job_list import kind_option, list_jobs
from evergreen.cli.completing import jobs
from evergreen.cli.reading.options import project_option
from evergreen.cli.session import global_options, session
from evergreen.cli.verbs import verb, verbs

jobs_argument = click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...", shell_complete=jobs)
job_argument = click.argument("job_id", metavar="JOB_ID", shell_complete=jobs)


@verb(examples=("evergreen job status 0198c2d4-7f3a-7c11-9d5e-2f6b0e450440", "evergreen job status …0e450440"))
@jobs_argument
@global_options()
@click.pass_context
def status(context: click.Context, job_ids: tuple[str, ...]) -> None:
    """Show the current state of jobs, and what was asked for."""
    from evergreen.cli.work.jobs import statuses, write_job

    ours = session(context)
    for number, job in enumerate(ours.run(lambda client: statuses(client, job_ids))):
        if number and not ours.json:
            click.echo()
        write_job(ours, job)


@verb(
    examples=(
        "evergreen job watch …0e450440",
        "evergreen job watch --project film",
        "evergreen job watch --project film --output json | jq .event.job.progress",
    )
)
@click.argument("job_ids", nargs=-1, metavar="[JOB_ID]...", shell_complete=jobs)
@project_option("Watch all jobs of this project, including future ones.", required=False)
@click.option(
    "--after", type=click.IntRange(min=0), metavar="REVISION", help="Only show what comes after this revision."
)
@click.option("--include-finished", is_flag=True, help="With --project: show finished jobs too.")
@kind_option
@global_options()
@click.pass_context
def watch(
    context: click.Context,
    job_ids: tuple[str, ...],
    project: str | None,
    after: int | None,
    include_finished: bool,
    kinds: tuple[str, ...],
) -> None:
    """Follow jobs until they end, or a project until Ctrl-C.

    Leaving the watch cancels no job. With --output json, each event is one line.
    """
    from evergreen.cli.work.follow import Follower
    from evergreen.cli.work.jobs import kinds_of

    if not job_ids and not project:
        raise click.UsageError("name the jobs to watch, or a --project")
    source = context.get_parameter_source("project")
    if job_ids and source is not click.core.ParameterSource.COMMANDLINE:
        # That of the environment says where new jobs go, and not whose these are.
        project = None
    ours = session(context)
    follower = Follower(
        session=ours,
        project_id=project or "",
        job_ids=job_ids,
        after_revision=after,
        include_finished=include_finished,
        kinds=kinds_of(kinds),
    )
    context.exit(ours.run(follower.watch))


@verb(examples=("evergreen job cancel …0e450440",))
@jobs_argument
@global_options()
@click.pass_context
def cancel(context: click.Context, job_ids: tuple[str, ...]) -> None:
    """Request the cancellation of jobs. What is finished by then is kept."""
    from evergreen.cli.work.jobs import cancel_all

    ours = session(context)
    ours.run(lambda client: cancel_all(client, ours, job_ids))


@verb(
    examples=(
        "evergreen job resolve …0e450440 --attach 6f3d4c1e-0d1f-4a5b-9c2e-8f7a6b5c4d3e",
        "evergreen job resolve …0e450440 --abandon",
    )
)
@job_argument
@click.option("--resubmit", is_flag=True, help="No task exists, or paying twice is acceptable: try again.")
@click.option("--abandon", is_flag=True, help="Give up the job; its estimate counts as spent.")
@click.option("--attach", metavar="TASK_ID", help="The provider's task exists: continue with it.")
@global_options()
@click.pass_context
def resolve(context: click.Context, job_id: str, resubmit: bool, abandon: bool, attach: str | None) -> None:
    """Decide how to continue with a job that needs attention.

    The answer to a paid request was lost. Check in the provider's console, then choose one of the options.
    """
    from evergreen.cli.work.jobs import resolve_job, write_job

    if resubmit + abandon + (attach is not None) != 1:
        raise click.UsageError("choose one of --resubmit, --abandon and --attach TASK_ID")
    how = "resubmit" if resubmit else "abandon" if abandon else "attach"
    ours = session(context)
    write_job(ours, ours.run(lambda client: resolve_job(client, job_id, how, attach or "")))


VERBS = (status, watch, cancel, list_jobs, download, open_job, retry, logs, resolve)
"""The commands that serve every job."""


@verbs(examples=("evergreen job list --project film --failed", "evergreen job download …0e450440 clip.mp4"))
@global_options()
def job() -> None:
    """Follow, list, download, cancel, retry and resolve jobs."""


for _command in VERBS:
    job.add_command(_command)
