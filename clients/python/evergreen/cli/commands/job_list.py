"""`evergreen job list`: which jobs there are, the newest first."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict, Unpack

import click

from evergreen.cli.completing import models
from evergreen.cli.names import KINDS, STATES
from evergreen.cli.reading.arguments import pair
from evergreen.cli.reading.moments import PAST_HELP, past
from evergreen.cli.reading.options import project_option
from evergreen.cli.session import global_options, session
from evergreen.cli.verbs import verb

FAILED = ("failed", "cancelled", "expired", "needs_attention")
"""What --failed means: whatever did not end as it should, or cannot go on by itself."""

kind_option = click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(KINDS),
    help="Of a project, only jobs that make this. Can be repeated. Default: all.",
)


class Listed(TypedDict):
    """The options that say which jobs are listed, and in which order."""

    project: str | None
    scene: str
    states: tuple[str, ...]
    failed: bool
    kinds: tuple[str, ...]
    models: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    since: datetime | None
    until: datetime | None
    oldest: bool
    limit: int


@verb(
    "list",
    examples=(
        "evergreen job list --project film --since 2h",
        "evergreen job list --failed --since yesterday",
        "evergreen job list --label take=3 --limit 200 --output json | jq -s 'map(.charged_credits) | add'",
    ),
)
@project_option("Only jobs of this project.", required=False)
@click.option("--scene", default="", metavar="ID", help="Only jobs of this scene; needs --project.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES, case_sensitive=False),
    help="Only jobs in this state. Can be repeated.",
)
@click.option("--failed", is_flag=True, help="Only what failed, was cancelled, expired or needs attention.")
@kind_option
@click.option(
    "--model", "models", multiple=True, metavar="NAME", shell_complete=models, help="Only of this model. Repeatable."
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    type=pair,
    metavar="KEY=VALUE",
    help="Only jobs with this label. Can be repeated; then only those with all of them.",
)
@click.option(
    "--since", "--created-from", "since", type=past, metavar="TIME", help=f"Only jobs created since then: {PAST_HELP}."
)
@click.option(
    "--until", "--created-before", "until", type=past, metavar="TIME", help="Only jobs created before this time."
)
@click.option("--oldest/--newest", "oldest", default=False, help="Which come first. Default: the newest.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Maximum number of jobs.")
@global_options()
@click.pass_context
def list_jobs(context: click.Context, **given: Unpack[Listed]) -> None:
    """List jobs, newest first, and say how many more there are.

    A terminal shows the columns that fit, with times such as 3 min ago; a file or a pipe gets all columns.
    """
    from evergreen.cli.work.listing import list_and_write

    if given["failed"] and given["states"]:
        raise click.UsageError("--failed stands for some states: give it, or --state")
    labels = dict(given["labels"])
    for name, value in given["labels"]:
        if labels[name] != value:
            raise click.UsageError(f"no job has two values of the label {name!r}")
    ours = session(context)
    states = FAILED if given["failed"] else tuple(state.lower() for state in given["states"])
    ours.run(lambda client: list_and_write(client, ours, given, states, labels))
