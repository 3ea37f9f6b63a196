"""Lists of jobs by pages, and the turns of those who read much."""

import asyncio
import itertools
import random
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from evergreen.v1 import video_pb2
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.mapping import spec_to_row, to_micros
from evergreen_server.jobs.db.schema import job_labels, jobs, projects
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import State
from evergreen_server.jobs.store import listing as listings
from evergreen_server.jobs.store.listing import LOOKED_AT, Listing
from evergreen_server.jobs.store.reader import PAGE_BYTES, JobReader
from evergreen_server.ports.specs import MediaKind
from evergreen_server.rpc.messages.convert import job_message
from tests.history import START, job_id_of, write_history
from tests.jobs.tools import store_of

PLAIN_CLIENTS_BYTES = 4 * 1024 * 1024


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        yield opened


def reader(database: Database) -> JobReader:
    return store_of(database, clock=lambda: START + timedelta(days=1))


async def pages(database: Database, *, limit: int = 200, **asked: object) -> list[list[Job]]:
    found: list[list[Job]] = []
    page = await reader(database).page(Listing(**asked), after="", limit=limit)
    found.append(list(page.jobs))
    while page.more:
        page = await reader(database).page(Listing(**asked), after=page.more, limit=limit)
        found.append(list(page.jobs))
    return found


async def test_a_page_ends_where_its_jobs_have_much_to_tell(database: Database) -> None:
    await database.write(partial(write_history, count=250, prompt="ä" * 20_000))

    found = await pages(database)

    assert [job.job_id for page in found for job in page] == [job_id_of(number) for number in range(250)]
    assert len(found) > 5
    for page in found:
        assert sum(len(job.request.spec.prompt_text.encode()) for job in page) <= PAGE_BYTES


async def test_a_page_fits_into_what_a_plain_client_takes_whatever_is_long(database: Database) -> None:
    labels = {f"{number:063}": "x" * 255 for number in range(32)}

    def write(db: sa.Connection) -> None:
        write_history(db, count=250, prompt="x")
        db.execute(sa.update(jobs).values(labels=labels))

    await database.write(write)

    found = await pages(database)

    assert sum(len(page) for page in found) == 250
    for page in found:
        answer = video_pb2.ListVideosResponse(jobs=[job_message(job, whole=True) for job in page])
        assert answer.ByteSize() < PLAIN_CLIENTS_BYTES * 3 // 4


async def test_a_job_that_has_more_to_tell_than_a_page_holds_is_a_page(database: Database) -> None:
    await database.write(partial(write_history, count=3, prompt="x" * PAGE_BYTES))

    assert [len(page) for page in await pages(database)] == [1, 1, 1]


STATES = [[], [State.QUEUED], [State.SUCCEEDED, State.RUNNING, State.RUNNING], list(State)]
PROJECTS = [None, [], ["film-0"], ["film-1", "film-0", "none"]]


async def test_filters_choose_the_same_jobs_by_index_as_by_looking_at_all(database: Database) -> None:
    await database.write(partial(write_history, count=60, projects_in_all=3, scenes=4, open_every=3))
    (every,) = await pages(database)
    assert len(every) == 60

    for project, scene, states, owned in itertools.product(("", "film-1", "none"), ("", "scene-1"), STATES, PROJECTS):
        asked = {"project_id": project, "scene_id": scene, "states": states, "projects": owned}
        found = await pages(database, limit=7, **asked)
        assert [job for page in found for job in page] == [
            job
            for job in every
            if project in ("", job.request.project_id)
            and scene in ("", job.request.scene_id)
            and (not states or job.state in states)
            and (owned is None or job.request.project_id in owned)
        ], asked


MODELS = ("gen4.5", "veo3", "gen4.5", "aleph", "veo3")
LABELS = ({}, {"take": "1"}, {"take": "1", "who": "ann"}, {"take": "2", "who": "ann"}, {"take": "1", "who": "ben"})
ASKED: dict[str, list[object]] = {
    "project_id": ["", "", "film-1"],
    "projects": [None, None, [], ["film-1", "film-0", "none"]],
    "states": [[], [], [State.QUEUED], [State.SUCCEEDED, State.RUNNING]],
    "kinds": [frozenset(MediaKind), frozenset(MediaKind), {MediaKind.IMAGE}, {MediaKind.VIDEO, MediaKind.IMAGE}],
    "models": [[], [], ["veo3"], ["aleph", "gen4.5", "none"]],
    "labels": [{}, {}, {"take": "1"}, {"take": "1", "who": "ann"}, {"take": "none"}, {"who": "ben"}],
    "created_from": [None, None, START + timedelta(seconds=20)],
    "created_before": [None, None, START + timedelta(seconds=41), START],
    "newest_first": [False, True],
}


