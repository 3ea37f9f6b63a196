"""Shows a transfer on stderr: a live bar on a terminal, otherwise a line when it is complete."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from evergreen.cli.output import plain, say
from evergreen.transfers import Moved


@contextmanager
def shown(name: str, *, json: bool) -> Iterator[Moved]:
    """Yields a callback for the progress. With `json`, shows nothing if the terminal also receives the data."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
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
    # Loaded here, since it takes a while and only terminals need it.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    # A narrow terminal loses columns, from the right, and no letters.
    columns = [
        (0, TextColumn("{task.percentage:>3.0f}%", markup=False)),
        (len(name) + 30, BarColumn(bar_width=20)),
        (len(name) + 54, DownloadColumn(binary_units=True)),
        (len(name) + 68, TransferSpeedColumn()),
        (len(name) + 80, TimeRemainingColumn()),
    ]
    described = [TextColumn("{task.description}", markup=False)] if len(name) + 6 <= console.width else []
    with Progress(
        *described,
        *(column for least, column in columns if least <= console.width),
        console=console,
        transient=True,
        # Otherwise rich would redirect stdout to stderr.
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        bar = progress.add_task(plain(name), total=None)
        yield lambda moved, size: progress.update(bar, completed=moved, total=size)
