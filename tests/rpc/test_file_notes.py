"""Who changed a file is recorded even if nobody lives to say how it ended: before it is changed, and settled after."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.store.audit import Question, list_entries
from evergreen_server.ports.audit import Action, Origin
from evergreen_server.scenes.notes import FileNotes
from evergreen_storage import AssetConflict, Unavailable

NOTE = Origin(caller="ann", call_id="a call", address="192.0.2.7").did(Action.UPLOAD_ASSET)
PLACE = ("film", "scene-1", "images/a.png")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as opened:
        yield opened


async def outcomes(database: Database) -> list[dict[str, str]]:
    found = await database.read(lambda db: list_entries(db, Question(), "", 10))
    return [dict(entry.note.details) for entry in found.entries]


async def test_an_entry_is_there_before_the_change_and_is_settled_after_it(database: Database) -> None:
    notes = FileNotes(database=database, clock=lambda: datetime.now(UTC))

    async with notes.about(NOTE, *PLACE) as begin:
        assert await outcomes(database) == [], "nothing is done yet"
        await begin(size_bytes=7)
        # What a server that is killed here leaves.
        assert await outcomes(database) == [{"size_bytes": "7", "outcome": "UNKNOWN"}]

    assert await outcomes(database) == [{"size_bytes": "7"}]


@pytest.mark.parametrize(
    ("error", "left"),
    [(AssetConflict("it is there"), []), (Unavailable("no answer"), [{"outcome": "UNKNOWN"}])],
    ids=["nothing was done", "nobody knows"],
)
async def test_an_entry_of_what_failed_stays_only_if_it_may_have_been_done(
    database: Database, error: Exception, left: list[dict[str, str]]
) -> None:
    notes = FileNotes(database=database, clock=lambda: datetime.now(UTC))

    async def fail() -> None:
        async with notes.about(NOTE, *PLACE) as begin:
            await begin()
            raise error

    with pytest.raises(type(error)):
        await fail()

    assert await outcomes(database) == left


async def test_what_changes_nothing_is_not_recorded(database: Database) -> None:
    notes = FileNotes(database=database, clock=lambda: datetime.now(UTC))

    async with notes.about(NOTE, *PLACE):
        pass

    assert await outcomes(database) == []
