"""Shows running jobs on stderr: live on a terminal, otherwise a line for each change."""

from __future__ import annotations

import os
import sys
import time
from contextlib import AbstractContextManager
from typing import Protocol

import click

from evergreen.cli.output import plain, say
from evergreen.cli.work.wording import done, name, percent, where
from evergreen.v1.video_pb2 import Job
from evergreen.watch import is_final

_PROGRESS_STEP = 0.1


class Display(AbstractContextManager[object], Protocol):
    """The display of a watch. `data` writes lines to stdout without disturbing the display."""

    def show(self, job: Job) -> None:
        """Shows an unfinished job, and removes it once it is final."""
        ...

    def say(self, text: str) -> None: ...

    def data(self, text: str) -> None: ...

    def lost(self, why: str, tries: int, seconds: float) -> None:
        """Says that the service does not answer, after so many tries."""
        ...

    def back(self, seconds: float) -> None:
        """Says that it answers again."""
        ...


class Silence(Display):
    """Shows no progress, only messages."""

    def __exit__(self, *_: object) -> None:
        return

    def show(self, job: Job) -> None:
        return

    def say(self, text: str) -> None:
        say(text)

    def data(self, text: str) -> None:
        click.echo(text)

    def lost(self, why: str, tries: int, seconds: float) -> None:
        # At the 1st, 2nd, 4th, 8th try: a log must not fill with what goes on unchanged.
        if tries & (tries - 1) == 0:
            say(lost_line(why, tries, seconds))

    def back(self, seconds: float) -> None:
        say(back_line(seconds))


class Lines(Silence):
    """Writes a line for each change of state or stage, and for each tenth of progress."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[str, int]] = {}
        self._began_at: dict[str, float] = {}

    def show(self, job: Job) -> None:
        if is_final(job):
            return
        share = done(job) or 0.0
        began_at = self._began_at.setdefault(job.job_id, time.monotonic())
        shown = (where(job), int(share / _PROGRESS_STEP))
        if self._shown.get(job.job_id) != shown:
            self._shown[job.job_id] = shown
            elapsed = time.monotonic() - began_at
            say(f"{name(job)}  {where(job)}  {percent(share)}  {elapsed:.0f} s")


def lost_line(why: str, tries: int, seconds: float) -> str:
    """Returns one line about a service that does not answer, which counts."""
    counted = "trying again" if tries == 1 else f"{tries} tries in {seconds:.0f} s, trying again"
    return plain(f"watch interrupted, {counted}: {why}")


def back_line(seconds: float) -> str:
    return f"connected again after {seconds:.0f} s; nothing was missed"


def choose_display(*, json: bool, project_id: str = "") -> Display:
    """Returns a display that suits stdout and stderr. `project_id` is set if a whole project is watched."""
    terminal = sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    if json and (sys.stdout.isatty() or not terminal):
        return Silence()
    if not terminal:
        return Lines()
    # Loaded here, since it takes a while and only terminals need it.
    from evergreen.cli.shown.live import LiveDisplay

    return LiveDisplay(project_id=project_id)
