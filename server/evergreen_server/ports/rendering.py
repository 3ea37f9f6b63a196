"""Rendering films: what is ordered, what comes of it, and the protocol that `media.render` implements."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evergreen_server.ports.timeline import Profile, Timeline


class RenderRefused(Exception):
    """A film that cannot be rendered, however often it is tried.

    `code` is CLIP_UNSUPPORTED where a file cannot be used, else RENDER_FAILED. `span` and `sound` are the indexes of
    what is at fault in the timeline, where that is known.
    """

    def __init__(self, text: str, *, code: str, span: int | None = None, sound: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.span = span
        self.sound = sound


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderOrder:
    """A film to render, with the places of all that it takes. The folders must exist."""

    timeline: Timeline
    profile: Profile
    files: Mapping[str, Path]
    """Where the sources lie on the disk, by their SHA-256."""
    out: Path
    """The film, an MP4; another file of that name is replaced, and only by a whole one."""
    cache: Path
    """A folder of segments, which later films may use."""
    scratch: Path
    """A folder for what is needed for this film alone: at most 23 MB for each minute of it, and its sound."""
    caption_font: str = ""
    """The path of a font for captions that are drawn; empty is Pillow's own, which has hardly more than ASCII."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A film that lies at its place, measured."""

    frames: int
    seconds: float
    lufs: float | None
    """The integrated loudness of what was encoded; None where it is silent."""
    peak_dbtp: float | None
    """The highest true peak of what was encoded, in dB; None where it is silent."""
    size_bytes: int
    sha256: str
    copied: bool
    """The picture was not encoded again."""
    segments_made: int
    segments_reused: int
    warnings: tuple[str, ...] = ()
    """Each begins with a code and a colon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderProgress:
    """How many of a film's frames are there."""

    done: int
    total: int


class FilmRenderer(Protocol):
    """Renders as many films at a time as it is asked for."""

    async def render(self, order: RenderOrder, on_progress: Callable[[RenderProgress], None]) -> Rendered:
        """Renders a film to its place; a cancelled call leaves nothing there. Raises RenderRefused."""
        ...
