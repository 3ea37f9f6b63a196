"""How much of a caller's media is read, for how long, and how large it may be once decoded."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """The bounds of every fetch and every decoder. Sizes are bytes, times are seconds."""

    picture_bytes: int = 16 * 1024 * 1024
    """The largest picture read, and the largest one made."""
    stream_bytes: int = 200 * 1000 * 1000
    """The largest video or sound fetched; the provider takes no larger upload."""
    picture_pixels: int = 50_000_000
    """Width times height; a picture takes about eight bytes per pixel while it is worked on, a WebP sixteen."""
    frame_pixels: int = 50_000_000
    """Width times height of a video's frames."""
    picture_seconds: float = 30.0
    """A whole fetch of a picture, redirects included."""
    stream_seconds: float = 60.0
    """A whole fetch of a video or sound, redirects included."""
    connect_seconds: float = 5.0
    """Name resolution and connection of one hop."""
    read_seconds: float = 10.0
    """The longest gap within a body."""
    work_seconds: float = 30.0
    """Decoding and encoding one file, counted from when it has a thread."""
    wait_seconds: float = 300.0
    """Waiting for one's turn: for a place among the fetches, or for a decoder's thread."""
    fetches_at_once: int = 32
    decoders_at_once: int = 3
    """Pictures at once, and apart from them clips at once; this times the pixels bounds the memory."""
    ports: frozenset[int] = frozenset({80, 443})
    """The ports that a URL may name; a trusted private host is not bound by them."""
