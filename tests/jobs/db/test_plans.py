"""Every question that is asked often looks into an index, on both databases: none reads a table that grows for ever."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPICursor

from evergreen_server.film.assembling.material import Claim
from evergreen_server.film.assembling.store import ExportStore
from evergreen_server.film.codec import to_document
from evergreen_server.film.model import FilmRequest
from evergreen_server.film.plans.retention import delete_old_runs, delete_old_takes
from evergreen_server.film.plans.store import FilmStore
from evergreen_server.film.rendering.slots import RenderSlots
from evergreen_server.film.runs.census import take_film_census
from evergreen_server.film.runs.films import FilmState
from evergreen_server.film.runs.queries import expired, last_run, left_by
from evergreen_server.film.runs.rows import run_row
from evergreen_server.film.runs.run import FilmRun, RunState, Terms
from evergreen_server.film.runs.store import RunStore
from evergreen_server.film.runs.watching import WatchedFilms
from evergreen_server.gateway.messages import to_json
from evergreen_server.jobs import commands
from evergreen_server.jobs.admission import slots
from evergreen_server.jobs.admission.durations import Durations
from evergreen_server.jobs.admission.forecast import Forecasts
from evergreen_server.jobs.cluster.notifier import cancelling
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.film_schema import film_exports, film_plans, film_requests, film_runs, films
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.schema import audit
from evergreen_server.jobs.db.webhook_schema import webhook_deliveries, webhook_messages, webhooks
from evergreen_server.jobs.feed.films import subject_of
from evergreen_server.jobs.feed.history import new_events
from evergreen_server.jobs.feed.hub import WatchHub
from evergreen_server.jobs.feed.snapshots import Page
from evergreen_server.jobs.feed.window import Entry
from evergreen_server.jobs.maintenance.janitor import beyond_clock
from evergreen_server.jobs.maintenance.retention import Retention
from evergreen_server.jobs.model.errors import JobNotFound
from evergreen_server.jobs.model.held import Held
from evergreen_server.jobs.model.states import Slot, State
from evergreen_server.jobs.store.audit import Question, delete_old, list_entries, row_of
from evergreen_server.jobs.store.backlog import Backlog
from evergreen_server.jobs.store.census import take_census
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.listing import Listing
from evergreen_server.jobs.store.needs import refuse_needed
from evergreen_server.jobs.store.percentages import Progress
from evergreen_server.jobs.store.projects import miscounted
from evergreen_server.jobs.store.provider_tasks import TaskRecords
from evergreen_server.ports.audit import Action, Origin
from evergreen_server.ports.metrics import NullMetrics
from evergreen_server.rpc.messages.events import EventWire
from evergreen_server.rpc.messages.webhook_events import WebhookReader
from evergreen_server.runtime.ids import id_at
from evergreen_server.scenes.deletion import under_way
from evergreen_server.webhooks.census import take_webhook_census
from evergreen_server.webhooks.deliveries import Deliveries
from evergreen_server.webhooks.expansion import floor
from evergreen_server.webhooks.model import Attempt, DeliveryState, Webhook, WebhookFilter, WebhookState
from evergreen_server.webhooks.outbox import Outbox
from evergreen_server.webhooks.rows import begin, to_row
from evergreen_server.webhooks.store import WebhookStore
from tests.film.planned import plan_of, planned_of
from tests.film.runs.studio import write_film
from tests.film.stores import film_events, film_store_of
from tests.history import START, job_id_of, write_history
from tests.jobs.feed.films import GivenFilms
from tests.jobs.tools import request_at, store_of
from tests.postgres import Postgres

pytestmark = pytest.mark.asyncio(loop_scope="module")

JOBS, PROJECTS = 20_000, 2
FILMS = 5_000
"""Of each project."""
RUNS = 10_000
HOOKS, MESSAGES = 6, 4_000
LARGE = (
    "jobs",
    "job_labels",
    "job_events",
    "provider_tasks",
    "requests",
    "films",
    "film_plans",
    "film_requests",
    "film_runs",
    "film_exports",
    "audit",
    "webhook_messages",
    "webhook_deliveries",
)
MOST_ROWS = 2_500
"""That one question may look at: those of all jobs that have not ended, and of a few hundred others."""
NOW = START + timedelta(days=1)
MODELS = ("gen4.5", "gen4.5", "gen4.5", "veo3")
LABELS = tuple({"made": "here", "take": str(take)} for take in range(50))


class Workflows:
    def forget_ended(self, before: datetime, most: int) -> int:
        return 0


class Wire:
    def event(self, kind: object, job: object, at: object) -> bytes:
        return b"snapshot"

    def checkpoint(self, revision: int) -> bytes:
        return b""


class _Seen(Exception):
    """As much of a watch as is to be looked at."""


@dataclass
class Case:
    database: Database
    store: JobStore
    hub: WatchHub
    tasks: TaskRecords

    async def watched(self, job_ids: frozenset[str] = frozenset(), **asked: object) -> None:
        async def tell(message: bytes) -> None:
            if not message:
                raise _Seen

        usual = {"after": None, "include_finished": False}
        with suppress(_Seen):
            await self.hub.watch(tell, project_id="film-1", job_ids=job_ids, **{**usual, **asked})

    async def page(self, **asked: object) -> None:
        usual = {"project_id": "film-1", "after": job_id_of(JOBS // 2), "limit": 200}
        fields = {**usual, **asked}
        await self.store.page(after=fields.pop("after"), limit=fields.pop("limit"), listing=Listing(**fields))

    async def found(self, number: int, **asked: object) -> None:
        """Reads the first page, newest first, which has so many jobs; if none, the list goes on all the same."""
        page = await self.store.page(Listing(newest_first=True, **asked), after="", limit=200)
        assert len(page.jobs) == number
        assert number or page.more

    async def read(self, work: Callable[[sa.Connection], object]) -> None:
        await self.database.read(work)

    async def write(self, work: Callable[[sa.Connection], object]) -> None:
        await self.database.write(work)

    async def accepted(self) -> None:
        await self.store.accept(request_at(NOW), job_id="new", estimated_millicredits=1, inline={})

    async def flushed(self) -> None:
        jobs = [await self.store.get(job_id_of(200 * number)) for number in range(20)]
        await self.store.flush([Progress(job=job, fencing_token=job.fencing_token, progress=0.5) for job in jobs])

    async def retained(self) -> None:
        await Retention(
            database=self.database,
            workflows=Workflows(),
            clock=lambda: NOW,
            events_kept=timedelta(days=1),
            jobs_kept=timedelta(days=1),
            requests_kept=timedelta(days=1),
            metrics=NullMetrics(),
            films=delete_old_runs,
            takes=delete_old_takes,
        ).run_once()

    async def forecast(self) -> None:
        await Forecasts(
            database=self.database,
            limits_for=lambda _: slots.SlotLimits(concurrent=3, asked_at=NOW),
            durations=Durations(),
            clock=lambda: NOW,
            scale=1.0,
        ).all()

    @property
    def runs(self) -> RunStore:
        return RunStore(
            database=self.database,
            jobs=self.store,
            events=film_events(),
            clock=lambda: NOW,
            enqueue=lambda *_: "",
            replica_id="local",
        )

    async def looked(self) -> None:
        runs = self.runs
        run = FilmRun(
            project_id="film-1",
            film_id="lamp",
            run=0,
            plan_revision=1,
            terms=Terms(),
            money=Held(approved=0),
            created_at=NOW,
            updated_at=NOW,
        )
        await self.database.write(lambda db: write_film(db, "film-1", "lamp", 1, NOW))
        begun = await runs.start(run, quote=0, request=FilmRequest(request_id="one", digest=""))
        await runs.snapshot(begun)
        await runs.change(begun, lambda old: old.ends(RunState.SUCCEEDED))

    @property
    def slots(self) -> RenderSlots:
        return RenderSlots(database=self.database, runs=self.runs, clock=lambda: NOW, replica_id="local")

    async def granted(self) -> None:
        """A slot that a run gets, and leaves."""
        waiting = await self.slots.next()
        assert waiting is not None
        assert await self.slots.grant(waiting, "token") is not None
        await self.runs.command(*waiting, lambda run: replace(run, slot=Slot.WANTED))

    async def exported(self) -> None:
        """An export that is found, recorded again, and published, by the owner of a run."""
        exports, owner = ExportStore(database=self.database, clock=lambda: NOW), {"leg": 1, "execution": ""}
        claim = Claim(project_id="film-1", film_id="film-7", run=1, **owner)
        [found] = (await exports.find("film-1", "film-7", ["digest 7", "digest 9"])).values()
        one = film_runs.c.film_id == "film-7", film_runs.c.run == 1
        claimed = film_runs.update().where(film_runs.c.project_id == "film-1", *one).values(owner)
        await self.database.write(lambda db: db.execute(claimed))
        await exports.record(claim, found)
        await exports.publish(claim, found.digest)

    @property
    def films(self) -> FilmStore:
        return film_store_of(self.database, lambda: NOW)

    async def planned(self) -> None:
        """A new film of 300 scenes, then its next plan, and its end, in a project that may have more films."""
        plan = plan_of("new", scenes=300, prefix="new-part")
        planned, document, key = planned_of(plan), to_document(plan), FilmRequest(request_id="new", digest="d")
        await self.films.check_free("film-2", plan, None)
        stored = await self.films.record("film-2", planned, document, before=None, request=key)
        stored = await self.films.record("film-2", planned, document, before=stored)
        await self.films.delete(stored.film)

    async def shown(self, *film_ids: str, include_finished: bool = False) -> None:
        """As many of the films as a watch reads at once."""
        films_of = WatchedFilms(wire=EventWire(), clock=lambda: NOW)
        work = partial(films_of.named, project_id="film-1", subjects=[*map(subject_of, film_ids)])
        if not film_ids:
            page = Page(project_id="film-1", after=FILMS // 2, upto=FILMS, include_finished=include_finished)
            work = partial(films_of.page, page=page)
        assert len(await self.database.read(work)) == (len(film_ids) or 100)

    async def listed(self, *states: FilmState) -> None:
        found = await self.films.page("film-1", states=states, after=f"film-{FILMS // 2:05}", limit=200)
        assert len(found) == 200

    async def audited(self, **asked: object) -> None:
        page = await self.database.read(
            lambda db: list_entries(db, Question(**asked), after=id_at(NOW - timedelta(hours=1)), limit=200)
        )
        assert page.entries

    @property
    def deliveries(self) -> Deliveries:
        return Deliveries(database=self.database, clock=lambda: NOW, random=lambda: 0.5)

    @property
    def hooks(self) -> WebhookStore:
        return WebhookStore(database=self.database, clock=lambda: NOW)

    async def expanded(self) -> None:
        await Outbox(database=self.database, reader=WebhookReader(to_json), told=_nothing).sweep()

    async def sent(self) -> None:
        """Deliveries that are due, claimed and recorded."""
        due = await self.deliveries.due()
        assert len(due) == HOOKS - 1
        claims, _ = await self.deliveries.claim({each.webhook_id: 4 for each in due[:5]}, token="one")
        assert len(claims) == 20
        failed = Attempt(succeeded=False, status=500, error="no", milliseconds=1.0, answer=b"")
        for claim in claims:
            await self.deliveries.record(claim, failed)

    async def delivered(self, *states: DeliveryState) -> None:
        asked = {"states": states, "since": START, "before": "", "limit": 100, "owner": "*"}
        assert len(await self.deliveries.page(hook_id_of(1), **asked)) == 100

    async def cleaned(self) -> None:
        """What is pending for webhooks that are off is given up; of what is over a week old, a part is removed."""
        assert await self.deliveries.give_up() > 0
        later = Deliveries(database=self.database, clock=lambda: at(7 * 86_400 + 100), random=lambda: 0.5)
        assert await later.remove_old() > 0

    async def missing(self) -> None:
        with pytest.raises(JobNotFound):
            await self.store.get("missing")


QUESTIONS: dict[str, Callable[[Case], Awaitable[object]]] = {
    "GetStatus": lambda case: case.store.get(job_id_of(17)),
    "GetStatus of none": lambda case: case.missing(),
    "GenerateVideo": lambda case: case.accepted(),
    "GenerateVideo again": lambda case: case.store.find("film-1", "one", ""),
    "CancelVideo": lambda case: commands.cancel(case.store, job_id_of(100)),
    "ListVideos of a project": lambda case: case.page(),
    "ListVideos of a state": lambda case: case.page(states=[State.FAILED, State.RUNNING]),
    "ListVideos of a state from the first": lambda case: case.page(states=[State.CANCELLED], after=""),
    "ListVideos of a scene": lambda case: case.page(scene_id="scene-11"),
    "ListVideos of a scene and a state": lambda case: case.page(scene_id="scene-11", states=[State.QUEUED]),
    "ListVideos of an empty scene": lambda case: case.page(scene_id="none", after=""),
    "ListVideos of all projects": lambda case: case.page(project_id=""),
    "ListVideos of all projects and a state": lambda case: case.page(project_id="", states=[State.FAILED]),
    "ListVideos, newest first": lambda case: case.found(200, project_id="film-1"),
    "ListVideos, newest first, of a state": lambda case: case.found(200, project_id="film-1", states=[State.SUCCEEDED]),
    "ListVideos of a model": lambda case: case.found(200, project_id="film-1", models=["veo3"]),
    "ListVideos of a model that no job has": lambda case: case.page(models=["none"]),
    "ListVideos of all projects and a model": lambda case: case.found(200, models=["veo3"]),
    "ListVideos of a label": lambda case: case.found(200, project_id="film-1", labels={"take": "7"}),
    "ListVideos of a label of all projects": lambda case: case.found(200, labels={"take": "7"}),
    "ListVideos of a label that no job has": lambda case: case.page(labels={"take": "none"}),
    "ListVideos of labels that no job has both of": lambda case: case.found(
        0, project_id="film-1", labels={"made": "here", "take": "none"}
    ),
    "ListVideos of a label that many have, and a state that few have": lambda case: case.found(
        0, project_id="film-1", labels={"made": "here"}, states=[State.FAILED]
    ),
    "ListVideos of a state that many have, and a model that none has": lambda case: case.found(
        0, project_id="film-1", states=[State.SUCCEEDED], models=["none"]
    ),
    "ListVideos of some minutes": lambda case: case.found(
        100, project_id="film-1", created_from=at(10_000), created_before=at(10_200)
    ),
    "ListVideos of a label and some minutes": lambda case: case.found(
        4, project_id="film-1", labels={"take": "7"}, created_from=at(10_000), created_before=at(10_200)
    ),
    "ListVideos of a caller's projects": lambda case: case.page(project_id="", projects=["film-1", "film-0", "none"]),
    "a film's run, its jobs and outputs": lambda case: case.looked(),
    "a film's exports": lambda case: case.exported(),
    "GetFilm": lambda case: case.films.get("film-1", "film-00017"),
    "PlanFilm": lambda case: case.planned(),
    "PlanFilm again": lambda case: case.films.find(
        "film-1", "film-00017", FilmRequest(request_id="film-00017", digest="d")
    ),
    "ListAuditEntries": lambda case: case.audited(),
    "ListAuditEntries of a project": lambda case: case.audited(project_id="film-1"),
    "ListAuditEntries of a subject": lambda case: case.audited(subject="subject-8"),
    "ListAuditEntries of a caller": lambda case: case.audited(caller="token-3"),
    "ListAuditEntries of rare actions": lambda case: case.audited(
        actions=[Action.CANCEL, Action.RESOLVE], project_id="film-0"
    ),
    "ListAuditEntries of all filters": lambda case: case.audited(
        actions=[*Action], project_id="film-1", caller="token-3", since=START, until=NOW
    ),
    "old entries": lambda case: case.write(lambda db: delete_old(db, START)),
    "ListFilms": lambda case: case.listed(),
    "ListFilms of a state": lambda case: case.listed(FilmState.PLANNED),
    "a watch's films by name": lambda case: case.shown("film-00017", "film-00018"),
    "a watch's films": lambda case: case.shown(),
    "a watch's films with those that are over": lambda case: case.shown(include_finished=True),
    "a watch of a project": lambda case: case.watched(),
    "a watch of all that it ever had": lambda case: case.watched(include_finished=True),
    "a watch of jobs": lambda case: case.watched(frozenset({job_id_of(1), job_id_of(11)})),
    "a watch from the first event": lambda case: case.watched(after=0),
    "a watch of a job from the first event": lambda case: case.watched(frozenset({job_id_of(5001)}), after=0),
    "what is new": lambda case: case.read(
        partial(news, cursors={f"film-{number}": JOBS // PROJECTS - number for number in range(PROJECTS)})
    ),
    "a scene's jobs under way": lambda case: case.read(lambda db: under_way(db, "film-1", "scene-11")),
    "who needs a file": lambda case: case.read(lambda db: refuse_needed(db, "film-1", "scene-11", "images/a.png")),
    "slots": lambda case: case.write(
        lambda db: slots.grant(
            db, "gen4.5", slots.SlotLimits(concurrent=JOBS, daily_left=5, asked_at=NOW - timedelta(minutes=1)), NOW, 1.0
        )
    ),
    "lines": lambda case: case.read(slots.waiting_models),
    "forecasts": lambda case: case.forecast(),
    "the backlog": lambda case: case.read(partial(Backlog(JOBS).admit, project_id="film-1")),
    "the census": lambda case: take_census(case.database, lambda: NOW),
    "the census of films": lambda case: take_film_census(case.database, lambda: NOW),
    "ListProjects": lambda case: case.store.projects(after="", limit=1000, owned=None, owner="*"),
    "ListProjects of a caller": lambda case: case.store.projects(after="", limit=9, owned=["film-1"], owner="me"),
    "the counters": lambda case: case.read(miscounted),
    "GetAccount": lambda case: case.store.totals("film-1"),
    "the newest job": lambda case: case.store.newest(),
    "what nobody runs": lambda case: case.store.stranded(),
    "orphans": lambda case: case.tasks.orphans(older_than=timedelta(minutes=1)),
    "runs that are overdue": lambda case: case.read(lambda db: db.execute(expired(NOW, most=100)).all()),
    "runs that nobody runs": lambda case: case.read(lambda db: db.execute(left_by("local")).all()),
    "runs to be rendered": lambda case: case.slots.next(),
    "a slot for a render": lambda case: case.granted(),
    "slots of servers that are gone": lambda case: case.slots.held(here=False),
    "whether there is anything to render": lambda case: case.slots.any(),
    "slots for renders here": lambda case: case.slots.held(here=True),
    "runs that wait for long to be rendered": lambda case: case.slots.waiting(before=NOW),
    "the newest run of a film": lambda case: case.read(partial(last_run, project_id="film-1", film_id="film-7")),
    "what is overdue": lambda case: case.read(lambda db: beyond_clock(db, NOW, State.QUEUED, State.RUNNING)),
    "wishes to cancel": lambda case: case.read(cancelling),
    "ListWebhooks": lambda case: case.hooks.page(
        after="", limit=50, project_id="film-1", sees=lambda _: True, owner="*"
    ),
    "what is pending for webhooks": lambda case: case.hooks.pending([hook_id_of(1), hook_id_of(2)], owner="*"),
    "events for webhooks": lambda case: case.expanded(),
    "webhooks that are sent": lambda case: case.sent(),
    "ListDeliveries": lambda case: case.delivered(),
    "ListDeliveries of a state": lambda case: case.delivered(DeliveryState.DELIVERED),
    "Redeliver": lambda case: case.deliveries.again(hook_id_of(1), message_id_of(1)),
    "Redeliver all": lambda case: case.deliveries.all_again(hook_id_of(1), START),
    "up to where events are expanded for webhooks": lambda case: case.read(partial(floor, project_id="film-1")),
    "the census of webhooks": lambda case: take_webhook_census(case.database, lambda: NOW),
    "webhooks cleaned up": lambda case: case.cleaned(),
    "progress": lambda case: case.flushed(),
    "retention": lambda case: case.retained(),
}
PAGED = ("ListVideos", "ListFilms", "ListAuditEntries", "a watch")
"""What is read by pages: each is to come from the index in order, without the rest being read to sort it."""
OF_PROJECTS_ALONE = (
    "GetAccount",
    "ListProjects",
    "ListProjects of a caller",
    "ListWebhooks",
    "up to where events are expanded for webhooks",
)
"""What looks at no large table."""
COUNTED = {"the census": "jobs_by_state", "the census of films": "films", "the counters": "jobs"}
"""What does look at all jobs, but in an index alone, or at all films; of the counters, which are checked now and then,
PostgreSQL does the former only once the table is large.
"""
OF_FEW = ("provider_tasks_unsettled", "film_runs_open", "film_runs_by_slot")
"""Indexes that hold only a few rows of their table."""


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def news(db: sa.Connection, cursors: dict[str, int]) -> None:
    assert new_events(db, cursors)


def write_films(db: sa.Connection) -> None:
    """Some thousand films of each project, of one small plan each."""
    document, at = to_document(plan_of()), to_micros(NOW)
    keys = [
        {"project_id": f"film-{project}", "film_id": f"film-{number:05}", "plan_revision": 1, "created_at": at}
        for project in range(PROJECTS)
        for number in range(FILMS)
    ]
    state = {"title": "", "state": FilmState.PLANNED.value, "updated_at": at}
    made = {"plan": document, "changes": {}, "warnings": []}
    rows = [
        {**key, **state, "scene_prefix": f"part-{key['film_id']}", "revision": number % FILMS + 1}
        for number, key in enumerate(keys)
    ]
    # Most of them are over, and none of these is looked at for those that are not.
    for row in rows[::2]:
        row["state"] = FilmState.SUCCEEDED.value
    db.execute(films.insert(), rows)
    db.execute(film_plans.insert(), [{**key, **made, "request_id": key["film_id"]} for key in keys])
    db.execute(film_requests.insert(), [{**key, "request_id": key["film_id"], "digest": "d"} for key in keys])


@asynccontextmanager
async def filled(url: str) -> AsyncIterator[Case]:
    async with open_database(url) as database:
        await database.write(partial(write_history, count=JOBS, projects_in_all=PROJECTS, models=MODELS, labels=LABELS))
        await database.write(write_films)
        await database.write(lambda db: db.execute(film_runs.insert(), [*_runs()]))
        await database.write(lambda db: db.execute(film_exports.insert(), [*_exports()]))
        await database.write(write_entries)
        await database.write(write_hooks)
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            if database.shared:
                db.exec_driver_sql("VACUUM ANALYZE")
        store = store_of(database, clock=lambda: NOW)
        hub = WatchHub(database=database, films=GivenFilms(), wire=Wire(), clock=lambda: NOW, on_events_read=_nothing)
        yield Case(database, store, hub, TaskRecords(database=database, store=store, clock=lambda: NOW))


def hook_id_of(number: int) -> str:
    return f"hook-{number:04}"


def message_id_of(number: int) -> str:
    return job_id_of(number)


def write_hooks(db: sa.Connection) -> None:
    """Some webhooks, of which the first is paused, with messages that are delivered to nearly each."""
    for number in range(HOOKS):
        hook = Webhook(
            webhook_id=hook_id_of(number),
            url="https://studio.example",
            filter=WebhookFilter(projects=tuple(f"film-{project}" for project in range(PROJECTS))),
            description="",
            state=WebhookState.ACTIVE if number else WebhookState.PAUSED,
            generation=1,
            fingerprint="",
            created_at=START,
            updated_at=START,
        )
        db.execute(webhooks.insert(), to_row(hook))
        begin(db, hook.webhook_id, hook.filter.projects)
    told = {"type": "video.succeeded", "job_id": "", "film_id": "", "body": b"{}", "created_at": to_micros(START)}
    keys = [{"message_id": message_id_of(number)} for number in range(MESSAGES)]
    places = [{"project_id": f"film-{number % PROJECTS}", "revision": number + 1} for number in range(MESSAGES)]
    db.execute(webhook_messages.insert(), [{**key, **place, **told} for key, place in zip(keys, places, strict=True)])
    states = {0: DeliveryState.PENDING.value, 1: DeliveryState.GIVEN_UP.value}
    made = {"attempts": 0, "next_at": to_micros(START), "claim": "", "last_answer": b""}
    rows = (
        {**key, "webhook_id": hook_id_of(hook), "state": states.get(number % 100, "DELIVERED"), **made}
        for number, key in enumerate(keys)
        for hook in range(HOOKS)
    )
    db.execute(webhook_deliveries.insert(), list(rows))


def _runs() -> Iterator[dict[str, object]]:
    """Runs of films, of which each hundredth waits for people, and as many to be rendered, which a few are."""
    for number in range(RUNS):
        waits, slot = number % 100 == 0, None
        if number % 100 == 50:
            slot = Slot.HELD if number % 1_000 == 50 else Slot.WANTED
        state = RunState.RUNNING if slot else RunState.AWAITING_APPROVAL if waits else RunState.SUCCEEDED
        run = FilmRun(
            project_id=f"film-{number % PROJECTS}",
            film_id=f"film-{number // 20}",
            run=number // PROJECTS % 10 + 1,
            plan_revision=1,
            terms=Terms(),
            money=Held(approved=0),
            state=state,
            slot=slot,
            slot_at=START if slot else None,
            finish_by=START + timedelta(days=number % 1_000),
            ended_at=None if waits or slot else START,
            created_at=START,
            updated_at=START,
        )
        yield run_row(run)


def _exports() -> Iterator[dict[str, object]]:
    """As many exports as there are runs, each of a film of its own."""
    for number in range(RUNS):
        row: dict[str, object] = dict.fromkeys(
            ("size_bytes", "crc32c", "width", "height", "frames", "seconds", "made_at"), 0
        )
        row |= {"project_id": f"film-{number % PROJECTS}", "film_id": f"film-{number}", "digest": f"digest {number}"}
        row |= {"profile": "wide", "run": 1, "plan_revision": 1, "asset": "exports/a.mp4", "sha256": ""}
        yield row | {"copied": False, "warnings": []}


def write_entries(db: sa.Connection) -> None:
    """As many entries of the audit as there are jobs, of which a few tell of other things than new jobs."""
    rows = []
    for number in range(JOBS):
        action = Action.GENERATE if number % 100 else Action.CANCEL
        origin = Origin(caller=f"token-{number % 7}", call_id=str(number), address="192.0.2.7")
        place = {"project_id": f"film-{number // 2 % PROJECTS}", "subject": f"subject-{number // 10}"}
        rows.append(row_of(at(number), origin.did(action), **place))
    db.execute(audit.insert(), rows)


def _nothing(_entries: list[Entry]) -> None:
    pass


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["sqlite", "postgresql"])
async def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Case]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'jobs.sqlite'}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create()
    async with filled(url) as opened:
        yield opened


@contextmanager
def statements(engine: sa.Engine) -> Iterator[list[str]]:
    """What is sent within, where it speaks of a table that grows, each as the plan that the database makes of it."""
    plans: list[str] = []

    def explain(
        _db: object, cursor: DBAPICursor, statement: str, parameters: object, _context: object, many: bool
    ) -> None:
        verb = statement.split(maxsplit=1)[0]
        if verb not in ("SELECT", "UPDATE", "DELETE", "WITH") or not any(table in statement for table in LARGE):
            return
        one = parameters[0] if many else parameters  # type: ignore[index] # a list of them, by the driver's interface
        if engine.dialect.name == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", one)
            plans.extend(row[3] for row in cursor.fetchall())
        else:
            # Run, so that it tells how many rows it looked at; what is read only, since it is run again after.
            analyze = "ANALYZE, " if verb in ("SELECT", "WITH") and "FOR UPDATE" not in statement else ""
            cursor.execute(f"EXPLAIN ({analyze}FORMAT JSON) {statement}", one)
            (found,) = cursor.fetchone() or ()
            plans.extend(_scans(json.loads(found)[0]["Plan"] if isinstance(found, str) else found[0]["Plan"]))

    sa.event.listen(engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        sa.event.remove(engine, "before_cursor_execute", explain)


def _scans(node: dict) -> Iterator[str]:
    """The parts of a plan that read a large table, as SQLite would tell of them, and how many rows they looked at."""
    reads = "Scan" in node["Node Type"] and node["Node Type"] != "CTE Scan"
    # Of two parts, the lower of which has looked into an index.
    bitmap = node["Node Type"] == "Bitmap Heap Scan"
    if reads and (node.get("Relation Name") in LARGE or "Index Name" in node):
        word = "SEARCH" if bitmap or "Index Cond" in node else "SCAN"
        looked = (node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0)) * node.get("Actual Loops", 1)
        yield f"{word} {node.get('Relation Name', LARGE[0])} {node.get('Index Name', '')} rows={looked:.0f}"
    for below in node.get("Plans", ()):
        yield from _scans(below)


@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_question_that_is_asked_often_reads_no_table_as_a_whole(case: Case, name: str) -> None:
    with statements(case.database.engine) as plans:
        await QUESTIONS[name](case)

    assert plans or name in OF_PROJECTS_ALONE, "no question was asked"
    for plan in plans:
        word, _, rest = plan.partition(" ")
        large = any(rest.split()[:1] == [table] for table in LARGE)
        assert not (large and name in OF_PROJECTS_ALONE), f"{name}: {plan}"
        whole = word == "SCAN" and large and not any(index in plan for index in OF_FEW)
        assert not whole or COUNTED.get(name, "-") in plan, f"{name}: {plan}"
        rows = int(plan.partition("rows=")[2] or 0)
        assert rows <= MOST_ROWS or name in COUNTED, f"{name}: {plan}"
        assert not (name.startswith(PAGED) and "TEMP B-TREE FOR ORDER BY" in plan), f"{name}: {plan}"
