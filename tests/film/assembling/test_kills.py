"""A run that is killed while it makes its exports: begun again it makes the same files, and none of them twice."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from evergreen_server.film.assembling.store import ExportStore
from evergreen_server.film.runs.run import RunState
from evergreen_server.ports.rendering import Rendered, RenderOrder, RenderProgress
from evergreen_storage import Meta, SceneStore, open_storage
from evergreen_storage.storage import Sealed
from tests.film.assembling.cinema import SMALL, TALL, Cinema, Render, cinema, short
from tests.film.planning import FILM
from tests.film.runs.studio import PROJECT, words

POINTS = (
    "rendered",
    "created",
    "sealed",
    "named",
    "recorded",
    "vtt",
    "srt",
    "otio",
    "json",
    "attached",
    "published",
)
"""What has just happened when the run dies; the first time that it does."""


class Died(Exception):
    """The process was killed."""


@dataclass
class Fate:
    """Lets a run die once, at one moment."""

    after: str = ""
    dice: random.Random | None = None
    """Decides at each moment, if it is given."""
    seen: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    """Of the films that were to be stored."""

    def meet(self, event: str) -> None:
        self.seen.append(event)
        if event == self.after or (self.dice and self.dice.random() < 0.3):
            self.after = ""
            raise Died(event)


class MortalStorage:
    """A storage whose caller may die right after a write."""

    def __init__(self, storage: Any, fate: Fate) -> None:
        self._storage, self._fate = storage, fate

    def __getattr__(self, name: str) -> object:
        return getattr(self._storage, name)

    async def put(self, key: str, data: bytes, **how: Any) -> Meta:
        made = await self._storage.put(key, data, **how)
        name = key.rpartition("/")[2]
        if name == "scene.json":
            self._fate.meet("attached" if "named" in self._fate.seen else "created")
        else:
            self._fate.meet(name.rpartition(".")[2])
        return made

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes], *, sealed: Sealed, **how: Any) -> Meta:
        self._fate.names.add(key.rpartition("/")[2])

        async def dying(size: int, crc32c: int) -> None:
            await sealed(size, crc32c)
            self._fate.meet("sealed")

        made = await self._storage.put_stream(key, chunks, sealed=dying, **how)
        self._fate.meet("named")
        return made


class MortalExports(ExportStore):
    """Rows whose writer may die right after a write."""

    fate: Fate

    async def record(self, *given: Any) -> None:
        await super().record(*given)
        if "named" in self.fate.seen:
            self.fate.meet("recorded")

    async def publish(self, *given: Any) -> None:
        await super().publish(*given)
        self.fate.meet("published")


@asynccontextmanager
async def mortal_cinema(database_url: str, folder: Path) -> AsyncIterator[Cinema]:
    """Opens a studio whose films are a few words each, which tell what they were made from, and whose runs may die."""
    async with cinema(folder, database_url) as opened, open_storage((folder / "data").as_uri()) as storage:
        opened.studio.content = words
        opened.fate = Fate()
        opened.exports = MortalExports(database=opened.studio.database, clock=opened.studio.clock)
        opened.exports.fate = opened.fate
        opened.screen.instead = written(opened.fate)
        opened.with_scenes(SceneStore(MortalStorage(storage, opened.fate), clock=opened.studio.clock))
        yield opened


@pytest.fixture
async def hall(database_url: str, tmp_path: Path) -> AsyncIterator[Cinema]:
    async with mortal_cinema(database_url, tmp_path) as opened:
        yield opened


def written(fate: Fate, words: str = "a film of") -> Callable[..., Any]:
    async def render(_render: Render, order: RenderOrder, _tell: Callable[[RenderProgress], None]) -> Rendered:
        data = f"{words} {sorted(order.files)} for {order.profile.name}".encode()
        await asyncio.to_thread(order.out.write_bytes, data)
        fate.meet("rendered")
        return Rendered(
            frames=order.timeline.frames,
            seconds=order.timeline.frames / order.profile.fps,
            lufs=-16.0,
            peak_dbtp=-1.5,
            size_bytes=len(data),
            sha256=sha256(data).hexdigest(),
            copied=False,
            segments_made=1,
            segments_reused=0,
        )

    return render


@pytest.mark.parametrize("point", POINTS)
async def test_a_run_that_dies_makes_each_file_once_when_it_is_begun_again(hall: Cinema, point: str) -> None:
    await hall.to_the_cut(short(profiles=[SMALL, TALL]))
    jobs = await hall.studio.jobs()
    hall.fate.after = point

    with pytest.raises(Died):
        await hall.studio.rest()
    left = hall.files()
    run = await hall.to_the_end()

    assert (run.state, run.published) == (RunState.SUCCEEDED, True)
    rows, made = await hall.rows(), hall.files()
    assert left.items() <= made.items()
    stems = [row.asset.removeprefix("exports/").removesuffix(".mp4") for row in rows]
    assert set(made) == {f"{stem}.{suffix}" for stem in stems for suffix in ("mp4", "vtt", "srt", "otio", "json")}
    for row, stem in zip(rows, stems, strict=True):
        assert row.published
        assert row.sha256 == sha256(made[f"{stem}.mp4"]).hexdigest()
        assert json.loads(made[f"{stem}.json"])["export"]["sha256"] == row.sha256
    assert {asset.path for asset in await hall.named()} == {f"exports/{name}" for name in made}
    # What had its name already is not rendered once more.
    assert hall.fate.seen.count("rendered") == 2 + (point in ("rendered", "created", "sealed"))
    assert await hall.studio.jobs() == jobs
    assert list(hall.work.iterdir()) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_run_that_dies_again_and_again_makes_each_file_once(hall: Cinema, seed: int) -> None:
    await hall.to_the_cut(short(profiles=[SMALL, TALL]))
    deaths, hall.fate.dice = 0, random.Random(seed)
    while True:
        await hall.studio.claim()
        try:
            await hall.studio.rest()
            break
        except Died:
            deaths += 1

    rows, made = await hall.rows(), hall.files()
    assert deaths > 3
    assert len(made) == 10
    assert [sha256(made[row.asset.removeprefix("exports/")]).hexdigest() for row in rows] == [
        row.sha256 for row in rows
    ]
    assert {asset.path for asset in await hall.named()} == {f"exports/{name}" for name in made}


async def test_another_file_of_the_name_is_left_alone(hall: Cinema) -> None:
    """The row says what was to be there, and a file of another content is not that."""
    await hall.to_the_cut(short())
    hall.fate.after = "sealed"
    with pytest.raises(Died):
        await hall.studio.step()
    [partly] = hall.fate.names
    await hall.studio.scenes.add(PROJECT, FILM, f"exports/{partly}", b"somebody's", "video/mp4")

    run = await hall.to_the_end()

    [row] = await hall.rows()
    assert row.asset == f"exports/{partly.removesuffix('.mp4')}a.mp4"
    assert hall.files()[partly] == b"somebody's"
    assert [warning.code for warning in run.warnings] == ["NAME_TAKEN"]
    assert {asset.path for asset in await hall.named()} >= {row.asset}


async def test_what_lies_beside_an_export_leaves_other_files_alone(hall: Cinema) -> None:
    await hall.to_the_cut(short())
    hall.fate.after = "recorded"
    with pytest.raises(Died):
        await hall.studio.step()
    [stem] = [name.removesuffix(".mp4") for name in hall.files()]
    await hall.studio.scenes.add(PROJECT, FILM, f"exports/{stem}.vtt", b"somebody's", "text/vtt")

    run = await hall.to_the_end()

    assert run.state is RunState.SUCCEEDED
    made = hall.files()
    assert made[f"{stem}.vtt"] == b"somebody's"
    assert made[f"{stem}a.vtt"].startswith(b"WEBVTT")


async def test_a_later_render_of_other_bytes_takes_the_place_in_the_row(hall: Cinema) -> None:
    """A renderer of another machine may write other bytes of the same film."""
    await hall.to_the_cut(short())
    hall.fate.after = "sealed"
    with pytest.raises(Died):
        await hall.studio.step()
    hall.screen.instead = written(hall.fate, "elsewhere, a film of")

    await hall.to_the_end()

    [row] = await hall.rows()
    [data] = [data for name, data in hall.files().items() if name.endswith(".mp4")]
    assert data.startswith(b"elsewhere")
    assert (row.sha256, row.published) == (sha256(data).hexdigest(), True)


async def test_an_export_that_vanishes_before_it_is_published_is_rendered_again(hall: Cinema) -> None:
    await hall.to_the_cut(short())
    await hall.studio.step()
    [name] = hall.files()
    await hall.studio.scenes.discard(PROJECT, FILM, f"exports/{name}")

    await hall.studio.rest()

    run = await hall.studio.now()
    assert (run.state, run.published) == (RunState.SUCCEEDED, True)
    assert name in hall.files()
    assert hall.fate.seen.count("rendered") == 2
