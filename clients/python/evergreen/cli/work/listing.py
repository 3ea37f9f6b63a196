"""Lists jobs, and says how many there are beside those shown."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evergreen.cli.output import Column, encodable, moment, say, when, write_json, write_table
from evergreen.cli.session import Session
from evergreen.cli.work.jobs import kinds_of
from evergreen.cli.work.wording import (
    credits_of,
    done,
    kind_name,
    model_of,
    percent,
    reason_of,
    short_id,
    stage_name,
    state_name,
)
from evergreen.listing import ListFields
from evergreen.v1.video_pb2 import Job, JobState
from evergreen.wire import WireClient

if TYPE_CHECKING:
    from evergreen.cli.commands.job_list import Listed

PAGE = 200
COUNTED = 1000
"""How many jobs beyond those shown are counted at most."""


async def list_and_write(
    client: WireClient, ours: Session, given: Listed, states: Sequence[str], labels: Mapping[str, str]
) -> None:
    """Lists the jobs that the options choose."""
    fields: ListFields = {
        "project_id": given["project"] or "",
        "scene_id": given["scene"],
        "states": [JobState.Value(f"JOB_STATE_{state.upper()}") for state in states],
        "kinds": kinds_of(given["kinds"]),
        "models": given["models"],
        "labels": labels,
        "newest_first": not given["oldest"],
        # One more, which tells whether there are more.
        "page_size": min(given["limit"] + 1, PAGE),
    }
    if given["since"] is not None:
        fields["created_from"] = given["since"]
    if given["until"] is not None:
        fields["created_before"] = given["until"]
    jobs: list[Job] = []
    more = 0
    async for job in client.list(**fields):
        if len(jobs) < given["limit"]:
            jobs.append(job)
            continue
        more += 1
        if more > COUNTED:
            break
    if ours.json:
        for job in jobs:
            write_json(job)
    else:
        _write(jobs)
    if more:
        total = f"more than {len(jobs) + COUNTED:,}" if more > COUNTED else f"{len(jobs) + more:,}"
        order = "oldest" if given["oldest"] else "newest"
        say(f"showing {len(jobs):,} of {total}, the {order} first; --limit shows more")
    elif not jobs:
        say("no jobs" + (f" of project {given['project']}" if given["project"] else "") + " that are asked for")


def _write(jobs: Sequence[Job]) -> None:
    credit = [credits_of(job) for job in jobs]
    write_table(
        (
            Column(head="JOB", narrow=[short_id(job.job_id) for job in jobs]),
            Column(head="STATE"),
            Column(head="STAGE", drop=8),
            Column(head="DONE", drop=5),
            Column(head="KIND", drop=9),
            Column(head="MODEL", drop=6),
            Column(head="PROJECT", drop=7),
            Column(head="SCENE", drop=1),
            Column(head="CREDITS", drop=3),
            Column(head="CREATED", drop=2, narrow=[when(job.create_time) for job in jobs]),
            Column(head="REASON", drop=4),
        ),
        [
            (
                job.job_id,
                state_name(job),
                f"{stage_name(job)} {job.queue_position or ''}".strip(),
                percent(done(job)),
                kind_name(job),
                model_of(job),
                job.project_id,
                job.scene_id,
                encodable(sys.stdout, cost, cost.replace("≤", "<=")),
                when(job.create_time) or moment(job.create_time),
                reason_of(job),
            )
            for job, cost in zip(jobs, credit, strict=True)
        ],
    )
