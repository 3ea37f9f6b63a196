"""`evergreen job download|open|retry|logs`: what came of a job, and the same once more."""

from __future__ import annotations

from pathlib import Path

import click

from evergreen.cli.completing import jobs
from evergreen.cli.session import global_options, session
from evergreen.cli.submission import LOCAL, out_option, watch_option
from evergreen.cli.verbs import verb

_job_argument = click.argument("job_id", metavar="JOB_ID", shell_complete=jobs)


@verb(
    examples=(
        "evergreen job download …0e450440",
        "evergreen job download …0e450440 clip.mp4 --force",
        "evergreen job download …0e450440 - | ffprobe -",
    )
)
@_job_argument
@click.argument("target", required=False, type=LOCAL, metavar="[PATH]")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@global_options()
@click.pass_context
def download(context: click.Context, job_id: str, target: Path | None, force: bool) -> None:
    """Download what a job has made to PATH: a file, a folder, or - for stdout. Default: this folder."""
    from evergreen.cli.work.results import download_files

    ours = session(context)
    ours.run(lambda client: download_files(client, ours, job_id, target or Path("."), force=force))


@verb("open", examples=("evergreen job open …0e450440",))
@_job_argument
@global_options()
@click.pass_context
def open_job(context: click.Context, job_id: str) -> None:
    """Open what a job has made in this machine's own player, after a download into a temporary folder."""
    from evergreen.cli.work.results import open_files

    ours = session(context)
    ours.run(lambda client: open_files(client, ours, job_id))


@verb(
    examples=(
        "evergreen job retry …0e450440 --watch",
        "evergreen job retry …0e450440 --out clip.mp4",
    )
)
@_job_argument
@click.option("--request-id", metavar="ID", help="Your id of the new request. Default: a new one.")
@watch_option
@out_option
@global_options()
@click.pass_context
def retry(context: click.Context, job_id: str, request_id: str | None, watch: bool, download: Path | None) -> None:
    """Request the same as a job once more, as a new job, which is paid for again.

    Times by which the old job was to begin or end are left out where they have passed.
    """
    from evergreen.cli.work.fetching import check_free
    from evergreen.cli.work.results import retry_job

    ours = session(context)
    if download is not None:
        check_free(download)
    context.exit(ours.run(lambda client: retry_job(client, ours, job_id, request_id, watch=watch, target=download)))


@verb(examples=("evergreen job logs …0e450440", "evergreen job logs …0e450440 --follow"))
@_job_argument
@click.option("--follow", is_flag=True, help="Go on until the job ends.")
@global_options()
@click.pass_context
def logs(context: click.Context, job_id: str, follow: bool) -> None:
    """Tell what has happened to a job, one event a line, as far back as the service keeps events."""
    from evergreen.cli.work.history import tell

    ours = session(context)
    ours.run(lambda client: tell(client, ours, job_id, follow=follow))
