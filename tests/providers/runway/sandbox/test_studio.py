"""The workers: bounded in memory and in time, and ready for the next job after any other."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from evergreen_server.providers.runway.sandbox.generation.studio import RenderFailed, Studio
from evergreen_server.providers.runway.sandbox.state.tasks import Source, TaskRecord
from tests.providers.runway.sandbox.made import clip

PICTURE = TaskRecord(
    id="1", operation="text_to_image", model="gen4_image", prompt_text="a fox", body_digest="", created_at=0.0,
    estimate=0, cost=0, pending_seconds=1.0, running_seconds=1.0, width=64, height=64, clip_seconds=0.0, form="png",
    making={"work": "picture"},
)  # fmt: skip
SPEECH = replace(PICTURE, form="wav", prompt_text="word " * 2000, clip_seconds=600.0, making={"work": "speech"})

ENDLESS = replace(SPEECH, making={"work": "effect"}, clip_seconds=10.0**9, form="flac")


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@asynccontextmanager
async def studio(
    folder: Path, *, workers: int = 1, job_seconds: float = 60.0, kept_bytes: int = 10**9
) -> AsyncIterator[Studio]:
    (folder / "made").mkdir(exist_ok=True)
    opened = Studio(
        outputs=folder / "made", assets=folder, workers=workers, job_seconds=job_seconds, kept_bytes=kept_bytes
    )
    try:
        yield opened
    finally:
        opened.close()


async def test_a_job_that_wants_all_memory_fails_and_the_next_is_done(tmp_path: Path) -> None:
    async with studio(tmp_path) as workshop:
        with pytest.raises(RenderFailed, match="MemoryError"):
            await workshop.output(replace(PICTURE, width=60_000, height=60_000), "0.png", scale=1.0)
        made = await workshop.output(PICTURE, "0.png", scale=1.0)

    assert made.stat().st_size > 100
    assert names(tmp_path / "made") == [made.name]


async def test_a_job_that_takes_too_long_is_ended_and_the_next_is_done(tmp_path: Path) -> None:
    async with studio(tmp_path, job_seconds=3) as workshop:
        with pytest.raises(RenderFailed, match="died"):
            await workshop.output(ENDLESS, "0.flac", scale=1.0)
        made = await workshop.output(PICTURE, "0.png", scale=1.0)

    assert names(tmp_path / "made") == [made.name]


async def test_a_worker_that_starts_as_the_studio_closes_is_ended_with_it(tmp_path: Path) -> None:
    for moment in range(12):
        async with studio(tmp_path, job_seconds=20) as workshop:
            making = asyncio.create_task(workshop.output(ENDLESS, "0.flac", scale=1.0))
            await asyncio.sleep(0)
            # A little further into the start each time; nothing tells of it.
            time.sleep(moment / 2000)  # noqa: ASYNC251
            closed = time.monotonic()
        took = time.monotonic() - closed
        with pytest.raises(RenderFailed):
            await making

        assert took < 15, "no job is waited for"


async def test_a_broken_source_fails_its_own_job_alone(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"junk" * 100)
    broken = replace(PICTURE, form="mp4", making={"work": "finish"}, source=Source(digest="junk", kind="video"))
    async with studio(tmp_path) as workshop:
        for _ in range(2):
            with pytest.raises(RenderFailed, match="InvalidDataError"):
                await workshop.output(broken, "0.mp4", scale=1.0)
        await workshop.output(PICTURE, "0.png", scale=1.0)


async def test_media_are_measured_while_every_maker_is_busy(tmp_path: Path) -> None:
    (tmp_path / "clip").write_bytes(clip(2))
    async with studio(tmp_path, workers=2) as workshop:
        makers = [
            asyncio.create_task(workshop.output(replace(SPEECH, prompt_text=text * 5000), "0.wav", scale=1.0))
            for text in ("one ", "two ", "three ", "four ")
        ]
        found = await workshop.probe(tmp_path / "clip")
        still_busy = [maker for maker in makers if not maker.done()]
        for maker in makers:
            maker.cancel()
        await asyncio.wait(makers)

    assert found["seconds"] == pytest.approx(2, abs=0.1)
    assert still_busy


async def test_of_too_much_the_outputs_that_were_fetched_last_are_kept(tmp_path: Path) -> None:
    fox, hen, owl = (replace(PICTURE, form="wav", prompt_text=name, making={"work": "speech"}) for name in "fho")
    async with studio(tmp_path, kept_bytes=0) as workshop:
        size = (await workshop.output(fox, "0.wav", scale=1.0)).stat().st_size

    async with studio(tmp_path, kept_bytes=2 * size) as workshop:
        first = await workshop.output(hen, "0.wav", scale=1.0)
        await workshop.output(fox, "0.wav", scale=1.0)
        last = await workshop.output(owl, "0.wav", scale=1.0)
        kept = names(tmp_path / "made")
        again = await workshop.output(hen, "0.wav", scale=1.0)

    assert (len(kept), first.name in kept, last.name in kept) == (2, False, True)
    assert again.exists()
