"""The cache of segments: what is whole is used again, what is not is made anew, and what is in use stays."""

import asyncio
import os
import signal
import time
from dataclasses import replace

from evergreen_server.media.render.renderer import Renderer
from evergreen_server.ports.timeline import Span, Timeline
from tests.media.render.reel import OFTEN, SMALL, Cutting, clip
from tests.media.render.test_process import LARGE, SPANS, at_work, long_film, renderers


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


async def test_progress_counts_a_clip_that_is_seen_twice_twice(cutting: Cutting) -> None:
    span = cutting.span(clip(cutting.folder / "a.mp4"), 23)

    for _ in range(2):
        await cutting.film(Timeline(spans=(span, span, Span(source=None, frames=7))))
        assert (cutting.progress[-1].done, cutting.progress[-1].total) == (53, 53)


async def test_only_the_newest_segments_are_kept(cutting: Cutting) -> None:
    timeline = long_film(cutting)
    await cutting.film(timeline)
    sizes = {path: path.stat().st_size for path in (cutting.folder / "cache").iterdir()}
    for age, path in enumerate(sorted(sizes)):
        os.utime(path, (time.time() - 60 * age, time.time() - 60 * age))
    new = cutting.span(clip(cutting.folder / "new.mp4", turn=0.9), 60)

    most = max(sizes.values()) * 3
    cutting.renderer = Renderer(replace(OFTEN, cache_bytes=most))
    await cutting.film(Timeline(spans=(new,)))

    left = set((cutting.folder / "cache").iterdir())
    assert sum(path.stat().st_size for path in left) <= most
    assert left & sizes.keys() == set(sorted(sizes)[: len(left) - 1])
    assert len(left) >= 3


async def test_unfinished_files_that_nobody_works_on_any_more_are_removed(cutting: Cutting) -> None:
    old, new = (cutting.folder / "cache" / f"{name}.mp4.{name * 32}.part" for name in "ab")
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 49 * 3600,) * 2)

    await cutting.render(cutting.order(Timeline(spans=(Span(source=None, frames=2),))), cutting.progress.append)

    assert (old.exists(), new.exists()) == (False, True)


async def test_segments_that_a_film_under_way_needs_are_not_lost_to_it(cutting: Cutting) -> None:
    timeline = long_film(cutting)
    await cutting.film(Timeline(spans=timeline.spans[: SPANS // 2]), LARGE)
    order = cutting.order(timeline, LARGE)
    other = Renderer(replace(OFTEN, cache_bytes=0))

    async with at_work(cutting, order) as task:
        (pid,) = renderers()
        os.kill(pid, signal.SIGSTOP)
        black = replace(order, timeline=Timeline(spans=(Span(source=None, frames=2),)), profile=SMALL)
        await other.render(replace(black, out=order.out.with_name("b.mp4")), cutting.progress.append)
        assert not list((cutting.folder / "cache").glob("*.mp4"))
        os.kill(pid, signal.SIGCONT)
        made = await asyncio.wait_for(task, 60)

    assert (made.segments_made, made.segments_reused) == (SPANS - SPANS // 2, SPANS // 2)
    assert cutting.unfinished() == []
