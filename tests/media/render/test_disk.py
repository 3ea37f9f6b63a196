"""A disk that is full, or a file that may not grow: a clear refusal, and nothing that fills the disk further."""

import resource
from dataclasses import replace
from pathlib import Path

import pytest

from evergreen_server.media.render.faults import refusal_of
from evergreen_server.media.render.pieces import divide
from evergreen_server.ports.rendering import RenderProgress, RenderRefused
from evergreen_server.ports.timeline import Span
from tests.media.render.reel import SMALL, Cutting, clip, of
from tests.media.render.test_hostile import here
from tests.media.render.test_process import LARGE, long_film, renderers

FULL = Path("/dev/full")
"""Whoever writes to it is told that the disk is full."""


@pytest.mark.parametrize("unfinished", ["scratch/mix", "scratch/sound", "out/film.mp4", "cache/{segment}.mp4"])
def test_a_full_disk_is_told_and_the_cache_is_given_up(cutting: Cutting, tmp_path: Path, unfinished: str) -> None:
    timeline = of(Span(source=None, frames=2), cutting.span(clip(tmp_path / "a.mp4"), 23))
    order = cutting.order(timeline)
    order = replace(order, out=order.out.with_name("film.mp4"))
    segment = divide(timeline, SMALL.fps, burned=False)[1].digest(SMALL, "")
    (cutting.folder / f"{unfinished.format(segment=segment)}.m.part").symlink_to(FULL)
    (cutting.folder / "cache" / "old.mp4").write_bytes(b"old")

    with pytest.raises(OSError, match="No space left") as caught:
        here(order)

    assert str(refusal_of(caught.value)) == "the disk is full"
    assert not list(cutting.folder.glob("cache/*.mp4"))
    assert not list(cutting.folder.glob("scratch/*"))
    assert not list(cutting.folder.glob("out/*"))


@pytest.mark.parametrize("folder", ["cache", "scratch", "out"])
async def test_a_folder_that_is_not_there_is_a_refusal(cutting: Cutting, folder: str) -> None:
    order = cutting.order(of(Span(source=None, frames=2)))
    (cutting.folder / folder).rmdir()

    with pytest.raises(RenderRefused, match="the disk failed"):
        await cutting.render(order, cutting.progress.append)

    assert cutting.unfinished() == []


async def test_a_renderer_whose_files_may_not_grow_leaves_nothing_behind(cutting: Cutting) -> None:
    order = cutting.order(long_film(cutting, 120, 120), LARGE)

    def note(_: RenderProgress) -> None:
        for pid in renderers():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (10_000, 10_000))

    with pytest.raises(RenderRefused, match=r"the disk failed \(File too large\)"):
        await cutting.render(order, note)

    assert cutting.unfinished() == []
    assert not list(cutting.folder.glob("cache/*"))
    assert not order.out.exists()