async def test_every_filter_and_order_chooses_what_looking_at_all_jobs_does(database: Database) -> None:
    def write(db: sa.Connection) -> None:
        write_history(db, 60, projects_in_all=3, scenes=4, open_every=3, models=MODELS, labels=LABELS)
        pictures = [job_id_of(number) for number in range(0, 60, 4)]
        db.execute(sa.update(jobs).where(jobs.c.job_id.in_(pictures)).values(kind="IMAGE"))

    await database.write(write)
    (every,) = await pages(database)
    made = {job.job_id: MediaKind.IMAGE if number % 4 == 0 else MediaKind.VIDEO for number, job in enumerate(every)}
    chance = random.Random(15)
    seen: set[int] = set()

    for _ in range(250):
        asked = {name: chance.choice(values) for name, values in ASKED.items()}
        if asked["project_id"]:
            asked["scene_id"] = chance.choice(["", "scene-1"])
        listing = Listing(**asked)
        found = [job.job_id for page in await pages(database, limit=7, **asked) for job in page]
        wanted = [
            job.job_id
            for job in (reversed(every) if listing.newest_first else every)
            if listing.project_id in ("", job.request.project_id)
            and listing.scene_id in ("", job.request.scene_id)
            and (listing.projects is None or job.request.project_id in listing.projects)
            and (not listing.states or job.state in listing.states)
            and made[job.job_id] in listing.kinds
            and (not listing.models or job.request.spec.model in listing.models)
            and listing.labels.items() <= job.request.labels.items()
            and (listing.created_from is None or job.created_at >= listing.created_from)
            and (listing.created_before is None or job.created_at < listing.created_before)
        ]
        assert found == wanted, asked
        seen.add(len(found))
    assert len(seen) > 10, "too few of the questions have answers"


async def test_a_page_of_what_few_jobs_have_ends_early_and_the_list_goes_on(database: Database) -> None:
    few = ({"take": "1", "made": "here"}, *[{"made": "here"}] * (LOOKED_AT - 1))
    await database.write(partial(write_history, count=2 * LOOKED_AT + 10, projects_in_all=1, labels=few))

    found = await pages(database, project_id="film-0", labels={"made": "here", "take": "1"})

    assert [[job.job_id for job in page] for page in found] == [
        [job_id_of(number)] for number in (0, LOOKED_AT, 2 * LOOKED_AT)
    ]


async def test_jobs_are_found_by_a_part_of_their_ids_however_many_there_are(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "IDS_LOOKED_AT", 100)
    monkeypatch.setattr(listings, "IDS_AT_ONCE", 40)
    count = 110
    await database.write(partial(write_history, count=count, projects_in_all=2))
    first, last = job_id_of(0), job_id_of(count - 1)

    (by_end, *rest) = await pages(database, id_part=first[-12:], newest_first=True)
    by_begin = [job for page in await pages(database, id_part=last[:-1], newest_first=True) for job in page]
    owned = await pages(database, id_part=first[-12:], projects=["film-1"])

    # The first page is of the newest, and none of them is it.
    assert [[job.job_id for job in page] for page in (by_end, *rest)] == [[], [first]]
    assert last in [job.job_id for job in by_begin]
    assert all(job.job_id.startswith(last[:-1]) for job in by_begin)
    assert not any(owned)


