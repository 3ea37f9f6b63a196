"""What a job costs the event loop in a scene that holds many clips, beside the plain way to change its scene.json.

One process, a local disk. A job names itself in the scene (`record_request`), stores its clip, and publishes it. The
plain way is what those two changes cost with Python's json alone, on the loop: read, decode, encode, written as people
like to read it. The aim is 10 ms of the loop for a job in a scene of 5,000 clips.
"""

import asyncio
import json
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

import uvloop

from evergreen_storage import Asset, SceneStore, open_storage
from tests.benchmarks.machine import table

AIM_MILLISECONDS = 10.0
JOBS = 20


class Took(NamedTuple):
    """Milliseconds of one job."""

    loop: float
    """The loop's thread was computing."""
    late: float
    """The longest that the loop did not look at what others asked of it, by any thread's fault."""
    plain: float
    """The plain way."""


def _now() -> datetime:
    return datetime.now(UTC)


def _assets(count: int) -> list[Asset]:
    base = Asset(path="", content_type="video/mp4", size_bytes=4, crc32c=1, created_at=_now(), width=1280, height=720)
    clips = [
        replace(base, path=f"videos/old-{number}-1-1.mp4", duration_seconds=5, job_id=f"old-{number}")
        for number in range(count)
    ]
    return clips + [replace(clip, path=clip.path[:-3] + "jpg", content_type="image/jpeg") for clip in clips]


async def _lateness(worst: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(0.001)
        worst.append(time.perf_counter() - begun - 0.001)


async def _job(scenes: SceneStore, job_id: str) -> None:
    await scenes.record_request("p", "s", job_id)
    clip = await scenes.add("p", "s", f"videos/{job_id}-1-1.mp4", b"clip", "video/mp4")
    poster = await scenes.add("p", "s", f"videos/{job_id}-1-1.jpg", b"poster", "image/jpeg")
    await scenes.publish("p", "s", job_id=job_id, assets=[clip, poster], sidecar={"prompt": "a fox"})


def _plainly(index: Path) -> float:
    begun = time.thread_time()
    for _ in range(2):
        document = json.loads(index.read_bytes())
        json.dumps(document, indent=2, ensure_ascii=False).encode()
    return time.thread_time() - begun


async def _measure(clips: int, jobs: int) -> tuple[Took, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with open_storage(Path(folder).as_uri()) as storage:
            scenes = SceneStore(storage, clock=_now)
            await scenes.create("p", "s")
            await scenes.record_request("p", "s", "before", assets=_assets(clips))
            cold = SceneStore(storage, clock=_now)
            begun = time.thread_time()
            await cold.get("p", "s")
            first = (time.thread_time() - begun) * 1e3
            took = []
            for number in range(jobs):
                worst: list[float] = []
                watch = asyncio.create_task(_lateness(worst))
                begun = time.thread_time()
                await _job(cold, f"new-{number}")
                loop = time.thread_time() - begun
                watch.cancel()
                plain = _plainly(Path(folder) / "projects/p/s/metadata/scene.json")
                took.append(Took(*(seconds * 1e3 for seconds in (loop, max(worst), plain))))
            scene = await cold.get("p", "s")
            assert (len(scene.videos), len(scene.completed_videos)) == (2 * (clips + jobs), jobs)
    return Took(*(median(times) for times in zip(*took, strict=True))), first


def run(*, quick: bool = False) -> None:
    """Measures and prints."""
    rows = []
    for clips in (100, 1000, 5000):
        took, first = uvloop.run(_measure(clips, 5 if quick else JOBS))
        cells = (took.loop, took.late, first, took.plain)
        rows.append([f"{clips:,}", *(f"{cell:.1f}" for cell in cells), f"{took.loop / took.plain:.3f}"])
    header = ["clips", "loop, ms/job", "loop late, ms", "first read, ms of the loop", "plain way, ms", "loop to plain"]
    table("scene: a job in a scene of many clips", header, rows, f"aim: {AIM_MILLISECONDS:g} ms of the loop a job")
