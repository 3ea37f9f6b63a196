"""Changes that share a commit: each fares as if it had one of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from evergreen_server.jobs.db.group_commit import MOST, BatchWriter, Work
from evergreen_server.jobs.db.sqlite import sqlite_engine

TABLES = (
    "CREATE TABLE owner (name TEXT PRIMARY KEY)",
    "CREATE TABLE entry (name TEXT PRIMARY KEY, owner TEXT REFERENCES owner DEFERRABLE INITIALLY DEFERRED)",
)


class Book:
    """A writer whose thread can be held, so that what is submitted meanwhile waits for it."""

    def __init__(self, path: Path) -> None:
        self.engine = sqlite_engine(path)
        self.commits = 0
        sa.event.listen(self.engine, "commit", self._count)
        with self.engine.begin() as db:
            for table in TABLES:
                db.exec_driver_sql(table)
        self.writer = BatchWriter(self.engine, threads=2)

    def _count(self, _db: sa.Connection) -> None:
        self.commits += 1

    def submit(self, work: Work, lane: object = None) -> "asyncio.Future[object]":
        return self.writer.submit(work, lane)

    def hold(self) -> Callable[[], None]:
        """Keeps the lane busy until what it gives is called."""
        held = threading.Event()
        self.submit(lambda _db: held.wait(120))
        return held.set

    def names(self) -> list[str]:
        with self.engine.connect() as db:
            return list(db.exec_driver_sql("SELECT name FROM entry ORDER BY rowid").scalars())


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    opened = Book(tmp_path / "book.sqlite")
    yield opened
    await opened.writer.aclose()
    opened.engine.dispose()


def entry(name: str, owner: str | None = None) -> Work:
    def work(db: sa.Connection) -> str:
        db.exec_driver_sql("INSERT INTO entry VALUES (?, ?)", (name, owner))
        return name

    return work


async def test_what_waits_shares_commits_in_the_order_in_which_it_came(book: Book) -> None:
    release, names = book.hold(), [f"{number:03}" for number in range(3 * MOST)]
    waiting = [book.submit(entry(name)) for name in names]
    before = book.commits
    release()
    assert await asyncio.gather(*waiting) == names
    assert book.names() == names
    assert book.commits - before == 1 + 3, "the one that was held, and three full ones"


async def test_one_that_fails_fails_alone(book: Book) -> None:
    release = book.hold()
    first, same, last = (book.submit(entry(name)) for name in ("a", "a", "b"))
    release()
    assert (await first, await last) == ("a", "b")
    with pytest.raises(IntegrityError):
        await same
    assert book.names() == ["a", "b"]


class Refused(Exception):
    """What a work may raise in the ordinary course of things."""


async def test_refusals_cost_the_others_neither_their_commit_nor_a_second_run(book: Book) -> None:
    runs = 0

    def good(name: str) -> Work:
        def work(db: sa.Connection) -> None:
            nonlocal runs
            runs += 1
            entry(name)(db)

        return work

    def refused(db: sa.Connection) -> None:
        entry("written before it was refused")(db)
        raise Refused

    release, before = book.hold(), book.commits
    waiting = [book.submit(work) for name in "abcd" for work in (refused, good(name), entry("taken"), refused)]
    release()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome).__name__ for outcome in found[:4]] == ["Refused", "NoneType", "str", "Refused"]
    assert [type(outcome).__name__ for outcome in found[4:8]] == ["Refused", "NoneType", "IntegrityError", "Refused"]
    assert book.names() == ["a", "taken", "b", "c", "d"]
    assert (runs, book.commits - before) == (4, 2), "the one that was held, and all of these"


async def test_a_work_that_ends_the_whole_transaction_ends_it_for_itself_alone(book: Book) -> None:
    def fatal(db: sa.Connection) -> None:
        # As a database does where its disk is full, or a connection where it breaks.
        db.exec_driver_sql("ROLLBACK")
        raise Refused

    release = book.hold()
    first, broken, last = book.submit(entry("a")), book.submit(fatal), book.submit(entry("b"))
    release()
    assert (await first, await last) == ("a", "b")
    with pytest.raises(Refused):
        await broken
    assert book.names() == ["a", "b"]


async def test_where_the_commit_itself_fails_nothing_is_done_again(book: Book) -> None:
    runs = 0

    def counted(db: sa.Connection) -> None:
        nonlocal runs
        runs += 1
        entry("a")(db)

    release = book.hold()
    good, bad = book.submit(counted), book.submit(entry("b", owner="nobody"))
    release()
    for waiting in (good, bad):
        with pytest.raises(IntegrityError):
            await waiting
    assert (runs, book.names()) == (1, []), "a commit that failed may have been made all the same"


async def test_one_whose_caller_gave_up_is_written_and_the_others_hear_of_theirs(book: Book) -> None:
    release = book.hold()
    left, kept = book.submit(entry("a")), book.submit(entry("b"))
    left.cancel()
    release()
    assert await kept == "b"
    assert book.names() == ["a", "b"]


async def test_lanes_do_not_wait_for_one_another(book: Book) -> None:
    begun, release = threading.Event(), threading.Event()

    def held(db: sa.Connection) -> bool:
        # SQLite has one lock for all: given back, so that only the lane is held.
        db.rollback()
        begun.set()
        return release.wait(120)

    first = book.submit(held, lane="one")
    await asyncio.to_thread(begun.wait, 60)
    async with asyncio.timeout(60):
        assert await book.submit(entry("b"), lane="other") == "b"
    assert not first.done()
    release.set()
    await asyncio.wait([first])


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    book = Book(tmp_path / "book.sqlite")
    release = book.hold()
    waiting = [book.submit(entry(f"{number:03}")) for number in range(2 * MOST)]
    closing = asyncio.create_task(book.writer.aclose())
    release()
    await closing
    assert all(future.done() for future in waiting)
    assert len(book.names()) == 2 * MOST
    book.engine.dispose()


async def test_what_comes_after_the_closing_is_refused_each_time(tmp_path: Path) -> None:
    book = Book(tmp_path / "book.sqlite")
    await book.writer.aclose()
    for name in ("a", "b"):
        with pytest.raises(RuntimeError, match="after shutdown"):
            book.submit(entry(name))
    assert book.names() == []
    book.engine.dispose()
