"""A studio whose jobs make real pictures, speech and clips, and which renders its films in processes of their own."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av

from evergreen_server.film.assembling.assembler import Assembler
from evergreen_server.film.assembling.beginnings import Beginnings
from evergreen_server.film.assembling.store import Export, ExportStore
from evergreen_server.film.runs.run import FilmRun
from evergreen_server.jobs.model.job import Job
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.render.limits import RenderLimits
from evergreen_server.media.render.renderer import Renderer
from evergreen_server.media.render.version import renderer_version
from evergreen_server.media.tools import Media
from evergreen_server.ports.metrics import NullMetrics
from evergreen_server.ports.rendering import FilmRenderer, Rendered, RenderOrder, RenderProgress
from evergreen_server.ports.specs import MediaKind
from evergreen_server.providers.runway.rendering.clips import make_clip
from evergreen_server.providers.runway.rendering.job import Job as Work
from evergreen_server.providers.runway.rendering.pictures import make_picture
from evergreen_server.providers.runway.rendering.sounds import make_speech
from evergreen_server.scenes.writers import CountedWriters
from evergreen_storage import Asset, SceneStore
from tests.film.planning import FILM, Film, film, scenes_of
from tests.film.runs.studio import PROJECT, Studio, studio

SMALL = {"name": "small", "width": 160, "height": 90}
TALL = {"name": "thin", "width": 90, "height": 160, "fps": 25}

Render = Callable[[RenderOrder, Callable[[RenderProgress], None]], Awaitable[Rendered]]


def short(
    count: int = 1, *, changed: dict[int, str] | None = None, before: Film | None = None, **given: object
) -> Film:
    """A film of so many scenes, in a small size."""
    given.setdefault("profiles", [SMALL])
    return film(scenes_of(count, changed=changed), before.plan if before else None, **given)


@dataclass
class Screen:
    """Renders films, counts them, and may be told to do otherwise."""

    renderer: FilmRenderer
    made: list[Rendered] = field(default_factory=list)
    instead: Callable[[Render, RenderOrder, Callable[[RenderProgress], None]], Awaitable[Rendered]] | None = None

    async def render(self, order: RenderOrder, on_progress: Callable[[RenderProgress], None]) -> Rendered:
        render = self.renderer.render
        made = await (self.instead(render, order, on_progress) if self.instead else render(order, on_progress))
        self.made.append(made)
        return made


@dataclass
class Cinema:
    """A studio, and the screen on which its films are rendered."""

    studio: Studio
    screen: Screen
    exports: ExportStore
    writers: CountedWriters
    folder: Path
    work: Path

    async def make(self, one: Film, **terms: object) -> FilmRun:
        """Runs a film from its start to where its leg ends."""
        terms.setdefault("quote", 1_000_000)
        await self.studio.start(one, **terms)
        await self.studio.rest()
        return await self.studio.now()

    async def to_the_end(self) -> FilmRun:
        """Begins the newest leg anew, as after a crash, and goes on until it is over."""
        await self.studio.claim()
        await self.studio.rest()
        return await self.studio.now()

    async def to_the_cut(self, one: Film, **terms: object) -> None:
        """Runs a film until all of its outputs are there; the next step renders it."""
        terms.setdefault("quote", 1_000_000)
        await self.studio.start(one, **terms)
        made = 0
        while made < 2:
            # Pictures and speech, then clips.
            await self.studio.step()
            for job in await self.studio.jobs():
                if not job.final:
                    await self.studio.end(job, made=True)
            made += 1

    def files(self) -> dict[str, bytes]:
        """The content of all exports by their names."""
        lies = self.folder / "data" / "projects" / PROJECT / FILM / "exports"
        return {path.name: path.read_bytes() for path in sorted(lies.iterdir())} if lies.is_dir() else {}

    def path(self, suffix: str) -> Path:
        [name] = [name for name in self.files() if name.endswith(suffix)]
        return self.folder / "data" / "projects" / PROJECT / FILM / "exports" / name

    async def rows(self) -> list[Export]:
        run = await self.studio.now()
        found = await self.exports.find(PROJECT, FILM, run.exports)
        return [found[digest] for digest in run.exports]

    async def named(self) -> tuple[Asset, ...]:
        return (await self.studio.scenes.get(PROJECT, FILM)).exports

    def with_scenes(self, scenes: SceneStore) -> None:
        """Has another store of scenes take the exports."""
        self.studio.context = replace(self.studio.context, assembler=self.assembler(scenes))

    def assembler(self, scenes: SceneStore, **given: object) -> Assembler:
        values = {
            "scenes": scenes,
            "writers": self.writers,
            "exports": self.exports,
            "tools": self.tools,
            "renderer": self.screen,
            "version": renderer_version(),
            "threads": self.studio.context.threads,
            "work": self.work,
            "cache": self.folder / "cache",
            "metrics": NullMetrics(),
        }
        return Assembler(**{**values, **given})

    tools: Media | None = None
    fate: Any = None
    """What a test does to the writes of its run."""


@asynccontextmanager
async def cinema(path: Path, url: str) -> AsyncIterator[Cinema]:
    """Opens a studio that renders."""
    work, cache = path / "work", path / "cache"
    for folder in (work, cache):
        folder.mkdir(exist_ok=True)
    async with (
        studio(path, url) as stand,
        Media(private_hosts=(), limits=MediaLimits(), temp_dir=path) as tools,
    ):
        exports = ExportStore(database=stand.database, clock=stand.clock)
        screen = Screen(Renderer(RenderLimits()))
        writers = CountedWriters(database=stand.database)
        made = Cinema(
            studio=stand, screen=screen, exports=exports, writers=writers, folder=path, work=work, tools=tools
        )
        stand.content = filmed
        beginnings = Beginnings(
            scenes=stand.scenes, writers=writers, tools=tools, threads=stand.context.threads, work=work
        )
        stand.context = replace(stand.context, beginnings=beginnings)
        made.with_scenes(stand.scenes)
        yield made


async def filmed(job: Job) -> tuple[bytes, float]:
    """Returns what the sandbox makes for a job, in a small size."""
    return await asyncio.to_thread(_filmed, job)


def _filmed(job: Job) -> tuple[bytes, float]:
    spec = job.request.spec
    seed = int.from_bytes(hashlib.sha256((job.request.digest or "").encode()).digest()[:4])
    with TemporaryDirectory() as folder:
        target = Path(folder) / "made"
        size = {"width": 160, "height": 90}
        match spec.kind:
            case MediaKind.IMAGE:
                make_picture(Work(work="picture", target=str(target), form="png", seed=seed, **size))
                return target.read_bytes(), 0.0
            case MediaKind.SPEECH:
                make_speech(Work(work="speech", target=str(target), form="mp3", text=spec.prompt_text))
            case _:
                seconds = float(spec.duration_seconds or 0)
                make_clip(Work(work="clip", target=str(target), form="mp4", seed=seed, seconds=seconds, **size))
        with av.open(str(target)) as container:
            return target.read_bytes(), float(container.duration or 0) / av.time_base
