"""Divides a timeline into pieces that are encoded one by one, each with all that its frames depend on."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass

import av

from evergreen_server.media.render.version import VERSION
from evergreen_server.ports.timeline import Blend, Profile, Source, Span, Timeline

_EPSILON = 1e-6
"""What is nearer to a frame than this, in frames, is meant to be on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What a piece is blended with at one of its ends, over so many of its own frames."""

    blend: Blend
    frames: int
    other: Span | None = None
    """The neighbour, of which the nearest frame is held; None is black."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A caption in frames of its piece, from `start` until before `end`."""

    start: int
    end: int
    lines: tuple[str, ...]
    top: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One span of a timeline, with what reaches into it."""

    index: int
    span: Span
    before: Edge | None
    after: Edge | None
    captions: tuple[Shown, ...]

    @property
    def sources(self) -> tuple[Source | None, ...]:
        """Returns the files that it is made of; None for black."""
        others = (edge.other for edge in (self.before, self.after) if edge is not None)
        return (self.span.source, *(other.source for other in others if other is not None))

    def digest(self, profile: Profile, font: str) -> str:
        """Returns the SHA-256 of all that its frames depend on; `font` is that of the font's bytes."""
        known = {
            "version": VERSION,
            # Another encoder may write other parameters, and what is stitched must have the same.
            "encoder": av.library_versions["libavcodec"],
            "span": _of(self.span),
            "frames": self.span.frames,
            "edges": [None if edge is None else _edge(edge) for edge in (self.before, self.after)],
            "captions": [asdict(caption) for caption in self.captions],
            "font": font if self.captions else "",
            "size": [profile.width, profile.height],
            "fps": profile.fps,
            "fit": profile.fit,
            "crf": profile.crf,
        }
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def divide(timeline: Timeline, fps: int, *, burned: bool) -> tuple[Piece, ...]:
    """Returns the pieces of a timeline; with captions where they are drawn."""
    spans, pieces, begin = timeline.spans, [], 0
    for index, span in enumerate(spans):
        end = begin + span.frames
        shown = []
        for caption in timeline.captions if burned else ():
            first = max(begin, math.ceil(caption.start * fps - _EPSILON)) - begin
            last = min(end, math.ceil(caption.end * fps - _EPSILON)) - begin
            if first < last:
                shown.append(Shown(start=first, end=last, lines=caption.lines, top=caption.top))
        pieces.append(
            Piece(
                index=index,
                span=span,
                before=_joint(spans[index - 1], span, into=spans[index - 1]) if index else None,
                after=_joint(span, span, into=spans[index + 1] if index + 1 < len(spans) else None),
                captions=tuple(shown),
            )
        )
        begin = end
    return tuple(pieces)


def _joint(earlier: Span, blended: Span, *, into: Span | None) -> Edge | None:
    """Returns how one span is blended at a cut. The film's last span can only go out to black."""
    frames = min(earlier.blend_frames // 2, blended.frames)
    if earlier.blend is Blend.CUT or not frames or (earlier.blend is Blend.DISSOLVE and into is None):
        return None
    return Edge(blend=earlier.blend, frames=frames, other=into if earlier.blend is Blend.DISSOLVE else None)


def _of(span: Span) -> list[object]:
    return [span.source.sha256 if span.source is not None else "", span.still]


def _edge(edge: Edge) -> list[object]:
    other = edge.other
    return [edge.blend, edge.frames, [] if other is None else [*_of(other), other.frames]]
