"""Long reads take turns: one that fails, is given up or comes too late keeps no place that others need."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.db.connect import READERS, open_database


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder / 'jobs.sqlite'}"


def number(db: sa.Connection) -> int:
    return int(db.execute(sa.select(sa.literal(7))).scalar_one())


async def test_a_read_that_fails_tells_its_caller_and_keeps_no_place(tmp_path: Path) -> None:
    def fail(_db: sa.Connection) -> int:
        raise ValueError("no such text")

    async with open_database(url_of(tmp_path)) as database, asyncio.timeout(60):
        for _ in range(2 * READERS):
            with pytest.raises(ValueError, match="no such text"):
                await database.read_in_turn(fail, owner="film")

        assert await database.read_in_turn(number, owner="film") == 7


async def test_a_read_that_is_given_up_before_it_begins_is_not_made_and_keeps_no_place(tmp_path: Path) -> None:
    made: list[int] = []

    async with open_database(url_of(tmp_path)) as database, asyncio.timeout(60):
        for _ in range(2 * READERS):
            database.read_in_turn(lambda _db: made.append(1), owner="film").cancel()

        assert await database.read_in_turn(number, owner="film") == 7
    assert made == []


async def test_a_read_that_comes_after_the_end_fails_instead_of_waiting(tmp_path: Path) -> None:
    async with open_database(url_of(tmp_path)) as database:
        pass

    async with asyncio.timeout(60):
        with pytest.raises(RuntimeError):
            await database.read_in_turn(number, owner="film")
