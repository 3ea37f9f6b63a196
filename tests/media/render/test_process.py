"""The process of a renderer: it ends with whom it works for, and what it leaves unfinished is nobody's film."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from evergreen_server.media.render.limits import RenderLimits
from evergreen_server.media.render.renderer import Renderer
from evergreen_server.ports.rendering import RenderOrder, RenderProgress, RenderRefused
from evergreen_server.ports.timeline import Profile, Span, Timeline
from tests.media.render.reel import Cutting, clip, picture_md5s

MUST_NOT_HANG = 60
SPANS = 6
LARGE = Profile(name="large", width=960, height=540)


def renderers() -> list[int]:
    """The renderers that this process has started."""
    children = (task / "children" for task in Path("/proc/self/task").iterdir())
    pids = [int(pid) for path in children for pid in path.read_text().split()]
    return [pid for pid in pids if b"evergreen_server.media.render" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def long_film(cutting: Cutting) -> Timeline:
    """A film whose segments take a while: each is a clip of its own, scaled up."""
    clips = [clip(cutting.folder / f"{number}.mp4", turn=number / SPANS) for number in range(SPANS)]
    return Timeline(spans=tuple(cutting.span(path, 60) for path in clips))


@asynccontextmanager
async def at_work(cutting: Cutting, order: RenderOrder) -> AsyncIterator["asyncio.Task[object]"]:
    """A render that has made some frames of a segment, and not all."""
    begun = asyncio.Event()

    def note(progress: RenderProgress) -> None:
        if progress.done:
            begun.set()

    task = asyncio.create_task(cutting.render(order, note))
    try:
        async with asyncio.timeout(MUST_NOT_HANG):
            await begun.wait()
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_render_that_is_cancelled_ends_its_process_and_leaves_no_film(cutting: Cutting) -> None:
    order = cutting.order(long_film(cutting), LARGE)

    async with at_work(cutting, order) as task:
        (pid,) = renderers()
        process = os.pidfd_open(pid)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    ended, _, _ = select.select([process], [], [], 0)
    os.close(process)
    assert ended == [process]
    assert renderers() == []
    assert cutting.unfinished() == []
    assert not order.out.exists()


PARENT = """
import asyncio, sys
from pathlib import Path
from evergreen_server.ports.timeline import Timeline
from tests.media.render.reel import Cutting
from tests.media.render.test_process import LARGE, long_film, renderers

async def main():
    cutting = Cutting(Path(sys.argv[1]))
    said = []
    def note(progress):
        if progress.done and not said:
            said.append(True)
            print(*renderers(), flush=True)
    await cutting.render(cutting.order(long_film(cutting), LARGE), note)

asyncio.run(main())
"""


def test_a_service_that_is_killed_in_the_middle_of_a_segment_leaves_no_renderer(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        env={"PYTHONPATH": ":".join([*sys.path, str(Path(__file__).parents[3])]), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
    ) as service:
        assert service.stdout is not None
        renderer = os.pidfd_open(int(service.stdout.readline()))
        service.kill()

        ended, _, _ = select.select([renderer], [], [], MUST_NOT_HANG)
        os.close(renderer)

    assert ended == [renderer]
    assert not list((tmp_path / "out").glob("*.mp4"))


async def test_a_renderer_that_dies_is_begun_again_and_takes_no_half_segment(cutting: Cutting) -> None:
    timeline = long_film(cutting)
    order = cutting.order(timeline)
    async with at_work(cutting, order) as task:
        os.kill(renderers()[0], signal.SIGKILL)
        made = await task

    other = cutting.folder / "other"
    other.mkdir()
    fresh = Cutting(other, files=cutting.files)
    alone = fresh.order(timeline)
    await fresh.render(alone, fresh.progress.append)

    assert made.frames == SPANS * 60
    assert picture_md5s(order.out) == picture_md5s(alone.out)
    assert cutting.unfinished() == []


def deaths(pids: Iterator[int]) -> Callable[[RenderProgress], None]:
    """Kills each renderer as soon as it has made some of its frames."""

    def note(progress: RenderProgress) -> None:
        for pid in renderers() if progress.done else ():
            os.kill(pid, signal.SIGKILL)
            next(pids, None)

    return note


async def test_a_span_at_which_renderer_after_renderer_dies_is_named(cutting: Cutting) -> None:
    order = cutting.order(Timeline(spans=(cutting.span(clip(cutting.folder / "a.mp4"), 240),)), LARGE)
    killed = iter(range(9))

    with pytest.raises(RenderRefused) as refused:
        await cutting.render(order, deaths(killed))

    assert (refused.value.code, refused.value.span) == ("RENDER_FAILED", 0)
    assert next(killed) == 3
    assert renderers() == []
    assert cutting.unfinished() == []


async def test_a_renderer_that_takes_too_long_is_ended(cutting: Cutting) -> None:
    cutting.renderer = Renderer(RenderLimits(start_seconds=0.05, per_second=0.0))
    order = cutting.order(long_film(cutting))

    with pytest.raises(RenderRefused) as refused:
        await cutting.render(order, cutting.progress.append)

    assert refused.value.code == "RENDER_FAILED"
    assert renderers() == []
    assert not order.out.exists()


async def test_a_segment_that_is_not_whole_is_made_again(cutting: Cutting) -> None:
    timeline = Timeline(spans=(Span(source=None, frames=30), long_film(cutting).spans[0]))
    await cutting.film(timeline)
    for segment in (cutting.folder / "cache").glob("*.mp4"):
        segment.write_bytes(segment.read_bytes()[: segment.stat().st_size // 2])

    made, film = await cutting.film(timeline)

    assert (made.segments_made, made.segments_reused) == (2, 0)
    assert len(film.pictures) == 90


async def test_what_is_there_of_a_film_is_not_made_again(cutting: Cutting) -> None:
    timeline = long_film(cutting)
    await cutting.film(timeline)
    changed = (*timeline.spans[:-1], cutting.span(clip(cutting.folder / "new.mp4", turn=0.9), 60))

    made, _ = await cutting.film(Timeline(spans=changed))

    assert (made.segments_made, made.segments_reused) == (1, SPANS - 1)
