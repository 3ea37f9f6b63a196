"""Shows running jobs on stderr: a live bar for each on a terminal, otherwise a line for each change."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from evergreen.cli.jobs_table import JobsTable
from evergreen.cli.output import kind_name, plain, stage_name, state_name
from evergreen.cli.session import say
from evergreen.v1.video_pb2 import Job, JobState
from evergreen.watch import is_final

_PROGRESS_STEP = 0.1


class Display(AbstractContextManager[object], Protocol):
    """The display of a watch. `data` writes to stdout without disturbing the display."""

    def show(self, job: Job) -> None:
        """Shows an unfinished job, and removes it once it is final."""
        ...

    def say(self, text: str) -> None: ...

    def data(self, write: Callable[[], None]) -> None: ...


class Silence(Display):
    """Shows no progress, only messages."""

    def __exit__(self, *_: object) -> None:
        return

    def show(self, job: Job) -> None:
        return

    def say(self, text: str) -> None:
        say(text)

    def data(self, write: Callable[[], None]) -> None:
        write()


class Lines(Silence):
    """Writes a line for each change of state or stage, and for each tenth of progress."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[str, int]] = {}
        self._began_at: dict[str, float] = {}

    def show(self, job: Job) -> None:
        if is_final(job):
            return
        began_at = self._began_at.setdefault(job.job_id, time.monotonic())
        shown = (where(job), int(job.progress / _PROGRESS_STEP))
        if self._shown.get(job.job_id) != shown:
            self._shown[job.job_id] = shown
            elapsed = time.monotonic() - began_at
            say(f"{name(job)}  {where(job)}  {job.progress:.0%}  {elapsed:.0f} s")


class Bars(Display):
    """Shows a live bar for each job that is not final: stage, percent, time since it was first seen."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[where]}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            # Otherwise rich would redirect stdout to stderr.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._bars: dict[str, TaskID] = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, job: Job) -> None:
        if is_final(job):
            self._remove(job)
            return
        bar = self._bars.get(job.job_id)
        if bar is None:
            bar = self._bars[job.job_id] = self._progress.add_task(name(job), total=None, where="")
        # Without a total the bar pulses, which shows that the progress is not known yet.
        total = 1.0 if job.progress or job.state == JobState.JOB_STATE_NEEDS_ATTENTION else None
        self._progress.update(bar, completed=job.progress, total=total, where=where(job))
        self._progress.start()

    def say(self, text: str) -> None:
        self._console.print(Text(plain(text)), soft_wrap=True)

    def data(self, write: Callable[[], None]) -> None:
        self._progress.stop()
        write()
        if self._bars:
            self._progress.start()

    def _remove(self, job: Job) -> None:
        bar = self._bars.pop(job.job_id, None)
        if bar is None:
            return
        if not self._bars:
            # Erases the display; without a bar it would leave an empty line.
            self._progress.stop()
        self._progress.remove_task(bar)
        self._progress.refresh()


def choose_display(*, json: bool, project_id: str = "") -> Display:
    """Returns a display that suits stdout and stderr. `project_id` is set if a whole project is watched."""
    if json:
        return Bars() if sys.stderr.isatty() and not sys.stdout.isatty() else Silence()
    if not sys.stderr.isatty():
        return Lines()
    return JobsTable(project_id) if project_id else Bars()


def name(job: Job) -> str:
    """Returns a short name: the scene, the end of the job id, which differs even between simultaneous jobs, and the
    kind, unless it is a video."""
    kind = kind_name(job)
    return plain(f"{job.scene_id} …{job.job_id[-8:]}") + (f" {kind}" if kind != "video" else "")


def where(job: Job) -> str:
    return stage_name(job) or state_name(job)
