"""The snapshots that a watch sends first."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from itertools import chain

from evergreen_server.jobs.feed.snapshots import Snapshots
from evergreen_server.jobs.feed.starts import WatchStart
from evergreen_server.jobs.feed.window import Entry


class Openings:
    """Reads them. `on_read` is called with those of jobs before they are sent."""

    def __init__(self, *, jobs: Snapshots, films: Snapshots, on_read: Callable[[Sequence[Entry]], None]) -> None:
        self._jobs = jobs
        self._films = films
        self._on_read = on_read

    async def of(
        self, start: WatchStart, named: Sequence[Entry], after: int | None, *, films: bool, include_finished: bool
    ) -> AsyncGenerator[Entry, None]:
        """Yields the snapshots of what is watched by name, or of the project's jobs, and with `films` of its films.

        After a cursor those only that are watched by name and have no later event.
        """
        if start.snapshots or named:
            for entry in chain(start.snapshots, named):
                # What has changed since the start has an event.
                if entry.revision <= start.revision and (after is None or (entry.final and entry.revision <= after)):
                    yield entry
        elif after is None:
            project_id, revision = start.project_id, start.revision
            async with aclosing(self._jobs.of(project_id, revision, include_finished=include_finished)) as pages:
                async for entries in pages:
                    self._on_read(entries)
                    for entry in entries:
                        yield entry
            if films:
                async with aclosing(self._films.of(project_id, revision, include_finished=include_finished)) as pages:
                    async for entries in pages:
                        for entry in entries:
                            yield entry
