"""The process of a renderer: it ends with whom it works for, and what it leaves unfinished is nobody's film."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from evergreen_server.media.render.order import Attempt, order_line, read_answer
from evergreen_server.media.render.renderer import Renderer
from evergreen_server.ports.rendering import Rendered, RenderOrder, RenderProgress, RenderRefused
from evergreen_server.ports.timeline import Profile, Span, Timeline
from tests.media.render.reel import OFTEN, Cutting, clip, picture_md5s
from tests.started import started

MUST_NOT_HANG = 60
HANGS_SECONDS = 5.0
"""Longer than a small film takes on a busy machine."""
SPANS = 6
KILLED = (12, 240)
"""The lengths of segments, of which the first is whole long before the others."""
LONG = 1200
"""As many frames as are never all made before a renderer is ended."""
LARGE = Profile(name="large", width=480, height=270)


def renderers() -> list[int]:
    """The renderers that this process has started."""
    return started(b"evergreen_server.media.render")


def long_film(cutting: Cutting, *frames: int) -> Timeline:
    """A film whose segments take a while: each is a clip of its own, scaled up."""
    lengths = enumerate(frames or (60,) * SPANS)
    clips = [(clip(cutting.folder / f"{number}.mp4", turn=number / SPANS), length) for number, length in lengths]
    return Timeline(spans=tuple(cutting.span(path, length) for path, length in clips))


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


def test_a_renderer_ends_well_when_it_has_answered_though_its_input_stays_open(cutting: Cutting) -> None:
    order = cutting.order(Timeline(spans=(Span(source=None, frames=2),)))
    attempt = Attempt(mark="m", segments_at_once=2, progress_seconds=0, cache_bytes=2**30, memory_bytes=2**31)
    command = (sys.executable, "-P", "-m", "evergreen_server.media.render", str(os.getpid()))

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as renderer:
        assert renderer.stdin is not None
        assert renderer.stdout is not None
        renderer.stdin.write(order_line(order, attempt))
        renderer.stdin.flush()
        answer = read_answer(renderer.stdout.read().splitlines()[-1])
        status = renderer.wait(MUST_NOT_HANG)

    assert isinstance(answer, Rendered)
    assert status == 0


@pytest.mark.parametrize(("hung", "cancels"), [(False, 1), (True, 1), (False, 2)])
async def test_a_render_that_is_cancelled_ends_its_process_and_leaves_no_film(
    cutting: Cutting, hung: bool, cancels: int
) -> None:
    order = cutting.order(long_film(cutting, LONG, LONG), LARGE)

    async with at_work(cutting, order) as task:
        (pid,) = renderers()
        process = os.pidfd_open(pid)
        if hung:
            os.kill(pid, signal.SIGSTOP)
        for _ in range(cancels):
            task.cancel()
            # The second one comes while the process is being ended.
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task

    ended, _, _ = select.select([process], [], [], 0)
    os.close(process)
    assert ended == [process]
    assert renderers() == []
    assert cutting.unfinished() == []
    assert not order.out.exists()


PARENT = """
import asyncio, signal, sys
from pathlib import Path
from tests.media.render.reel import OFTEN, Cutting
from tests.media.render.test_process import KILLED, LARGE, long_film, renderers, segments, stopped

async def main():
    cutting = Cutting(Path(sys.argv[1]))
    said = []
    def note(progress):
        if said:
            return
        for renderer in renderers():
            # Between two looks it would go on, and might be between two segments when it dies.
            with stopped(renderer):
                whole, named = segments(cutting.folder)
                if named > whole >= 1:
                    said.append(True)
                    print(renderer, flush=True)
                    signal.pause()
    await cutting.render(cutting.order(long_film(cutting, *KILLED), LARGE), note)

asyncio.run(main())
"""


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stops a process meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "T":
        pass
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def segments(folder: Path) -> tuple[int, int]:
    """Returns how many segments are whole, and how many have a name of the film's own, also those that are not."""
    return len(list(folder.glob("cache/*.mp4"))), len(list(folder.glob("cache/*.part")))


