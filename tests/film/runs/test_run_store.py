"""Runs in their rows: what happens twice, at once, or after a crash changes nothing twice, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from evergreen_server.film.digests import Member, digest_of, request_id
from evergreen_server.film.errors import (
    FilmNotFound,
    FilmRequestReused,
    PlanChanged,
    RunChanged,
    RunDeleted,
)
from evergreen_server.film.model import FilmRequest, OutputKind
from evergreen_server.film.runs.accepting import Accepting, NewChild
from evergreen_server.film.runs.deciding import FilmGate
from evergreen_server.film.runs.run import Approval, FilmRun, RunState, Terms
from evergreen_server.film.runs.store import RunStore
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.film_schema import film_runs, films
from evergreen_server.jobs.db.schema import jobs, requests
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.errors import Superseded
from evergreen_server.jobs.model.held import FilmCreditsExceeded, Held
from evergreen_server.jobs.model.job import Job, JobFailure, Output
from evergreen_server.jobs.model.states import CostBasis, State
from evergreen_server.jobs.store.ledger import Caps, ProjectCreditsExceeded, totals
from evergreen_server.ports.timeline import Source
from tests.film.runs.studio import write_film
from tests.film.stores import film_events
from tests.jobs.tools import request_at, store_of

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PRICE = 5_000


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        yield opened


class Stand:
    """A store of runs whose jobs and legs nobody runs."""

    def __init__(self, database: Database, *, cap: int | None = None) -> None:
        self._database = database
        self.enqueued: list[tuple[str, str, int, int]] = []
        self.told: list[Change] = []
        self.jobs = store_of(database, clock=lambda: NOW, caps=Caps(default=cap), changed=self.told.extend)
        self.runs = RunStore(
            database=database,
            jobs=self.jobs,
            clock=lambda: NOW,
            enqueue=self._enqueue,
            events=film_events(),
            replica_id="local",
        )
        self._made = self._asked = 0

    def _enqueue(self, _db: sa.Connection, project_id: str, film_id: str, run: int, leg: int) -> str:
        self.enqueued.append((project_id, film_id, run, leg))
        return "films"

    async def start(
        self,
        *,
        approved: int = 50_000,
        quote: int = 50_000,
        request_id: str = "",
        digest: str = "",
        finish_by: datetime | None = None,
        **terms: object,
    ) -> FilmRun:
        run = FilmRun(
            project_id="film",
            film_id="lamp",
            run=0,
            plan_revision=1,
            terms=Terms(**terms),
            money=Held(approved=approved),
            finish_by=finish_by,
            created_at=NOW,
            updated_at=NOW,
        )
        await self.plan()
        self._asked += 1
        request = FilmRequest(request_id=request_id or f"request {self._asked}", digest=digest)
        return await self.runs.start(run, quote=quote, request=request)

    async def plan(self, revision: int = 1) -> None:
        await self._database.write(lambda db: write_film(db, "film", "lamp", revision, NOW))

    async def begun(self, **fields: object) -> FilmRun:
        run = await self.start(**fields)
        return await self.claim(run, "token")

    async def claim(self, run: FilmRun, token: str) -> FilmRun:
        claimed = await self.runs.claim("film", "lamp", run.run, leg=run.leg, token=token)
        assert claimed is not None
        return claimed

    def child(self, number: int = 1, *, lost: bool = False, price: int = PRICE) -> NewChild:
        self._made += 1
        request = replace(request_at(NOW), scene_id="scene-1")
        return NewChild(
            item_id=f"scene-1.{number}",
            kind=OutputKind.CLIP,
            base=f"base-{number}",
            basis={Member.PROMPT: f"shot {number}"},
            request=request,
            estimated_millicredits=price,
            job_id=f"job-{self._made}",
            lost=lost,
        )

    async def end(self, job_id: str, *, made: bool) -> Job:
        def running(job: Job) -> Job:
            return replace(job, state=State.RUNNING)

        def over(job: Job) -> Job:
            paid = job.charged(PRICE if made else 0, CostBasis.CONFIRMED)
            if not made:
                return paid.failed(JobFailure(reason="INTERNAL", message="it failed"))
            clip = {"content_type": "video/mp4", "size_bytes": 9, "crc32c": 1, "width": 1, "height": 1}
            return replace(
                paid.ended(State.SUCCEEDED), outputs=(Output(path="videos/a.mp4", duration_seconds=2, **clip),)
            )

        await self.jobs.command(job_id, running)
        return await self.jobs.command(job_id, over)

    async def money(self) -> tuple[Held, int]:
        """What the run has, and what its project has reserved."""
        run = await self.runs.last("film", "lamp")
        assert run is not None
        return run.money, (await self._database.read(lambda db: totals(db, "film"))).reserved


async def test_a_run_holds_its_quote_and_begins_its_first_leg(database: Database) -> None:
    stand = Stand(database)

    run = await stand.start(approved=60_000, quote=40_000, gates=frozenset({FilmGate.CLIPS}), max_attempts=3)

    assert stand.enqueued == [("film", "lamp", 1, 1)]
    # Without this the engine looks for the leg at some later time.
    assert [change.enqueued for change in stand.told] == ["films"]
    assert await stand.money() == (Held(approved=60_000, held=40_000), 40_000)
    assert await stand.runs.last("film", "lamp") == run
    assert (run.run, run.state, run.terms.max_attempts) == (1, RunState.RUNNING, 3)


async def test_one_run_of_a_film_is_on_at_a_time(database: Database) -> None:
    stand = Stand(database)

    answers = await asyncio.gather(*(stand.start() for _ in range(5)), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["FilmBusy"] * 4 + ["FilmRun"]
    assert len(stand.enqueued) == 1
    run = await stand.claim(await stand.runs.last("film", "lamp"), "token")
    await stand.runs.change(run, lambda old: old.ends(RunState.SUCCEEDED))
    assert (await stand.start()).run == 2


async def test_what_does_not_fit_under_the_cap_of_the_project_is_not_begun(database: Database) -> None:
    stand = Stand(database, cap=30_000)

    with pytest.raises(ProjectCreditsExceeded):
        await stand.start(approved=50_000, quote=40_000)
    with pytest.raises(FilmCreditsExceeded):
        await stand.start(approved=10_000, quote=20_000)

    assert await stand.runs.last("film", "lamp") is None
    assert stand.enqueued == []


async def test_a_run_is_of_the_newest_plan_of_the_film_that_was_read(database: Database) -> None:
    stand = Stand(database)
    run = FilmRun(
        project_id="film",
        film_id="lamp",
        run=0,
        plan_revision=1,
        terms=Terms(),
        money=Held(approved=1),
        created_at=NOW,
        updated_at=NOW,
    )
    request = FilmRequest(request_id="request", digest="")

    with pytest.raises(FilmNotFound):
        await stand.runs.start(run, quote=0, request=request)
    await stand.plan(2)
    with pytest.raises(PlanChanged) as changed:
        await stand.runs.start(run, quote=0, request=request)
    await stand.plan(1)
    with pytest.raises(PlanChanged):
        # It was deleted and planned again after it was read.
        await stand.runs.start(run, quote=0, request=request, planned_at=NOW - timedelta(seconds=1))

    assert changed.value.present == 2
    assert await stand.runs.last("film", "lamp") is None
    assert (await stand.runs.start(run, quote=0, request=request, planned_at=NOW)).run == 1


async def test_a_request_begins_one_run_however_often_it_comes(database: Database) -> None:
    stand = Stand(database)

    answers = await asyncio.gather(*(stand.start(request_id="same") for _ in range(5)))

    assert {answer.run for answer in answers} == {1}
    assert len(stand.enqueued) == 1
    assert await stand.money() == (Held(approved=50_000, held=50_000), 50_000)
    with pytest.raises(FilmRequestReused):
        await stand.start(request_id="same", digest="another")
    run = await stand.claim(answers[0], "token")
    await stand.runs.change(run, lambda old: old.ends(RunState.SUCCEEDED))
    assert (await stand.start(request_id="same")).state is RunState.SUCCEEDED
    assert (await stand.start()).run == 2


async def test_a_request_of_a_film_that_was_deleted_begins_no_run_of_the_next_one(database: Database) -> None:
    stand = Stand(database)
    await stand.start(request_id="old")

    def delete(db: sa.Connection) -> None:
        for table in (film_runs, films):
            db.execute(table.delete())

    await database.write(delete)
    assert (await stand.start(request_id="new")).run == 1
    with pytest.raises(RunDeleted):
        await stand.start(request_id="old")


async def test_the_row_of_a_film_says_how_its_newest_run_is(database: Database) -> None:
    stand = Stand(database)
    query = sa.select(films.c.state, films.c.run)

    async def shown() -> tuple[str, int]:
        return tuple(await database.read(lambda db: db.execute(query).one()))

    run = await stand.begun()
    seen = [await shown()]
    for edit in (
        lambda old: old.asks(()),
        lambda old: old.cancelling(),
    ):
        await stand.runs.command("film", "lamp", run.run, edit)
        seen.append(await shown())
    run = await stand.claim(await stand.runs.last("film", "lamp"), "token")
    await stand.runs.change(run, lambda old: old.ends(RunState.CANCELLED))
    seen.append(await shown())
    await stand.start()
    seen.append(await shown())

    assert seen == [("RUNNING", 1), ("NEEDS_ATTENTION", 1), ("CANCELLING", 1), ("CANCELLED", 1), ("RUNNING", 2)]


async def test_an_approval_counts_at_the_moment_for_which_it_was_given_alone(database: Database) -> None:
    stand = Stand(database)
    run = await stand.begun(gates=frozenset(FilmGate))
    waiting = await stand.runs.change(run, lambda old: old.awaits(FilmGate.STORYBOARD))
    approval = Approval(revision=waiting.revision, plan_revision=1, approved=60_000)

    answers = await asyncio.gather(
        *(stand.runs.approve(waiting, approval, quote=30_000, takes={}) for _ in range(3)),
        stand.runs.approve(waiting, replace(approval, approved=70_000), quote=30_000, takes={}),
        return_exceptions=True,
    )

    assert [type(answer) for answer in answers] == [FilmRun] * 3 + [RunChanged]
    assert [leg for *_, leg in stand.enqueued] == [1, 2]
    assert await stand.money() == (Held(approved=60_000, held=30_000), 30_000)
    second = await stand.claim(answers[0], "next")
    await stand.runs.change(second, lambda old: old.awaits(FilmGate.CLIPS))
    # The same again, from a caller who had no answer, finds the run at its next gate.
    late = await stand.runs.approve(waiting, approval, quote=30_000, takes={})
    assert (late.gate, late.leg) == (FilmGate.CLIPS, 2)
    with pytest.raises(RunChanged) as changed:
        await stand.runs.approve(late, replace(approval, approved=61_000), quote=0, takes={})
    assert changed.value.revision == late.revision
    with pytest.raises(PlanChanged):
        await stand.runs.approve(
            late, Approval(revision=late.revision, plan_revision=2, approved=60_000), quote=0, takes={}
        )
    assert [leg for *_, leg in stand.enqueued] == [1, 2]


async def test_of_two_executions_only_the_newer_one_changes_anything(database: Database) -> None:
    stand = Stand(database)
    first = await stand.begun()
    second = await stand.claim(first, "newer")

    with pytest.raises(Superseded):
        await stand.runs.change(first, lambda run: run.ends(RunState.FAILED))
    with pytest.raises(Superseded):
        await stand.runs.accept(first, [stand.child()])

    assert (await stand.runs.accept(second, [stand.child()])).accepted == 1
    assert (await stand.runs.last("film", "lamp")).state is RunState.RUNNING


async def test_a_leg_that_is_over_is_not_begun_again(database: Database) -> None:
    stand = Stand(database)
    run = await stand.begun(gates=frozenset({FilmGate.STORYBOARD}))
    await stand.runs.change(run, lambda old: old.awaits(FilmGate.STORYBOARD))

    assert await stand.runs.claim("film", "lamp", 1, leg=1, token="late") is None

    waiting = await stand.runs.last("film", "lamp")
    await stand.plan(2)
    approval = Approval(revision=waiting.revision, plan_revision=2, approved=55_000)
    on = await stand.runs.approve(waiting, approval, quote=20_000, takes={})
    assert (on.state, on.leg, on.plan_revision, on.passed) == (RunState.RUNNING, 2, 2, {FilmGate.STORYBOARD})
    assert stand.enqueued[-1] == ("film", "lamp", 1, 2)
    assert await stand.money() == (Held(approved=55_000, held=20_000), 20_000)
    assert await stand.runs.claim("film", "lamp", 1, leg=1, token="late") is None
    assert await stand.runs.claim("film", "lamp", 1, leg=2, token="next") is not None


async def test_jobs_are_accepted_once_however_often_they_are_asked_for(database: Database) -> None:
    stand = Stand(database)
    run = await stand.begun()

    for _ in range(3):
        assert await stand.runs.accept(run, [stand.child(1), stand.child(2)]) == Accepting(accepted=2)

    snapshot = await stand.runs.snapshot(run)
    assert sorted(snapshot.jobs) == ["job-1", "job-2"]
    assert [output.take for output in snapshot.outputs] == [1, 1]
    assert {job.request.request_id for job in snapshot.jobs.values()} == {
        request_id(digest_of("base-1", 1)),
        request_id(digest_of("base-2", 1)),
    }
    assert await stand.money() == (Held(approved=50_000, held=40_000, reserved=10_000), 50_000)


async def test_what_has_no_room_in_the_sum_is_refused_and_what_came_before_it_stays(database: Database) -> None:
    stand = Stand(database)
    run = await stand.begun(approved=12_000, quote=10_000)

    accepting = await stand.runs.accept(run, [stand.child(1), stand.child(2), stand.child(3)])

    assert accepting.accepted == 2
    assert isinstance(accepting.refused, FilmCreditsExceeded)
    assert len((await stand.runs.snapshot(run)).jobs) == 2


async def test_what_failed_or_is_lost_gets_its_next_take(database: Database) -> None:
    stand = Stand(database)
    run = await stand.begun()
    await stand.runs.accept(run, [stand.child(1), stand.child(2), stand.child(3)])
    await stand.end("job-1", made=False)
    await stand.end("job-2", made=True)

    await stand.runs.accept(run, [stand.child(1), stand.child(2, lost=True), stand.child(3)])

    snapshot = await stand.runs.snapshot(run)
    takes = {(output.item_id, output.take): output.job_id for output in snapshot.outputs}
    assert takes == {
        ("scene-1.1", 1): "job-1",
        ("scene-1.1", 2): "job-4",
        ("scene-1.2", 1): "job-2",
        ("scene-1.2", 2): "job-5",
        ("scene-1.3", 1): "job-3",
    }


async def test_a_job_that_is_no_longer_kept_is_not_asked_for_its_file(database: Database) -> None:
    stand = Stand(database)
    run = await stand.begun()
    await stand.runs.accept(run, [stand.child(1)])
    await stand.end("job-1", made=True)
    await database.write(lambda db: db.execute(jobs.delete().where(jobs.c.job_id == "job-1")))

    await stand.runs.accept(run, [stand.child(1)])

    assert {output.job_id for output in (await stand.runs.snapshot(run)).outputs} == {"job-1", "job-2"}
    known = await database.read(lambda db: db.execute(sa.select(sa.func.count()).select_from(requests)).scalar())
    assert known == 2


async def test_a_file_is_recorded_once(database: Database) -> None:
    stand = Stand(database)
    run = await stand.begun()
    await stand.runs.accept(run, [stand.child(1)])
    await stand.end("job-1", made=True)
    (output,) = (await stand.runs.snapshot(run)).outputs
    made = replace(
        output,
        source=Source(scene_id="scene-1", asset="videos/a.mp4", sha256="a" * 64),
        size_bytes=9,
        seconds=2.0,
        millicredits=PRICE,
    )

    await stand.runs.record(run, made)
    await stand.runs.record(run, replace(made, seconds=99.0))

    assert (await stand.runs.snapshot(run)).outputs == (made,)


async def test_a_run_that_is_cancelled_releases_what_it_holds_at_once(database: Database) -> None:
    stand = Stand(database)
    run = await stand.begun()
    await stand.runs.accept(run, [stand.child(1)])

    cancelling = await stand.runs.command("film", "lamp", 1, lambda old: old.cancelling())

    assert await stand.money() == (Held(approved=50_000, reserved=PRICE, keeps=False), PRICE)
    assert (cancelling.state, cancelling.leg) == (RunState.CANCELLING, 1)
    # Whoever owns the run is to end it, and so must not be told that another one does.
    assert await stand.runs.accept(run, [stand.child(2)]) == Accepting(accepted=0)
    assert list((await stand.runs.snapshot(run)).jobs) == ["job-1"]
    await stand.end("job-1", made=False)
    await stand.runs.change(run, lambda old: old.ends(RunState.CANCELLED))
    assert await stand.money() == (Held(approved=50_000, keeps=False), 0)


async def test_a_run_that_waits_for_people_gets_a_leg_that_ends_it(database: Database) -> None:
    stand = Stand(database)
    run = await stand.begun()
    await stand.runs.change(run, lambda old: old.asks(()))

    cancelling = await stand.runs.command("film", "lamp", 1, lambda old: old.cancelling())

    assert (cancelling.leg, stand.enqueued[-1]) == (2, ("film", "lamp", 1, 2))
    assert [change.enqueued for change in stand.told if change.enqueued] == ["films"] * 2


async def test_the_revision_rises_with_what_callers_see_alone(database: Database) -> None:
    stand = Stand(database)
    run = await stand.begun()
    assert run.revision == 1

    same = await stand.runs.change(run, lambda old: old)
    warned = await stand.runs.change(run, lambda old: old.waits("STORAGE_UNAVAILABLE", "the first cause"))
    again = await stand.runs.change(run, lambda old: old.waits("STORAGE_UNAVAILABLE", "another cause"))

    assert (same.revision, warned.revision, again.revision) == (1, 2, 2)
    assert len(again.warnings) == 1


async def test_a_run_comes_back_from_its_row_as_it_was(database: Database) -> None:
    stand = Stand(database)
    run = await stand.begun(gates=frozenset(FilmGate), priority=-3)
    error = JobFailure(reason="FILM_EXPIRED", message="it was not over")
    changed = await stand.runs.change(
        run,
        lambda old: replace(
            old.waits("STORAGE_UNAVAILABLE", "the disk").cancelling(error), finish_by=NOW + timedelta(days=1)
        ),
    )

    assert await stand.runs.last("film", "lamp") == changed
    assert (await database.read(lambda db: db.execute(sa.select(film_runs.c.run)).all())) == [(1,)]
