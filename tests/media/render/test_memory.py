"""What a renderer takes of the machine's memory: no more for many spans than for few, and never more than its bound."""

from dataclasses import replace
from pathlib import Path

import pytest

from evergreen_server.media.render.renderer import Renderer
from evergreen_server.ports.rendering import RenderProgress, RenderRefused
from evergreen_server.ports.timeline import Blend, Heard, Sound
from tests.media.render.reel import OFTEN, SMALL, Cutting, clip, of
from tests.media.render.test_process import long_film, renderers

MIB = 1024 * 1024


def peak(pid: int) -> int:
    """Returns the most memory that a process had, in MiB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


async def test_a_film_of_many_spans_takes_no_more_memory_than_one_of_few(cutting: Cutting, tmp_path: Path) -> None:
    clips = [clip(tmp_path / f"{number}.mp4", frames=4, turn=number / 9, sound=0.1) for number in range(9)]
    peaks: list[int] = []

    def note(_: RenderProgress) -> None:
        peaks.extend(map(peak, renderers()))

    async def rendered(count: int) -> int:
        peaks.clear()
        spans = [cutting.span(clips[number % 9], 4 + number // 9) for number in range(count)]
        spans = [replace(span, blend=Blend.DISSOLVE, blend_frames=2) for span in spans]
        heard = [
            Sound(source=span.source, heard=Heard.CLIP, start=number * 4 / 24, seconds=4 / 24)
            for number, span in enumerate(spans)
            if span.source is not None
        ]
        made = await cutting.render(cutting.order(of(*spans, sounds=heard)), note)
        assert made.segments_made >= count - 5
        return max(peaks)

    few, many = await rendered(6), await rendered(60)

    assert many < few + 30


async def test_a_renderer_that_needs_more_memory_than_it_may_take_ends_with_a_refusal(cutting: Cutting) -> None:
    cutting.renderer = Renderer(replace(OFTEN, memory_bytes=150 * MIB))
    order = cutting.order(long_film(cutting, 120), replace(SMALL, width=1920, height=1080))

    with pytest.raises(RenderRefused, match="not be enough memory") as caught:
        await cutting.render(order, cutting.progress.append)

    assert (caught.value.code, caught.value.span) == ("RENDER_FAILED", 0)
    assert cutting.unfinished() == []
    assert not order.out.exists()
