"""How long GetStatus takes while a film is rendered beside the service, and while none is.

Calls come one after the other, a few milliseconds apart, in turns of both kinds; the renderer may use every core.
"""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from statistics import median, quantiles

from evergreen.v1 import video_pb2
from evergreen_server.media.render.limits import RenderLimits
from evergreen_server.media.render.renderer import Renderer
from evergreen_server.ports.rendering import RenderOrder, RenderProgress
from evergreen_server.ports.timeline import Profile, Source, Span, Timeline
from tests.benchmarks import footage
from tests.benchmarks.machine import ratio, table
from tests.serving import Api, ServerProcess, open_sandbox

PAUSE_SECONDS = 0.005
AIM = 2.0
LONG = 24 * 600
"""As many frames as are never all made."""


@asynccontextmanager
async def rendering(folder: Path) -> AsyncIterator[None]:
    """Renders films of segments that are never whole, as long as the context lasts."""
    clips = [await asyncio.to_thread(footage.clip, folder / str(n), footage.DIFFERING[n], 2.0, n) for n in (1, 5)]
    order = RenderOrder(
        timeline=Timeline(
            spans=tuple(
                Span(source=Source(scene_id="scene-1", asset=path.name, sha256=path.name), frames=LONG)
                for path in clips
            )
        ),
        profile=Profile(name="wide", width=1280, height=720),
        files={path.name: path for path in clips},
        out=folder / "film.mp4",
        cache=folder,
        scratch=folder,
    )
    begun = asyncio.Event()

    def note(progress: RenderProgress) -> None:
        if progress.done:
            begun.set()

    task = asyncio.create_task(Renderer(RenderLimits()).render(order, note))
    try:
        async with asyncio.timeout(120):
            await begun.wait()
        yield
        assert not task.done(), "the film was done before the calls"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def called(api: Api, asked: video_pb2.GetStatusRequest, seconds: float) -> list[float]:
    """Returns how long each call took, in milliseconds."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        await api.video.GetStatus(asked)
        took.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(PAUSE_SECONDS)
    return took


async def compare(rounds: int, seconds: float) -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sandbox = await stack.enter_async_context(open_sandbox())
        server = await stack.enter_async_context(ServerProcess(folder / "data", sandbox.url))
        api = await server.start()
        job = await api.generate(labels={"team": "benchmarks"})
        await api.finished(job.job_id)
        asked = video_pb2.GetStatusRequest(job_id=job.job_id)
        await called(api, asked, seconds / 4)
        idle: list[list[float]] = []
        busy: list[list[float]] = []
        for _ in range(rounds):
            idle.append(await called(api, asked, seconds))
            (films := folder / f"films{len(idle)}").mkdir()
            async with rendering(films):
                busy.append(await called(api, asked, seconds))
        await server.end(signal.SIGTERM)
    show(idle, busy)


def show(idle: list[list[float]], busy: list[list[float]]) -> None:
    rows = []
    for name, part in (("p50", 50), ("p99", 99)):
        each = [(_part(one, part), _part(other, part)) for one, other in zip(idle, busy, strict=True)]
        rows.append([name, *(f"{median(side):.2f}" for side in zip(*each, strict=True)), f"{ratio(each):.2f}"])
    table(
        f"GetStatus beside a render, {sum(map(len, idle))} and {sum(map(len, busy))} calls",
        ("", "idle, ms", "while a film is rendered, ms", "ratio"),
        rows,
        f"aim: p99 at most {AIM:g}x of idle: {'met' if float(rows[1][3]) <= AIM else 'MISSED'}",
    )


def _part(took: list[float], part: int) -> float:
    return quantiles(took, n=100)[part - 1]


def run(*, quick: bool) -> None:
    asyncio.run(compare(*((2, 4.0) if quick else (5, 10.0))))
