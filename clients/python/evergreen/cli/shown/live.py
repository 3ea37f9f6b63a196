"""Shows jobs live on a terminal: a bar for each that is followed, or a table of all of a project."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from evergreen.cli.output import plain
from evergreen.cli.shown.board import board
from evergreen.cli.shown.display import Display, back_line, lost_line
from evergreen.v1.video_pb2 import Job, JobStage
from evergreen.watch import is_final

ENDED_KEPT = 1000
_FRAME_ROWS = 4
"""Rows of the display besides its jobs: the heads, the totals, the line about a lost service, and the cursor's."""


class LiveDisplay(Display):
    """Shows a row for each job, and above them, for good, each message and each path.

    With a project: unfinished jobs by age, then those that have ended, the latest first; the table stays on the screen
    when the watch ends. Without: only unfinished jobs, and nothing is left in the end. Takes two thirds of the screen
    at most: what was said last stays in sight.
    """

    def __init__(self, *, project_id: str = "") -> None:
        self._project_id = project_id
        self._console = Console(stderr=True, highlight=False)
        self._open: dict[str, Job] = {}
        self._ended: dict[str, Job] = {}
        self._delivering: dict[str, float] = {}
        self._trouble = ""
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=4,
            transient=not project_id,
            # What would be longer than the screen is left out here, and rich has nothing to cut.
            vertical_overflow="crop",
            # Otherwise rich would redirect stdout to stderr.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> LiveDisplay:
        if self._project_id:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._trouble = ""
        self._live.stop()

    def show(self, job: Job) -> None:
        self._open.pop(job.job_id, None)
        self._ended.pop(job.job_id, None)
        if job.stage == JobStage.JOB_STAGE_DELIVERING:
            self._delivering.setdefault(job.job_id, time.monotonic())
        else:
            self._delivering.pop(job.job_id, None)
        if not is_final(job):
            self._open[job.job_id] = job
            if not self._live.is_started:
                self._live.start(refresh=True)
        elif self._project_id:
            self._ended[job.job_id] = job
            if len(self._ended) > ENDED_KEPT:
                del self._ended[next(iter(self._ended))]
        elif not self._open and self._live.is_started:
            # Erases the display; without a bar it would leave an empty line.
            self._live.stop()

    def say(self, text: str) -> None:
        self._above(text)

    def data(self, text: str) -> None:
        if _same_screen():
            # Written by rich, which draws its rows anew below it; whatever else moves the cursor would tear them.
            self._above(text)
        else:
            click.echo(text)

    def lost(self, why: str, tries: int, seconds: float) -> None:
        self._trouble = lost_line(why, tries, seconds)
        if tries == 1:
            self._above(self._trouble)
        elif self._live.is_started:
            self._live.refresh()

    def back(self, seconds: float) -> None:
        self._trouble = ""
        self._above(back_line(seconds))

    def _above(self, text: str) -> None:
        self._console.print(Text(plain(text)), soft_wrap=True)

    def _render(self) -> RenderableType:
        # Called from rich's own thread, while the event loop changes the jobs.
        under_way = sorted(self._open.copy().values(), key=lambda job: job.job_id)
        ended = tuple(self._ended.copy().values())
        jobs = [*under_way, *reversed(ended)]
        room = max(1, self._console.height * 2 // 3 - _FRAME_ROWS)
        notes = []
        if self._project_id:
            more = f", {len(jobs) - room} not shown" if len(jobs) > room else ""
            notes.append(f"project {plain(self._project_id)}: {len(under_way)} under way, {len(ended)} ended{more}")
        elif len(jobs) > room:
            notes.append(f"{len(jobs) - room} more")
        if self._trouble:
            notes.append(self._trouble)
        now = time.monotonic()
        return board(
            jobs[:room],
            self._console.width,
            delivering=lambda job: now - self._delivering.get(job.job_id, now),
            heads=bool(self._project_id),
            note="\n".join(note[: self._console.width] for note in notes),
        )


def _same_screen() -> bool:
    """Returns whether stdout and stderr are one terminal."""
    if not sys.stdout.isatty():
        return False
    out, err = os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno())
    return (out.st_dev, out.st_ino, out.st_rdev) == (err.st_dev, err.st_ino, err.st_rdev)
