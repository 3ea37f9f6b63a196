"""Refuses what no cut may be, before anything is begun for it."""

from collections.abc import Iterator
from math import isfinite

from evergreen_server.ports.rendering import RenderRefused
from evergreen_server.ports.timeline import (
    FRAME_RATES,
    LOUDNESS_LUFS,
    MOST_CAPTION_CHARACTERS,
    MOST_CAPTIONS,
    MOST_SECONDS,
    MOST_SOUNDS,
    MOST_SPANS,
    RATE_FACTORS,
    SIDES,
    Caption,
    Profile,
    Sound,
    Span,
    Timeline,
)


def check(timeline: Timeline, profile: Profile) -> None:
    """Raises RenderRefused for the first value that is out of its bounds, by its name."""
    for fault in _of_profile(profile):
        raise RenderRefused(f"the profile's {fault}", code="RENDER_FAILED")
    for name, found, most in (
        ("spans", timeline.spans, MOST_SPANS),
        ("sounds", timeline.sounds, MOST_SOUNDS),
        ("captions", timeline.captions, MOST_CAPTIONS),
    ):
        if len(found) > most:
            raise RenderRefused(f"the film has {len(found)} {name}; at most {most} are taken", code="RENDER_FAILED")
    if not timeline.spans:
        raise RenderRefused("the film has no span", code="RENDER_FAILED")
    most_frames = MOST_SECONDS * profile.fps
    for index, span in enumerate(timeline.spans):
        for fault in _of_span(span, most_frames):
            raise RenderRefused(f"the span's {fault}", code="RENDER_FAILED", span=index)
    if timeline.frames > most_frames:
        raise RenderRefused(f"the film is longer than {MOST_SECONDS} s", code="RENDER_FAILED")
    for index, sound in enumerate(timeline.sounds):
        for fault in _of_sound(sound):
            raise RenderRefused(f"the sound's {fault}", code="RENDER_FAILED", sound=index)
    for index, caption in enumerate(timeline.captions):
        for fault in _of_caption(caption):
            raise RenderRefused(f"caption {index}: its {fault}", code="RENDER_FAILED")


def _of_profile(profile: Profile) -> Iterator[str]:
    for name, value, (least, most) in (
        ("width", profile.width, SIDES),
        ("height", profile.height, SIDES),
        ("fps", profile.fps, FRAME_RATES),
        ("loudness_lufs", profile.loudness_lufs, LOUDNESS_LUFS),
        ("crf", profile.crf, RATE_FACTORS),
    ):
        if not least <= value <= most:
            yield f"{name} is {value}; allowed is {least:g} to {most:g}"
    for name, value in (("width", profile.width), ("height", profile.height)):
        if value % 2:
            yield f"{name} is {value}; it must be even"


def _of_span(span: Span, most_frames: int) -> Iterator[str]:
    if not 1 <= span.frames <= most_frames:
        yield f"frames are {span.frames}; allowed is 1 to {most_frames}"
    if not 0 <= span.blend_frames <= most_frames or span.blend_frames % 2:
        yield f"blend_frames are {span.blend_frames}; they must be even, and no more than the film may have"


def _of_sound(sound: Sound) -> Iterator[str]:
    for name, seconds in (("start", sound.start), ("seconds", sound.seconds or 0)):
        if not _is_time(seconds):
            yield f"{name} is {seconds}; allowed is 0 to {MOST_SECONDS}"


def _of_caption(caption: Caption) -> Iterator[str]:
    for name, seconds in (("start", caption.start), ("end", caption.end)):
        if not _is_time(seconds):
            yield f"{name} is {seconds}; allowed is 0 to {MOST_SECONDS}"
    if sum(map(len, caption.lines)) > MOST_CAPTION_CHARACTERS:
        yield f"text is longer than {MOST_CAPTION_CHARACTERS} characters"


def _is_time(seconds: float) -> bool:
    return isfinite(seconds) and 0 <= seconds <= MOST_SECONDS