async def test_a_caller_of_very_many_projects_asks_no_more_of_the_database_for_a_filter(database: Database) -> None:
    await database.write(partial(write_history, count=400, projects_in_all=100, models=MODELS))
    asked = {
        "projects": [f"film-{number}" for number in range(100)],
        "states": [State.SUCCEEDED, State.QUEUED, State.FAILED],
        "kinds": {MediaKind.VIDEO},
    }
    sent: list[str] = []

    def count(_db: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", count)
    try:
        filtered = await pages(database, limit=50, models=["veo3"], created_from=START, **asked)
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", count)
    every = [job for page in await pages(database) for job in page]

    assert [job for page in filtered for job in page] == [
        job for job in every if job.state in asked["states"] and job.request.spec.model == "veo3"
    ]
    assert len(sent) < len(filtered) * 130, "one for each project, and few more"


@pytest.mark.parametrize("limit", [1, 3, 199, 200])
async def test_a_page_takes_as_few_statements_whatever_its_size(database: Database, limit: int) -> None:
    await database.write(partial(write_history, count=300, projects_in_all=1))
    sent: list[str] = []

    def count(_db: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT"):
            sent.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", count)
    try:
        page = await reader(database).page(Listing(project_id="film-0"), after=job_id_of(50), limit=limit)
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", count)

    assert [job.job_id for job in page.jobs] == [job_id_of(51 + number) for number in range(limit)]
    assert page.more == job_id_of(50 + limit)
    assert len(sent) <= 3, "the ids, the sizes, the jobs"


async def test_labels_of_other_projects_cost_a_list_nothing(database: Database) -> None:
    label = {"made": "here"}

    def write(db: sa.Connection) -> None:
        write_history(db, LOOKED_AT + 10, projects_in_all=1, labels=(label,))
        ours = [job_id_of(number) for number in (0, LOOKED_AT)]
        project = {"project_id": "ours", "revision": 0, "created_at": 0}
        db.execute(projects.insert(), project)
        for table in (jobs, job_labels):
            db.execute(sa.update(table).where(table.c.job_id.in_(ours)).values(project_id="ours"))

    await database.write(write)

    for asked in ({"project_id": "ours"}, {"projects": ["ours"]}):
        found = await pages(database, **asked, labels=label, states=[State.SUCCEEDED, State.RUNNING, State.QUEUED])
        assert [[job.job_id for job in page] for page in found] == [[job_id_of(0), job_id_of(LOOKED_AT)]]


async def test_a_job_is_found_by_its_time_though_the_clock_was_set_back_after_its_id(database: Database) -> None:
    def write(db: sa.Connection) -> None:
        write_history(db, 3)
        shifted = {1: timedelta(seconds=-30), 2: timedelta(seconds=30)}
        for number, by in shifted.items():
            at = to_micros(START + timedelta(seconds=number) + by)
            db.execute(sa.update(jobs).where(jobs.c.job_id == job_id_of(number)).values(created_at=at))

    await database.write(write)

    early = await pages(database, created_before=START)
    late = await pages(database, created_from=START + timedelta(seconds=32))

    assert [job.job_id for (job,) in early] == [job_id_of(1)]
    assert [job.job_id for (job,) in late] == [job_id_of(2)]


async def test_the_sizes_are_of_what_is_stored(database: Database) -> None:
    await database.write(partial(write_history, count=2, prompt="\0\ud800"))

    ((first, _),) = await pages(database)

    assert spec_to_row(first.request.spec)["spec"]["prompt_text"] == "\0\ud800"


async def test_who_reads_much_has_one_thread_and_leaves_the_others_theirs(database: Database) -> None:
    begun: list[str] = []
    one_more, release = threading.Semaphore(0), threading.Event()

    def work(name: str, _db: sa.Connection) -> None:
        begun.append(name)
        one_more.release()
        release.wait(120)

    greedy = [database.read_in_turn(partial(work, f"greedy {number}"), owner="greedy") for number in range(50)]
    honest = database.read_in_turn(partial(work, "honest"), owner="honest")
    try:
        async with asyncio.timeout(60):
            for _ in range(2):
                await asyncio.to_thread(one_more.acquire)
            assert set(begun) == {"greedy 0", "honest"}
            # Of three threads none is left now, but for what takes no time.
            assert await database.read(lambda db: db.execute(sa.select(1)).scalar()) == 1
    finally:
        release.set()
    await asyncio.gather(*greedy, honest)
    assert len(begun) == 51


async def test_a_thread_counts_as_busy_until_its_reading_ends_though_nobody_waits_for_it(database: Database) -> None:
    begun, release = threading.Semaphore(0), threading.Event()

    def work(_db: sa.Connection) -> None:
        begun.release()
        release.wait(120)

    first = database.read_in_turn(work, owner="greedy")
    await asyncio.to_thread(begun.acquire)
    first.cancel()
    later = [database.read_in_turn(work, owner="greedy") for _ in range(5)]
    for given_up in later[:4]:
        given_up.cancel()
    try:
        async with asyncio.timeout(60):
            assert await database.read(lambda db: db.execute(sa.select(1)).scalar()) == 1
        assert not begun.acquire(blocking=False), "one that waited for its turn has begun"
    finally:
        release.set()

    await later[4]
    assert begun.acquire(blocking=False)
    assert not begun.acquire(blocking=False), "one that was given up while it waited is not read"
