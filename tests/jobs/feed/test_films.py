"""Watches of films: their events lie among those of jobs, and only those see them who ask."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import job_events, projects
from evergreen_server.jobs.feed.films import FILM, subject_of
from evergreen_server.jobs.feed.hub import WatchHub
from evergreen_server.jobs.feed.window import AT_ONCE, Entry
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.errors import JobError
from tests.jobs.feed.films import GivenFilms

JOB = "01900000-0000-7000-8000-000000000001"
LAMP, DOOR = subject_of("lamp"), subject_of("door")


class Plain:
    """Says a checkpoint by its revision."""

    def event(self, kind: object, job: object, at: object) -> bytes:
        raise AssertionError("no job is in this database")

    def checkpoint(self, revision: int) -> bytes:
        return b"checkpoint %d" % revision


class Scene:
    """A hub over events that tests write, and the films that they say there are."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._revision = 0
        self.films = GivenFilms()
        self.hub = WatchHub(
            database=database,
            wire=Plain(),
            clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
            on_events_read=lambda _: None,
            films=self.films,
        )

    async def happen(self, *events: tuple[str, str]) -> None:
        """Writes events: of what, and its state after it. Those of a film are what it then is."""
        rows = []
        for subject, state in events:
            self._revision += 1
            film = subject != JOB
            data = f"{subject} {state} {self._revision}".encode()
            values = {"job_id": subject, "kind": "STAGE_CHANGED", "state": state, "event": data, "created_at": 0}
            rows.append({**values, "revision": self._revision, "job_kind": FILM if film else "VIDEO"})
            if film:
                self.is_now(subject, state)

        def write(db: sa.Connection) -> None:
            if not db.execute(projects.update().values(revision=self._revision)).rowcount:
                db.execute(projects.insert().values(project_id="p", revision=self._revision, created_at=0))
            db.execute(job_events.insert(), [{"project_id": "p", **row} for row in rows])

        await self._database.write(write)
        self.hub.on_commit([Change(project_id="p", job_id=JOB)])

    def is_now(self, subject: str, state: str) -> None:
        others = [entry for entry in self.films.entries if entry.job_id != subject]
        final = state in ("SUCCEEDED", "FAILED")
        snapshot = Entry(self._revision, subject, False, final, FILM, f"{subject} is {state}".encode())
        self.films.entries = [*others, snapshot]

    async def told(
        self,
        until: bytes,
        *,
        films: bool = False,
        subjects: Iterable[str] = (),
        after: int | None = None,
        include_finished: bool = False,
    ) -> list[str]:
        """Returns what a watch is sent up to a message, or to its end."""
        got: list[str] = []
        enough = asyncio.Event()

        async def send(data: bytes) -> None:
            got.append(data.decode())
            if data == until:
                enough.set()

        watching = asyncio.create_task(
            self.hub.watch(
                send,
                project_id="p",
                job_ids=frozenset(),
                films=films,
                subjects=frozenset(subjects),
                after=after,
                include_finished=include_finished,
            )
        )
        reading = asyncio.create_task(enough.wait())
        await asyncio.wait([watching, reading], return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        if watching.done():
            watching.result()
            got.append("the end")
        watching.cancel()
        await asyncio.wait([watching])
        return got


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Scene]:
    async with open_database(f"sqlite:///{path / 'films.sqlite'}") as database, asyncio.timeout(60):
        scene = Scene(database)
        running = asyncio.create_task(scene.hub.run())
        try:
            yield scene
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_only_who_asks_is_told_of_films(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene:
        await scene.happen((JOB, "RUNNING"), (LAMP, "RUNNING"), (JOB, "RUNNING"), (DOOR, "SUCCEEDED"))

        of_jobs = await scene.told(b"checkpoint 4", after=0)
        of_all = await scene.told(b"checkpoint 4", after=0, films=True)
        of_lamp = await scene.told(b"checkpoint 4", after=0, subjects=[LAMP])

    assert of_jobs == [f"{JOB} RUNNING 1", f"{JOB} RUNNING 3", "checkpoint 4"]
    told = [f"{JOB} RUNNING 1", f"{LAMP} RUNNING 2", f"{JOB} RUNNING 3", f"{DOOR} SUCCEEDED 4", "checkpoint 4"]
    assert of_all == told
    assert of_lamp == [f"{LAMP} RUNNING 2", "checkpoint 4"]


async def test_a_watch_begins_with_films_as_they_are_and_of_many_leaves_out_none(tmp_path: Path) -> None:
    many = [subject_of(f"many-{number}") for number in range(2 * AT_ONCE + 1)]
    async with opened(tmp_path) as scene:
        await scene.happen(*[(subject, "RUNNING") for subject in many], (DOOR, "FAILED"))
        last = f"checkpoint {len(many) + 1}"

        unfinished = await scene.told(last.encode(), films=True)
        everything = await scene.told(last.encode(), films=True, include_finished=True)
        jobs_alone = await scene.told(last.encode())

    assert unfinished == [*[f"{subject} is RUNNING" for subject in many], last]
    assert everything == [*unfinished[:-1], f"{DOOR} is FAILED", last]
    assert jobs_alone == [last]


async def test_a_watch_of_films_ends_when_all_are_final(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene:
        await scene.happen((LAMP, "RUNNING"), (DOOR, "RUNNING"))
        watching = asyncio.create_task(scene.told(b"never", subjects=[LAMP, DOOR], after=2))
        await scene.happen((LAMP, "FAILED"), (JOB, "RUNNING"))
        await scene.happen((DOOR, "SUCCEEDED"))

        told = [line for line in await watching if not line.startswith("checkpoint")]
        again = await scene.told(b"never", subjects=[LAMP, DOOR])
        later = await scene.told(b"never", subjects=[LAMP, DOOR], after=5)

    assert told == [f"{LAMP} FAILED 3", f"{DOOR} SUCCEEDED 5", "the end"]
    assert again == later == [f"{LAMP} is FAILED", f"{DOOR} is SUCCEEDED", "the end"]


async def test_the_end_of_an_earlier_run_does_not_end_a_watch(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene:
        await scene.happen((LAMP, "RUNNING"), (LAMP, "SUCCEEDED"), (LAMP, "RUNNING"))

        under_way = await scene.told(b"checkpoint 3", subjects=[LAMP], after=0)
        await scene.happen((LAMP, "FAILED"))
        over = await scene.told(b"never", subjects=[LAMP], after=0)

    assert under_way == [f"{LAMP} RUNNING 1", f"{LAMP} SUCCEEDED 2", f"{LAMP} RUNNING 3", "checkpoint 3"]
    assert over == [*under_way[:-1], f"{LAMP} FAILED 4", "the end"]


async def test_a_film_that_changes_while_a_watch_begins_is_told_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene:
        await scene.happen((LAMP, "RUNNING"))
        # As if it had happened between the two reads with which a watch begins.
        scene.films.entries = [Entry(2, LAMP, False, False, FILM, b"too new")]

        told = await scene.told(b"checkpoint 1", subjects=[LAMP])

    assert told == ["checkpoint 1"]


async def test_a_film_that_does_not_exist_is_named_before_the_first_message(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene:
        await scene.happen((LAMP, "RUNNING"))

        with pytest.raises(JobError, match="film/none"):
            await scene.told(b"never", subjects=[LAMP, subject_of("none")])
        assert scene.hub.watchers == 0
