"""Shows all jobs of a project on a terminal, as one live table."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evergreen.cli.output import kind_name, plain, stage_name, state_name
from evergreen.v1.video_pb2 import Job, JobState
from evergreen.watch import is_final

ENDED_KEPT = 1000
_FRAME_ROWS = 5
"""Rows of the table besides its jobs: the headings, the totals, and space for the cursor."""
_STYLES = {
    JobState.JOB_STATE_SUCCEEDED: "green",
    JobState.JOB_STATE_FAILED: "red",
    JobState.JOB_STATE_EXPIRED: "red",
    JobState.JOB_STATE_NEEDS_ATTENTION: "yellow",
}


class JobsTable:
    """Shows a row for each job: unfinished jobs by age, then those that ended during the watch, the latest first.

    Shows what fits into the terminal, and the totals below. The table stays on the screen when the watch ends.
    """

    def __init__(self, project_id: str) -> None:
        self._project_id = project_id
        self._console = Console(stderr=True)
        self._open: dict[str, Job] = {}
        self._ended: dict[str, Job] = {}
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> "JobsTable":
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, job: Job) -> None:
        self._open.pop(job.job_id, None)
        self._ended.pop(job.job_id, None)
        if not is_final(job):
            self._open[job.job_id] = job
            return
        self._ended[job.job_id] = job
        if len(self._ended) > ENDED_KEPT:
            del self._ended[next(iter(self._ended))]

    def say(self, text: str) -> None:
        self._console.print(Text(plain(text)), soft_wrap=True)

    def data(self, write: Callable[[], None]) -> None:
        # On a terminal stdout and stderr share the screen: drawing pauses, so that neither disturbs the other.
        self._live.stop()
        write()
        self._live.start()

    def _render(self) -> RenderableType:
        # Called from rich's own thread, while the event loop changes the jobs.
        under_way = sorted(self._open.values(), key=lambda job: job.job_id)
        jobs = [*under_way, *reversed(tuple(self._ended.values()))]
        room = max(1, self._console.height - _FRAME_ROWS)
        table = Table(box=None, pad_edge=False, expand=True)
        for head in ("JOB", "KIND", "SCENE", "STATE", "STAGE"):
            table.add_column(head, no_wrap=True)
        table.add_column("DONE", justify="right", no_wrap=True)
        table.add_column("", ratio=1)
        table.add_column("AGE", justify="right", no_wrap=True)
        for job in jobs[:room]:
            table.add_row(
                f"…{job.job_id[-8:]}",
                kind_name(job),
                Text(plain(job.scene_id)),
                Text(state_name(job), style=_STYLES.get(job.state, "")),
                stage_name(job),
                f"{job.progress:.0%}",
                ProgressBar(total=1.0, completed=job.progress),
                _age(job),
            )
        more = f", {len(jobs) - room} not shown" if len(jobs) > room else ""
        counted = f"project {plain(self._project_id)}: {len(under_way)} under way, {len(self._ended)} ended{more}"
        return Group(table, Text(counted, style="dim"))


def _age(job: Job) -> str:
    """Returns the age of a job, or how long it took if it has ended."""
    ended = job.end_time.ToSeconds() if job.HasField("end_time") else time.time()
    seconds = max(0, int(ended - job.create_time.ToSeconds()))
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
