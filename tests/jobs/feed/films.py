"""Films as the hub reads them, without their tables: what a project has is given as snapshots."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from evergreen_server.jobs.feed.snapshots import Page
from evergreen_server.jobs.feed.window import AT_ONCE, Entry
from evergreen_server.jobs.model.errors import JobNotFound


class GivenFilms:
    """The films of one project; a test changes `entries`."""

    def __init__(self, *entries: Entry) -> None:
        self.entries = list(entries)

    def named(self, _db: sa.Connection, *, project_id: str, subjects: Collection[str]) -> Sequence[Entry]:
        found = [entry for entry in self.entries if entry.job_id in subjects]
        if missing := set(subjects) - {entry.job_id for entry in found}:
            raise JobNotFound(f"{project_id}: {', '.join(sorted(missing))}")
        return found

    def page(self, _db: sa.Connection, page: Page) -> Sequence[Entry]:
        found = [entry for entry in self.entries if page.after < entry.revision <= page.upto]
        found = [entry for entry in found if page.include_finished or not entry.final]
        return sorted(found, key=lambda entry: entry.revision)[:AT_ONCE]
