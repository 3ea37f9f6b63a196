"""A run with everything around it real but for the jobs, which the tests end by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from evergreen_server.film.assembling.beginnings import Beginnings
from evergreen_server.film.codec import to_document
from evergreen_server.film.errors import FilmNotFound
from evergreen_server.film.model import FilmRequest, Plan
from evergreen_server.film.plans.store import FilmStore
from evergreen_server.film.runs.context import FilmContext
from evergreen_server.film.runs.leg import Leg
from evergreen_server.film.runs.run import FilmRun, Terms
from evergreen_server.film.runs.store import RunStore
from evergreen_server.film.runs.survey import Surveyor
from evergreen_server.film.screenplay.speech import speech_seconds
from evergreen_server.jobs.assets import AssetCheck
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database, insert_new
from evergreen_server.jobs.db.film_schema import films
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.intake import Intake
from evergreen_server.jobs.model.held import Held
from evergreen_server.jobs.model.job import Job, JobFailure, Output
from evergreen_server.jobs.model.states import CostBasis, State
from evergreen_server.jobs.store.ledger import UNCAPPED, Caps, Totals
from evergreen_server.jobs.wakeups import Wakeups
from evergreen_server.ports.media import MediaRefused, Picture
from evergreen_server.ports.specs import Kind, MediaKind
from evergreen_server.runtime.ids import JobIds
from evergreen_server.runtime.shield import ProtectedTasks
from evergreen_server.runtime.threads import OwnThreads
from evergreen_server.scenes.writers import CountedWriters
from evergreen_storage import SceneStore, open_storage
from tests.film.planning import FILM, TABLE, Film, files, quoted
from tests.film.stores import film_events, film_store_of
from tests.jobs.tools import store_of

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PROJECT = "films"
NAMES = {
    MediaKind.IMAGE: ("images/{}-1-1.png", "image/png"),
    MediaKind.VIDEO: ("videos/{}-1-1.mp4", "video/mp4"),
    MediaKind.SPEECH: ("audio/{}-1-1.mp3", "audio/mpeg"),
}
FAILURE = JobFailure(reason="GENERATION_FAILED", message="the provider could not make it")


class Sources:
    """Takes every URL, and every file."""

    def uri_error(self, _uri: str) -> str | None:
        return None

    def misfit(self, _head: bytes, _kind: Kind) -> str:
        return ""


@dataclass
class Clock:
    """A clock that stands still."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at


class Ends:
    """Takes the last frame out of a clip that is none, unless its content is one that has none."""

    frameless: bytes = b""

    async def last_frame(self, path: Path, *, owner: str) -> Picture:
        data = await asyncio.to_thread(path.read_bytes)
        if data == self.frameless:
            raise MediaRefused("no frame of the video can be decoded", reason="MEDIA_REFUSED")
        return Picture(data=b"the end of " + data, content_type="image/png", width=16, height=9)


async def words(job: Job) -> tuple[bytes, float]:
    """A file that is none of its kind, and how long it would be."""
    spec = job.request.spec
    spoken = 0.9 * speech_seconds(spec.prompt_text) if spec.kind is MediaKind.SPEECH else 0.0
    return f"{spec.kind} of {job.request.digest}".encode(), spec.duration_seconds or spoken