def kill_a_service(folder: Path) -> None:
    """Kills one whose renderer has made a segment, and is in the middle of another; waits for the renderer's end."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder)],
        env={"PYTHONPATH": ":".join([*sys.path, str(Path(__file__).parents[3])]), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
    ) as service:
        assert service.stdout is not None
        renderer = os.pidfd_open(int(service.stdout.readline()))
        service.kill()
        ended, _, _ = select.select([renderer], [], [], MUST_NOT_HANG)
        os.close(renderer)
    assert ended == [renderer]
    assert not list(folder.glob("out/*.mp4"))


async def test_a_service_that_is_killed_leaves_no_renderer_no_film_and_no_half_segment(tmp_path: Path) -> None:
    await asyncio.to_thread(kill_a_service, tmp_path)
    whole, named = segments(tmp_path)

    cutting = Cutting(tmp_path)
    made = await cutting.render(cutting.order(long_film(cutting, *KILLED), LARGE), cutting.progress.append)

    assert named > whole >= 1
    assert (made.segments_made, made.segments_reused) == (len(KILLED) - whole, whole)
    assert made.frames == sum(KILLED)


def deaths(most: int) -> Callable[[RenderProgress], None]:
    """Kills so many renderers, one after the other, each as soon as it has made some of its frames."""
    killed: set[int] = set()

    def note(progress: RenderProgress) -> None:
        for pid in renderers() if progress.done else ():
            if pid in killed or len(killed) < most:
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)

    return note


@pytest.mark.parametrize("killed", [1, 2])
async def test_a_renderer_that_dies_is_begun_again_and_the_film_is_as_it_would_be(
    cutting: Cutting, killed: int
) -> None:
    timeline = Timeline(spans=long_film(cutting).spans[:2])
    order = cutting.order(timeline, LARGE)
    made = await cutting.render(order, deaths(killed))

    other = cutting.folder / "other"
    other.mkdir()
    fresh = Cutting(other, files=cutting.files)
    alone = fresh.order(timeline, LARGE)
    await fresh.render(alone, fresh.progress.append)

    assert made.frames == 120
    assert picture_md5s(order.out) == picture_md5s(alone.out)
    assert cutting.unfinished() == []


async def test_a_span_at_which_renderer_after_renderer_dies_is_named(cutting: Cutting) -> None:
    order = cutting.order(Timeline(spans=(cutting.span(clip(cutting.folder / "a.mp4"), LONG),)), LARGE)

    with pytest.raises(RenderRefused) as refused:
        await cutting.render(order, deaths(3))

    assert (refused.value.code, refused.value.span) == ("RENDER_FAILED", 0)
    assert renderers() == []
    assert cutting.unfinished() == []


async def test_a_renderer_that_takes_too_long_is_ended(cutting: Cutting) -> None:
    cutting.renderer = Renderer(replace(OFTEN, start_seconds=0.05, per_second=0.0))
    order = cutting.order(long_film(cutting))

    with pytest.raises(RenderRefused) as refused:
        await cutting.render(order, cutting.progress.append)

    assert refused.value.code == "RENDER_FAILED"
    assert renderers() == []
    assert not order.out.exists()


async def test_a_renderer_that_hangs_is_ended_at_its_bound_and_the_film_goes_on(cutting: Cutting) -> None:
    cutting.renderer = Renderer(replace(OFTEN, start_seconds=HANGS_SECONDS, per_second=0.0))
    order = cutting.order(Timeline(spans=long_film(cutting).spans[:1]))
    stopped: list[int] = []

    def note(progress: RenderProgress) -> None:
        if not stopped:
            stopped.extend(renderers())
            os.kill(stopped[0], signal.SIGSTOP)

    made = await cutting.render(order, note)

    assert made.frames == 60
    assert stopped[0] not in renderers()
    assert cutting.unfinished() == []
