"""What all `generate` commands share: the options of a job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

import click

from evergreen.cli.names import ON_UNKNOWN
from evergreen.cli.reading.arguments import json_pair, pair
from evergreen.cli.reading.moments import FUTURE_HELP, future
from evergreen.cli.reading.options import project_option, scene_option

if TYPE_CHECKING:
    from evergreen.requests import Json

LOCAL = click.Path(path_type=Path)

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


def place_options(command: Command) -> Command:
    """Adds the options that say where the files go."""
    command = scene_option("The scene; created if it does not exist.", name="scene")(command)
    return project_option("The project; created if it does not exist.")(command)


def out_option(command: Command) -> Command:
    """Adds the option that says where this machine gets the files."""
    return click.option(
        "--out",
        "--download",
        "download",
        type=LOCAL,
        metavar="PATH",
        help="Follow the job, then copy its files to this folder, or its one file to this path.",
    )(command)


def watch_option(command: Command) -> Command:
    """Adds the option that has the job followed."""
    return click.option("--watch/--no-watch", default=False, help="Follow the job to its end.")(command)


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
                type=click.Choice(ON_UNKNOWN),
                help="What to do if the answer to a submission is lost.",
            ),
            click.option(
                "--start-by",
                type=future,
                metavar="TIME",
                help=f"Expire the job if it is not submitted by this time: {FUTURE_HELP}.",
            ),
            click.option(
                "--finish-by",
                type=future,
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
            watch_option,
            out_option,
        )
    ):
        command = option(command)
    return command