@dataclass
class Studio:
    """The run of a film, step by step."""

    context: FilmContext
    database: Database
    films: FilmStore
    scenes: SceneStore
    clock: Clock
    ends: Ends
    legs: list[tuple[str, str, int, int]] = field(default_factory=list)
    leg: Leg | None = None
    content: Callable[[Job], Awaitable[tuple[bytes, float]]] = field(default_factory=lambda: words)
    """Returns the file that a job makes, and its seconds."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by every change of a job or a run."""

    async def plan(self, film: Film) -> int:
        """Records the next plan of the film; returns its revision."""
        try:
            before = await self.films.get(PROJECT, FILM)
        except FilmNotFound:
            before = None
        stored = await self.films.record(PROJECT, film.planned, to_document(film.plan), before=before)
        await self.cast(film.plan)
        return stored.plan_revision

    async def start(
        self,
        film: Film,
        *,
        quote: int | None = None,
        spare: int = 0,
        finish_by: datetime | None = None,
        **terms: object,
    ) -> FilmRun:
        """Begins a run of the plan, after what an earlier run has made of it."""
        revision = await self.plan(film)
        whole = (quoted(film).millicredits or 0) if quote is None else quote
        run = FilmRun(
            project_id=PROJECT,
            film_id=FILM,
            run=0,
            plan_revision=revision,
            terms=Terms(**terms),
            money=Held(approved=whole + spare),
            finish_by=finish_by,
            created_at=self.clock.at,
            updated_at=self.clock.at,
        )
        request = FilmRequest(request_id=f"leg {len(self.legs)} of plan {revision}", digest="")
        await self.context.runs.start(run, quote=whole, request=request)
        return await self.claim()

    async def cast(self, plan: Plan) -> None:
        """Puts the files into the scene of the film that its plan names."""
        for scene_id, asset in files(plan):
            if asset:
                await self.scenes.add(PROJECT, scene_id, asset, f"bytes of {asset}".encode(), "image/png")

    async def claim(self) -> FilmRun:
        """Begins the newest leg, as an engine does, also after a crash."""
        run = await self.now()
        claimed = await self.context.runs.claim(PROJECT, FILM, run.run, leg=run.leg, token=uuid4().hex)
        assert claimed is not None
        # Rendered at once, without a queue.
        self.leg = Leg(self.context, claimed, renders=self.context.assembler is not None)
        return claimed

    async def now(self) -> FilmRun:
        run = await self.context.runs.last(PROJECT, FILM)
        assert run is not None
        return run

    async def step(self) -> bool:
        assert self.leg is not None
        return await self.leg.step()

    async def rest(self, make: Callable[[Job], bool] = lambda _job: True) -> list[Job]:
        """Goes on until the leg is over, and returns all jobs so far; `make` says whether one makes its output."""
        while await self.step():
            for job in await self.jobs():
                if not job.final:
                    await self.end(job, made=make(job))
        return await self.jobs()

    async def jobs(self) -> list[Job]:
        """Every job of the film, in the order in which they were accepted."""
        snapshot = await self.context.runs.snapshot(await self.now())
        return sorted(snapshot.jobs.values(), key=lambda job: job.job_id)

    async def end(self, job: Job, *, made: bool, paid: bool = True) -> Job:
        """Has a job make its file, which the same request makes alike, or fail."""
        if job.state is State.QUEUED:
            await self.context.jobs.command(job.job_id, lambda old: replace(old, state=State.RUNNING))
        if not made:
            charged = (job.estimated_millicredits or 0) * paid
            over = lambda old: old.charged(charged, CostBasis.CONFIRMED).failed(FAILURE)  # noqa: E731
            return await self.context.jobs.command(job.job_id, over)
        spec, request = job.request.spec, job.request
        name, content_type = NAMES[spec.kind]
        data, seconds = await self.content(job)
        asset = await self.scenes.add(PROJECT, request.scene_id, name.format(job.job_id), data, content_type)
        output = Output(
            path=asset.path,
            content_type=content_type,
            size_bytes=asset.size_bytes,
            crc32c=asset.crc32c or 0,
            width=1,
            height=1,
            duration_seconds=seconds,
        )

        def over(old: Job) -> Job:
            paid_for = old.charged(old.estimated_millicredits or 0, CostBasis.CONFIRMED)
            return replace(paid_for.ended(State.SUCCEEDED), outputs=(output,))

        return await self.context.jobs.command(job.job_id, over)

    async def project(self) -> Totals:
        return await self.context.jobs.totals(PROJECT)

    async def later(self, **times: float) -> None:
        self.clock.at += timedelta(**times)


def write_film(db: sa.Connection, project_id: str, film_id: str, plan_revision: int, at: datetime) -> None:
    """Writes the row of a film whose newest plan is this one."""
    now = to_micros(at)
    row = {
        "project_id": project_id,
        "film_id": film_id,
        "title": "",
        "scene_prefix": "scene",
        "state": "PLANNED",
        "created_at": now,
        "plan_revision": plan_revision,
        "updated_at": now,
    }
    if not insert_new(db, films, row):
        db.execute(films.update().values(plan_revision=plan_revision))


@asynccontextmanager
async def studio(path: Path, url: str, *, caps: Caps = UNCAPPED) -> AsyncIterator[Studio]:
    """Opens a database, a storage and the threads of a run."""
    clock = Clock()
    async with (
        open_database(url) as database,
        open_storage((path / "data").as_uri(), clock=clock) as storage,
        OwnThreads(4, name="looks") as threads,
    ):
        scenes = SceneStore(storage, clock=clock)
        news = asyncio.Event()
        jobs = store_of(database, clock=clock, changed=lambda _changes: news.set(), caps=caps)
        ids = JobIds(clock)
        films_of = film_store_of(database, clock)
        legs: list[tuple[str, str, int, int]] = []

        def enqueue(_db: sa.Connection, project_id: str, film_id: str, run: int, leg: int) -> str:
            legs.append((project_id, film_id, run, leg))
            return "films"

        ends, work = Ends(), path / "beginnings"
        work.mkdir()
        context = FilmContext(
            runs=RunStore(
                database=database,
                jobs=jobs,
                clock=clock,
                enqueue=enqueue,
                events=film_events(),
                replica_id="local",
            ),
            plans=films_of,
            jobs=jobs,
            intake=Intake(
                store=jobs,
                models=TABLE,
                media=Sources(),
                assets=AssetCheck(scenes=scenes, heads=Sources(), shield=ProtectedTasks(grace_seconds=0)),
                clock=clock,
                new_id=ids.new,
            ),
            surveyor=Surveyor(scenes=scenes, threads=threads),
            beginnings=Beginnings(
                scenes=scenes, writers=CountedWriters(database=database), tools=ends, threads=threads, work=work
            ),
            table=TABLE,
            wakeups=Wakeups(),
            threads=threads,
            clock=clock,
            new_id=ids.new,
        )
        yield Studio(
            context=context,
            database=database,
            films=films_of,
            scenes=scenes,
            clock=clock,
            ends=ends,
            legs=legs,
            news=news,
        )
