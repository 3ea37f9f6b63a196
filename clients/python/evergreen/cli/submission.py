"""What all `generate` commands share: the options of a job, and how it is submitted, followed and fetched."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypedDict, TypeVar
from uuid import uuid4

import click

from evergreen.cli.arguments import json_pair, moment, pair
from evergreen.cli.exits import ExitCode
from evergreen.cli.fetching import LOCAL, check_free, fetch
from evergreen.cli.follow import Follower, tell_needs_attention
from evergreen.cli.output import number, write_json
from evergreen.cli.session import Session, say, session
from evergreen.errors import DeadlineExceeded, QueueFull, Unavailable
from evergreen.requests import JobFields, Json
from evergreen.v1.video_pb2 import GenerateVideoResponse, Job, JobState, OnUnknownSubmission
from evergreen.wire import WireClient

_ON_UNKNOWN = {
    "ask": OnUnknownSubmission.ON_UNKNOWN_SUBMISSION_ASK,
    "resubmit": OnUnknownSubmission.ON_UNKNOWN_SUBMISSION_RESUBMIT,
}

Command = TypeVar("Command", bound=Callable[..., object])


class JobOptions(TypedDict):
    """The values of the options that all `generate` commands have."""

    project: str
    scene: str
    seed: int | None
    options: tuple[tuple[str, Json], ...]
    request_id: str | None
    priority: int
    max_credits: float | None
    max_attempts: int
    on_unknown: str | None
    start_by: datetime | None
    finish_by: datetime | None
    labels: tuple[tuple[str, str], ...]
    validate_only: bool
    watch: bool
    download: Path | None


class Request(Protocol):
    """One request, to be priced or made."""

    def quote(self, client: WireClient) -> Awaitable[float | None]: ...

    def generate(self, client: WireClient) -> Awaitable[Job]: ...


def place_options(command: Command) -> Command:
    """Adds the options that say where the files go."""
    for option in (
        click.option("--scene", required=True, metavar="ID", help="The scene; created if it does not exist."),
        click.option("--project", required=True, metavar="ID", help="The project; created if it does not exist."),
    ):
        command = option(command)
    return command


def job_options(command: Command) -> Command:
    """Adds the other options that all `generate` commands have."""
    for option in reversed(
        (
            click.option("--seed", type=int, help="Makes a result more or less repeatable, for models that take it."),
            click.option(
                "--option",
                "options",
                multiple=True,
                type=json_pair,
                metavar="KEY=JSON",
                help="An option of this model only. Can be repeated.",
            ),
            click.option("--request-id", metavar="ID", help="Your id of this request; the same id is the same job."),
            click.option("--priority", type=int, default=0, help="A higher value goes first among the project's jobs."),
            click.option(
                "--max-credits", type=float, metavar="CREDITS", help="Reject the request if one attempt may cost more."
            ),
            click.option(
                "--max-attempts",
                type=int,
                default=0,
                help="Maximum number of attempts; a new one only after a failure that cost nothing.",
            ),
            click.option(
                "--on-unknown",
                type=click.Choice(list(_ON_UNKNOWN)),
                help="What to do if the answer to a submission is lost.",
            ),
            click.option(
                "--start-by", type=moment, metavar="TIME", help="Expire the job if it is not submitted by this time."
            ),
            click.option(
                "--finish-by",
                type=moment,
                metavar="TIME",
                help="Cancel and expire the job if it is not finished by this time.",
            ),
            click.option(
                "--label",
                "labels",
                multiple=True,
                type=pair,
                metavar="KEY=VALUE",
                help="Your own label. Can be repeated.",
            ),
            click.option("--validate-only", is_flag=True, help="Check and price the request without creating a job."),
            click.option("--watch/--no-watch", default=False, help="Follow the job to its end."),
            click.option(
                "--download",
                type=LOCAL,
                metavar="PATH",
                help="Follow the job, then copy its files to this folder, or its one file to this path.",
            ),
        )
    ):
        command = option(command)
    return command


def add_job_fields(fields: JobFields, given: JobOptions) -> str:
    """Adds what the options say, and returns the request id, a new one if none was given."""
    fields["request_id"] = uuid4().hex if given["request_id"] is None else given["request_id"]
    fields["options"] = dict(given["options"])
    fields["priority"] = given["priority"]
    fields["max_attempts"] = given["max_attempts"]
    fields["labels"] = dict(given["labels"])
    if (seed := given["seed"]) is not None:
        fields["seed"] = seed
    if (most := given["max_credits"]) is not None:
        fields["max_credits"] = most
    if (on_unknown := given["on_unknown"]) is not None:
        fields["on_unknown_submission"] = _ON_UNKNOWN[on_unknown]
    if (start_by := given["start_by"]) is not None:
        fields["start_by"] = start_by
    if (finish_by := given["finish_by"]) is not None:
        fields["finish_by"] = finish_by
    return fields["request_id"]


def submit(context: click.Context, request: Request, request_id: str, given: JobOptions) -> None:
    """Prices or makes the request as the options say, and ends the command."""
    ours, target = session(context), given["download"]
    if given["validate_only"]:
        ours.run(lambda client: _quote(client, ours, request))
        return
    if target is not None:
        check_free(target)
    context.exit(ours.run(lambda client: _generate(client, ours, request, request_id, given)))


async def _quote(client: WireClient, ours: Session, request: Request) -> None:
    quote = await request.quote(client)
    if ours.json:
        write_json(GenerateVideoResponse(estimated_credits=quote))
    else:
        say("The request is valid. The most that one attempt may cost, in credits:")
        click.echo("unknown" if quote is None else number(quote))


async def _generate(client: WireClient, ours: Session, request: Request, request_id: str, given: JobOptions) -> int:
    target = given["download"]
    try:
        job = await request.generate(client)
    except (asyncio.CancelledError, Unavailable, DeadlineExceeded, QueueFull):
        say(f"The request may have been accepted; to repeat it safely, use --request-id {request_id}")
        raise
    if given["watch"] or target is not None:
        follower = Follower(session=ours, job_ids=[job.job_id], with_paths=target is None)
        code = await follower.follow(client)
        if code is ExitCode.OK and target is not None:
            await fetch(client, ours, follower.jobs[job.job_id], target)
        return code
    if ours.json:
        write_json(job)
    else:
        click.echo(job.job_id)
        say(f"To follow it: {ours.command(f'job watch {job.job_id}')}")
    if job.state == JobState.JOB_STATE_NEEDS_ATTENTION:
        tell_needs_attention(ours, job)
    return ExitCode.OK
