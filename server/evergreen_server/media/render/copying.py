"""Finds out whether a film's picture can be made of its clips as they are."""

from collections.abc import Mapping
from pathlib import Path

from evergreen_server.media.render.takes import Take, take_of
from evergreen_server.ports.timeline import Blend, Profile, Timeline

_CODEC, _PIXELS = "h264", "yuv420p"
"""What every player takes in an MP4."""


def copies(timeline: Timeline, profile: Profile, files: Mapping[str, Path]) -> list[Take] | None:
    """Returns the takes of a film that consists of whole clips of one form, which is the profile's; else None."""
    takes: list[Take] = []
    found: dict[str, Take | None] = {}
    for span in timeline.spans:
        if span.source is None or span.still or (span.blend is not Blend.CUT and span.blend_frames):
            return None
        sha256 = span.source.sha256
        if sha256 not in found:
            found[sha256] = take_of(files[sha256])
        take = found[sha256]
        if take is None or take.frames != span.frames or take.form != (takes[0] if takes else take).form:
            return None
        takes.append(take)
    form = takes[0].form
    asked = (_CODEC, _PIXELS, (profile.width, profile.height), profile.fps)
    return takes if (form.codec, form.pixels, form.size, form.fps) == asked else None
