"""Shows a transfer on stderr: a live bar on a terminal, otherwise a line when it is complete."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from evergreen.cli.output import plain
from evergreen.cli.session import say
from evergreen.transfers import Moved


@contextmanager
def shown(name: str, *, json: bool) -> Iterator[Moved]:
    """Yields a callback for the progress. With `json`, shows nothing if the terminal also receives the data."""
    if not sys.stderr.isatty():
        began_at, last = time.monotonic(), (0, 0)

        def note(moved: int, size: int) -> None:
            nonlocal last
            last = (moved, size)

        yield note
        if not json:
            say(f"{name}  {last[1]:,} bytes  {time.monotonic() - began_at:.1f} s")
        return
    if json and sys.stdout.isatty():
        yield lambda _moved, _size: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        # Otherwise rich would redirect stdout to stderr.
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        bar = progress.add_task(plain(name), total=None)
        yield lambda moved, size: progress.update(bar, completed=moved, total=size)
