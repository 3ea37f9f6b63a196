"""How much of a caller's media is read, for how long, and how large it may be once decoded."""

import json
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """The bounds of every fetch and every decoder. Sizes are bytes, times are seconds."""

    picture_bytes: int = 16 * 1024 * 1024
    """The largest picture read, and the largest one made."""
    measured_bytes: int = 64 * 1024 * 1024
    """The largest picture that is only measured."""
    stream_bytes: int = 200 * 1000 * 1000
    """The largest video or sound fetched; the provider takes no larger upload."""
    picture_pixels: int = 50_000_000
    """Width times height, at eight bytes of memory each; fewer where a format takes more, half for WebP and AVIF."""
    frame_pixels: int = 50_000_000
    """Width times height of a video's frames."""
    decoder_bytes: int = 512 * 1024 * 1024
    """The memory that a decoder may take for one file, enforced by the system."""
    picture_seconds: float = 30.0
    """A whole fetch of a picture, redirects included."""
    stream_seconds: float = 60.0
    """A whole fetch of a video or sound, redirects included."""
    connect_seconds: float = 5.0
    """Name resolution and connection of one hop."""
    read_seconds: float = 10.0
    """The longest gap within a body."""
    work_seconds: float = 30.0
    """Decoding and encoding one file, counted from when it has a decoder."""
    wait_seconds: float = 300.0
    """Waiting for a slot among the fetches, or for a decoder."""
    fetches_at_once: int = 32
    decoders_at_once: int = 3
    """Processes for pictures and clips; one project alone has all but one of them."""
    ports: frozenset[int] = frozenset({80, 443})
    """The ports that a URL may name; a trusted private host is not bound by them."""

    def text(self) -> str:
        """Returns them as text for another process."""
        return json.dumps({**asdict(self), "ports": sorted(self.ports)})

    @classmethod
    def read(cls, text: str) -> Self:
        """Reads what `text` returned."""
        values = json.loads(text)
        return cls(**{**values, "ports": frozenset(values["ports"])})
