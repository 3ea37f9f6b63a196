"""Renders one film from its order: the work of a renderer's process."""

import hashlib
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

from PIL import features

from evergreen_server.media.render.copying import copies
from evergreen_server.media.render.faults import is_full
from evergreen_server.media.render.making import Making, short_clips
from evergreen_server.media.render.order import Attempt, Step
from evergreen_server.media.render.picture.lettering import Letters
from evergreen_server.media.render.segments import Segments
from evergreen_server.media.render.sound import loudness
from evergreen_server.media.render.sound.hearing import RATE
from evergreen_server.media.render.sound.mix import mix
from evergreen_server.media.render.sources import Sources
from evergreen_server.media.render.stitch import stitch
from evergreen_server.ports.rendering import Rendered, RenderOrder
from evergreen_server.ports.timeline import Caption, Captions

_LOUDNESS_OFF = 0.5
"""By how many LU a film may miss its loudness without a warning."""
_WARNINGS = 100
"""How many warnings a film has at most."""
_NAMED = 20
"""How many characters a warning names."""


def render(order: RenderOrder, attempt: Attempt, tell: Callable[[Step], None]) -> Rendered:
    """Renders a film; `tell` is called from several threads. Raises RenderRefused, and OSError of the disk.

    Where the disk is full, all segments are given up: a service needs room for more than films.
    """
    sources, segments = Sources(order), Segments(order.cache, attempt.mark)
    kept = attempt.cache_bytes
    try:
        return _render(order, attempt, tell, sources, segments)
    except Exception as exc:
        kept = 0 if is_full(exc) else kept
        # What is wrong with a file may be that it is another one by now.
        sources.check()
        raise
    finally:
        segments.keep_newest(kept)


def _render(
    order: RenderOrder, attempt: Attempt, tell: Callable[[Step], None], sources: Sources, segments: Segments
) -> Rendered:
    timeline, profile = order.timeline, order.profile
    letters, captions, warnings = _captions(order)
    takes = copies(timeline, profile, order.files) if letters is None else None
    made = reused = 0
    if copied := takes is not None:
        tell(Step(done=timeline.frames, spans=()))
    else:
        warnings += short_clips(order)
        making = Making(order, letters, sources, segments, tell)
        takes, made, reused = making.make(attempt.segments_at_once), making.made, making.reused
    raw, sound = (order.scratch / f"{name}.{attempt.mark}.part" for name in ("mix", "sound"))
    film = order.out.with_name(f"{order.out.name}.{attempt.mark}.part")
    try:
        levels = mix(timeline.sounds, order.files, round(timeline.frames * RATE / profile.fps), raw)
        levels = loudness.encode(raw, levels, profile.loudness_lufs, sound)
        if levels.lufs is not None and abs(levels.lufs - profile.loudness_lufs) > _LOUDNESS_OFF:
            asked = f"{profile.loudness_lufs:g} LUFS were asked for"
            warnings.append(f"LOUDNESS_MISSED: the film has {levels.lufs:.1f} LUFS, and {asked}")
        stitch(film, takes, sound, captions, timeline.language)
        size, digest = film.stat().st_size, _digest(film)
        sources.check()
        os.replace(film, order.out)
    finally:
        for path in (raw, sound, film):
            path.unlink(missing_ok=True)
    return Rendered(
        frames=timeline.frames,
        seconds=timeline.frames / profile.fps,
        lufs=levels.lufs,
        peak_dbtp=levels.peak,
        size_bytes=size,
        sha256=digest,
        copied=copied,
        segments_made=made,
        segments_reused=reused,
        warnings=tuple(warnings[:_WARNINGS]),
    )


def _captions(order: RenderOrder) -> tuple[Letters | None, tuple[Caption, ...], list[str]]:
    """Returns what draws captions, if they are drawn, those of the track, and warnings."""
    captions, profile = order.timeline.captions, order.profile
    if profile.captions is not Captions.BURNED or not captions:
        return None, captions if profile.captions is Captions.TRACK else (), []
    instead = "the captions are in a track of the film instead"
    lines = [line for caption in captions for line in caption.lines]
    try:
        size = (profile.width, profile.height)
        letters = Letters(font=order.caption_font, size=size, shaping=bool(features.check_feature("raqm")))
        unshaped, missing = letters.unshaped(lines), letters.missing(lines)
    except OSError:
        return None, captions, [f"CAPTION_FONT_UNREADABLE: the font for captions cannot be read; {instead}"]
    if unshaped:
        text = f"FriBiDi, which is not installed, is needed for {_names(unshaped)}"
        return None, captions, [f"CAPTION_SCRIPT_UNSUPPORTED: {text}; {instead}"]
    if missing:
        return None, captions, [f"CAPTION_GLYPHS_MISSING: the font has no {_names(missing)}; {instead}"]
    return letters, (), []


def _names(characters: str) -> str:
    named = [
        f"U+{ord(character):04X}" if unicodedata.category(character)[0] == "M" else character
        for character in characters[:_NAMED]
    ]
    more = len(characters) - len(named)
    return " ".join(named) + (f" and {more} more" if more else "")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
