"""What no cut may be is refused by its name, before a process is begun."""

from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from evergreen_server.media.render.checking import check
from evergreen_server.ports.rendering import RenderRefused
from evergreen_server.ports.timeline import (
    MOST_CAPTION_CHARACTERS,
    MOST_CAPTIONS,
    MOST_SECONDS,
    MOST_SOUNDS,
    MOST_SPANS,
    Blend,
    Caption,
    Heard,
    Sound,
    Source,
    Span,
    Timeline,
)
from tests.media.render.reel import SMALL, Cutting, of

BLACK = Span(source=None, frames=24)
SOUND = Sound(source=Source(scene_id="scene-1", asset="a.mp3", sha256="a"), heard=Heard.SPEECH, start=0)
CAPTION = Caption(start=0, end=1, lines=("a",))


def refusal(timeline: Timeline, **profile: Any) -> RenderRefused:
    with pytest.raises(RenderRefused) as caught:
        check(timeline, replace(SMALL, **profile))
    assert caught.value.code == "RENDER_FAILED"
    return caught.value


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("width", (0, -2, 62, 91, 4098, 10**9)),
        ("height", (0, 63, 4097, 8192)),
        ("fps", (0, -1, 61, 10**6)),
        ("loudness_lufs", (-41.0, 0.0, nan, inf)),
        ("crf", (-1, 52)),
    ],
)
def test_a_profile_beyond_its_bounds_is_refused_by_name(name: str, values: tuple[float, ...]) -> None:
    for value in values:
        assert f"the profile's {name} is {value}" in str(refusal(of(BLACK), **{name: value}))


@pytest.mark.parametrize(
    "span",
    [
        replace(BLACK, frames=0),
        replace(BLACK, frames=-1),
        replace(BLACK, frames=MOST_SECONDS * 24 + 1),
        replace(BLACK, blend=Blend.DISSOLVE, blend_frames=-2),
        replace(BLACK, blend=Blend.DISSOLVE, blend_frames=3),
        replace(BLACK, blend=Blend.DISSOLVE, blend_frames=10**12),
    ],
)
def test_a_span_beyond_its_bounds_is_refused_by_its_index(span: Span) -> None:
    found = refusal(of(BLACK, span))

    assert (found.span, "frames" in str(found)) == (1, True)


@pytest.mark.parametrize("change", [{"start": value} for value in (nan, inf, -0.1, 1e9)] + [{"seconds": -1.0}])
def test_a_sound_at_no_time_of_a_film_is_refused_by_its_index(change: dict[str, float]) -> None:
    found = refusal(of(BLACK, sounds=(SOUND, replace(SOUND, **change))))

    assert (found.sound, next(iter(change)) in str(found)) == (1, True)


@pytest.mark.parametrize("change", [{"start": nan}, {"end": inf}, {"lines": ("a" * (MOST_CAPTION_CHARACTERS + 1),)}])
def test_a_caption_beyond_its_bounds_is_refused_by_its_index(change: dict[str, Any]) -> None:
    found = refusal(of(BLACK, captions=(CAPTION, replace(CAPTION, **change))))

    assert str(found).startswith("caption 1:")


@pytest.mark.parametrize(
    ("timeline", "told"),
    [
        (of(), "no span"),
        (of(*[BLACK] * (MOST_SPANS + 1)), f"{MOST_SPANS + 1} spans"),
        (of(BLACK, sounds=(SOUND,) * (MOST_SOUNDS + 1)), f"{MOST_SOUNDS + 1} sounds"),
        (of(BLACK, captions=(CAPTION,) * (MOST_CAPTIONS + 1)), f"{MOST_CAPTIONS + 1} captions"),
        (of(*[replace(BLACK, frames=MOST_SECONDS * 12)] * 3), "longer than"),
    ],
)
def test_a_film_of_too_much_is_refused(timeline: Timeline, told: str) -> None:
    assert told in str(refusal(timeline))


def test_the_most_that_is_allowed_is_taken() -> None:
    spans = [replace(BLACK, frames=1)] * MOST_SPANS
    longest = MOST_SECONDS * 24 - sum(span.frames for span in spans[1:])
    spans[0] = replace(BLACK, frames=longest)

    check(
        of(*spans, sounds=(SOUND,) * MOST_SOUNDS, captions=(CAPTION,) * MOST_CAPTIONS),
        replace(SMALL, width=4096, height=4096, loudness_lufs=-40.0, crf=0),
    )


async def test_the_renderer_checks_before_it_begins_a_process(cutting: Cutting, tmp_path: Path) -> None:
    with pytest.raises(RenderRefused, match="fps is 0"):
        await cutting.film(of(BLACK), replace(SMALL, fps=0))
