"""Texts that a database may hold and not read back, stored as releases took them that did not refuse them yet.

No question about other jobs is broken by one, and the job itself comes back as it was.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import pytest
import pytest_asyncio
import sqlalchemy as sa

from evergreen_server.jobs.admission import slots
from evergreen_server.jobs.admission.durations import Durations
from evergreen_server.jobs.admission.forecast import Forecasts
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.feed.hub import WatchHub
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.store.census import take_census
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.listing import Listing
from evergreen_server.jobs.store.percentages import Progress
from tests.history import START, job_id_of, write_history
from tests.jobs.feed.films import GivenFilms
from tests.jobs.tools import store_of
from tests.postgres import Postgres

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = START + timedelta(days=1)
COUNT = 8
BAD, GOOD = job_id_of(0), [job_id_of(number) for number in range(1, COUNT)]
TEXTS = {
    "NUL": "\0",
    "NUL within": "a rocket\0rises",
    "many NULs": "\0" * 5000,
    "NUL as an escape": "\\u0000",
    "a high surrogate": "\ud800",
    "a low surrogate": "\udfff",
    "surrogates the wrong way round": "\udc00\ud800",
    "a byte order mark": "\ufeff",
    "no characters": "\uffff\ufffe\U0010ffff",
    "turned round": "\u202egpj.exe",
    "joined": "\u200d" * 2000,
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\x80\x9f",
    "beyond the first plane": "\U0001f680" * 5000,
    "not in LATIN1": "Ω漢字",
    "JSON": '{"duration_seconds": 9, "a": [',
    "the column's own key": '", "duration_seconds": 9, "',
    "SQL": "'; DROP TABLE jobs; --",
    "a pattern": "%_\\%s %(name)s :name ?",
    "lines": "a\r\nb\u2028c\u2029d\u0085",
    "long": "x" * 200_000,
}
NUMBERS = {
    "400 digits": 10**400,
    "beyond 64 bits": 2**63,
    "the greatest double": 1.7e308,
    "the least": 5e-324,
    "minus nothing": -0.0,
}
OPTIONS: dict[str, object] = {
    **{f"key {name}": {text: 1} for name, text in TEXTS.items()},
    **{f"number of {name}": {"number": number} for name, number in NUMBERS.items()},
    "nested": {"a": eval("[" * 80 + "]" * 80)},  # brackets alone
    "empty key": {"": None},
}


class Wire:
    def event(self, kind: object, job: Job, at: object) -> bytes:
        return job.job_id.encode()

    def checkpoint(self, revision: int) -> bytes:
        return b""


class _Seen(Exception):
    """The watch has told of all that stands."""


@dataclass
class Case:
    database: Database
    store: JobStore

    async def put(self, **spec: object) -> Job:
        """Stores it in the row of one job; gives the job as it must come back."""
        job = await self.store.get(BAD)
        changed = {**{"prompt_text": "a rocket rises", "options": {}}, **spec}

        def write(db: sa.Connection) -> None:
            stored = db.execute(sa.select(jobs.c.spec).where(jobs.c.job_id == BAD)).scalar_one()
            db.execute(jobs.update().where(jobs.c.job_id == BAD).values(spec={**stored, **changed}))

        await self.database.write(write)
        return replace(job, request=replace(job.request, spec=replace(job.request.spec, **changed)))

    async def forecasts(self) -> set[str]:
        terms = slots.SlotLimits(concurrent=1, asked_at=NOW)
        forecasts = Forecasts(
            database=self.database, limits_for=lambda _: terms, durations=Durations(), clock=lambda: NOW, scale=1.0
        )
        return set(await forecasts.all())

    async def watched(self) -> list[str]:
        found: list[str] = []

        async def tell(message: bytes) -> None:
            if not message:
                raise _Seen
            found.append(message.decode())

        hub = WatchHub(
            database=self.database, films=GivenFilms(), wire=Wire(), clock=lambda: NOW, on_events_read=lambda _: None
        )
        with pytest.raises(_Seen):
            await hub.watch(tell, project_id="film-0", job_ids=frozenset(), after=None, include_finished=True)
        return found


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["sqlite", "postgresql"])
async def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Case]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('texts') / 'jobs.sqlite'}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create()
    async with open_database(url) as database:
        await database.write(partial(write_history, count=COUNT, projects_in_all=1, open_every=1))
        yield Case(database, store_of(database, clock=lambda: NOW))


async def check(case: Case, bad: Job) -> None:
    assert await case.store.get(BAD) == bad
    assert await case.forecasts() == {BAD, *GOOD}
    assert await case.watched() == [BAD, *GOOD]
    page = await case.store.page(Listing(project_id="film-0"), after="", limit=100)
    assert [job.job_id for job in page.jobs] == [BAD, *GOOD]
    assert page.jobs[0] == bad
    assert len(await case.store.stranded()) == COUNT
    assert (await take_census(case.database, lambda: NOW)).waiting == COUNT // 2


@pytest.mark.parametrize("name", TEXTS)
async def test_a_prompt_breaks_no_question_about_others(case: Case, name: str) -> None:
    await check(case, await case.put(prompt_text=TEXTS[name]))


@pytest.mark.parametrize("name", OPTIONS)
async def test_options_break_no_question_about_others(case: Case, name: str) -> None:
    await check(case, await case.put(options=OPTIONS[name]))


async def test_the_job_itself_goes_on(case: Case) -> None:
    bad = await case.put(prompt_text="\0\ud800", options={"\0": "\udfff"})

    await case.store.flush([Progress(job=bad, fencing_token=bad.fencing_token, progress=0.5)])
    await case.store.change(bad, lambda job: job.warned("CODE", "text"), fencing_token=bad.fencing_token)

    changed = await case.store.get(BAD)
    assert (changed.progress, changed.request) == (0.5, bad.request)
