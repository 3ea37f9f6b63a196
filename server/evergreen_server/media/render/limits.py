"""What renderers take of the machine at most."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderLimits:
    """The bounds of every renderer. Times are seconds."""

    segments_at_once: int = 2
    """How many of a film's spans are encoded at the same time, unless their frames are large."""
    pixels_at_once: int = 3840 * 2160
    """The pixels of a frame, of all that are encoded at the same time: an encoder keeps dozens of frames."""
    start_seconds: float = 30.0
    per_second: float = 20.0
    """A process may take so long, and so much longer for each second of its film."""
    progress_seconds: float = 0.5
    """How often a process says how many frames are there."""
    cache_bytes: int = 4 * 1024**3
    """The segments that are kept for later films, in bytes."""
    memory_bytes: int = 3 * 1024**3
    """What a process may take, enforced by the system."""

    def segments_of(self, width: int, height: int) -> int:
        """Returns how many segments of frames of this size are made at the same time."""
        return max(1, min(self.segments_at_once, self.pixels_at_once // (width * height)))
