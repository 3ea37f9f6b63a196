"""`evergreen project`: the projects of the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evergreen.cli.output import Column, number, say, when, write_json, write_table
from evergreen.cli.session import global_options, session
from evergreen.cli.verbs import verbs

if TYPE_CHECKING:
    from evergreen.v1.video_pb2 import JobState, Project
    from evergreen.wire import WireClient


@verbs(examples=("evergreen project list",))
@global_options()
def project() -> None:
    """List projects, with their jobs and credits."""


@project.command(
    "list", examples=("evergreen project list", "evergreen project list --output json | jq .spent_credits")
)
@global_options()
@click.pass_context
def list_projects(context: click.Context) -> None:
    """List your projects, with their jobs by state, their credits and their last change."""
    ours = session(context)
    projects = ours.run(_list)
    if ours.json:
        for each in projects:
            write_json(each)
        return
    if not projects:
        say("no projects yet; the first job or scene makes one")
    write_table(
        (
            "PROJECT",
            Column(head="RESERVED", drop=3),
            "SPENT",
            Column(head="LIMIT", drop=2),
            Column(head="CHANGED", drop=1),
            Column(head="JOBS", drop=4),
        ),
        [
            (
                each.project_id,
                number(each.reserved_credits),
                number(each.spent_credits),
                number(each.cap_credits) if each.HasField("cap_credits") else "",
                when(each.update_time),
                _jobs(each),
            )
            for each in projects
        ],
    )


async def _list(client: WireClient) -> list[Project]:
    return [each async for each in client.projects(page_size=1000)]


def _jobs(each: Project) -> str:
    """Returns the numbers of jobs, such as `2 queued, 1,000 succeeded`."""
    return ", ".join(f"{counted.count:,} {_state(counted.state)}" for counted in each.job_counts)


def _state(state: JobState.ValueType) -> str:
    from evergreen.v1.video_pb2 import JobState

    known = state in JobState.values()
    return JobState.Name(state).removeprefix("JOB_STATE_").lower().replace("_", " ") if known else f"state {state}"
