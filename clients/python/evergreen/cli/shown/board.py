"""Lays out jobs in columns that fit into a terminal: a narrow one loses columns, never letters."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evergreen.cli.output import plain
from evergreen.cli.work.wording import done, kind_name, percent, short_id, stage_name, state_name, where
from evergreen.v1.video_pb2 import Job, JobState

_STYLES = {
    JobState.JOB_STATE_SUCCEEDED: "green",
    JobState.JOB_STATE_FAILED: "red",
    JobState.JOB_STATE_EXPIRED: "red",
    JobState.JOB_STATE_CANCELLED: "yellow",
    JobState.JOB_STATE_NEEDS_ATTENTION: "yellow",
}
GAP = 2
BAR_LEAST, BAR_MOST = 8, 40


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    cell: Callable[[Job], str]
    least: int
    """The width for the longest word that may come, so that columns do not jump."""
    drop: int
    """Those with a high number are left out first; 0 stays."""
    right: bool = False


_TABLE = (
    _Column("JOB", lambda job: short_id(job.job_id), 9, 0),
    _Column("KIND", kind_name, 6, 5),
    _Column("SCENE", lambda job: plain(job.scene_id), 5, 2),
    _Column("STATE", state_name, 15, 0),
    _Column("STAGE", stage_name, 10, 3),
    _Column("DONE", lambda job: "", 4, 1, right=True),
    _Column("AGE", lambda job: age(job), 7, 4, right=True),
)
_BARS = (
    _Column("SCENE", lambda job: plain(job.scene_id), 0, 2),
    _Column("JOB", lambda job: short_id(job.job_id), 0, 0),
    _Column("KIND", lambda job: "" if kind_name(job) == "video" else kind_name(job), 0, 5),
    _Column("STATE", where, 10, 0),
    *_TABLE[-2:],
)
_BAR_DROP = 4.5
"""The bar goes after the kind, and before the age."""


def board(
    jobs: Sequence[Job], width: int, *, delivering: Callable[[Job], float], heads: bool, note: str = ""
) -> RenderableType:
    """Returns a row for each job in the columns that fit, and a note below.

    `delivering` says for how many seconds a job has been in delivery.
    """
    shares = {job.job_id: done(job, delivering(job)) for job in jobs}

    def cell(column: _Column, job: Job) -> str:
        return percent(shares[job.job_id]) if column.head == "DONE" else column.cell(job)

    columns = _TABLE if heads else _BARS
    cells = {column.head: [cell(column, job) for job in jobs] for column in columns}
    least = {each.head: max(each.least, len(each.head) if heads else 0) for each in columns}
    widths = {each.head: max([least[each.head], *map(len, cells[each.head])]) for each in columns}
    kept = [each for each in columns if widths[each.head]]
    bar = True
    while sum(widths[each.head] + GAP for each in kept) - GAP + (BAR_LEAST + GAP if bar else 0) > width:
        first = max(kept, key=lambda each: each.drop)
        if bar and first.drop < _BAR_DROP:
            bar = False
        elif first.drop:
            kept.remove(first)
        else:
            break
    table = Table(box=None, pad_edge=False, show_header=heads, padding=(0, GAP, 0, 0), collapse_padding=True)
    for each in kept:
        if bar and each.head == "DONE":
            room = width - sum(widths[column.head] + GAP for column in kept) - GAP
            table.add_column("", width=max(BAR_LEAST, min(BAR_MOST, room)))
        table.add_column(each.head, width=widths[each.head], no_wrap=True, justify="right" if each.right else "left")
    for number, job in enumerate(jobs):
        row: list[RenderableType] = []
        for each in kept:
            if bar and each.head == "DONE":
                row.append(_bar(job, shares[job.job_id]))
            style = _STYLES.get(job.state, "") if each.head == "STATE" else ""
            row.append(Text(cells[each.head][number], style=style))
        table.add_row(*row)
    return Group(table, Text(note, style="dim", no_wrap=True, overflow="crop")) if note else table


def _bar(job: Job, share: float | None) -> RenderableType:
    if share is None:
        return Text(where(job).lower(), style="dim")
    # Without a total the bar pulses, which shows that the progress is not known yet.
    known = share or job.state == JobState.JOB_STATE_NEEDS_ATTENTION
    return ProgressBar(total=1.0 if known else None, completed=share, pulse=not known)


def age(job: Job) -> str:
    """Returns the age of a job, or how long it took if it has ended."""
    ended = job.end_time.ToSeconds() if job.HasField("end_time") else time.time()
    seconds = max(0, int(ended - job.create_time.ToSeconds())) if job.HasField("create_time") else 0
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
