"""Fetching and examining media: the values and the protocol that `media` implements.

MediaError
  MediaRefused         what the caller gave can never be used
  MediaUnreachable     the transfer failed; another try may work
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self, TypeAlias

from evergreen_server.ports.catalog import PictureRule
from evergreen_server.ports.specs import Kind

HEAD_BYTES = 4096
"""How many of a file's first bytes show its type."""

Pauses: TypeAlias = tuple[tuple[float, float], ...]
"""Where nothing is said in a speech: start and end of each pause in seconds, in their order."""
MAX_PAUSES: Final = 1_000
"""Pauses that are told of one speech: enough for half an hour of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture checked, turned upright, in sRGB, without metadata, encoded as `content_type`."""

    data: bytes
    content_type: str
    width: int
    height: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A body from a caller's URL, in a temporary file that lives as long as the context that gave it."""

    path: Path
    size: int
    content_type: str
    redirected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What was found in a file: a video, a sound, whose sizes are zero, or a picture, which has no duration."""

    content_type: str
    width: int
    height: int
    duration_seconds: float
    codec: str
    frame_rate: float = 0.0
    """Frames per second of a video, 0 if it has none or does not say."""

    @classmethod
    def unmeasured(cls, content_type: str) -> Self:
        """Returns what is known of a file by its first bytes alone."""
        return cls(content_type=content_type, width=0, height=0, duration_seconds=0.0, codec="")


class MediaTools(Protocol):
    """Fetches and examines media from outside, all of which is assumed to be hostile.

    `owner` is the project for which it is done: projects take turns in fetching and decoding.
    """

    def fetch(self, uri: str, kind: Kind, *, owner: str) -> AbstractAsyncContextManager[Fetched]:
        """Fetches a caller's URL into a temporary file, bounded in size and time.

        Raises MediaRefused (scheme, private address, size, type) and MediaUnreachable (transfer).
        """
        ...

    def uri_error(self, uri: str) -> str | None:
        """Returns what is wrong with a URL by its text alone (scheme, host literal, port, length), or None."""
        ...

    def sniff(self, head: bytes) -> str | None:
        """Returns the content type of a file by its first HEAD_BYTES; None if it is unknown."""
        ...

    def may_pass_on(self, uri: str) -> bool:
        """Returns whether the provider may be given this URL itself: https on a public DNS name, default port."""
        ...

    async def picture(self, source: Path | bytes, rule: PictureRule, *, owner: str) -> Picture:
        """Decodes, normalises and encodes a picture. Raises MediaRefused; its `unreadable` tells an
        unknown format from a bomb or a broken file."""
        ...

    async def probe(self, path: Path, *, owner: str) -> Clip:
        """Reads a video's or sound's container. Raises MediaRefused if it is none."""
        ...

    async def measure(self, path: Path, *, owner: str) -> Clip:
        """Decodes a whole picture and returns its type and size. Raises MediaRefused if it is none."""
        ...

    async def hear(self, path: Path, *, owner: str) -> Clip:
        """Decodes a whole sound. Raises MediaRefused if it is none, or shorter than its file states."""
        ...

    async def pauses(self, path: Path, *, owner: str) -> Pauses:
        """Returns the pauses of a speech, with the silence at its ends; at most MAX_PAUSES, the longest.

        Raises MediaRefused if the file is no sound.
        """
        ...

    async def poster(self, path: Path, *, owner: str) -> bytes:
        """Makes a JPEG of a frame near the start. Raises MediaRefused if no frame decodes."""
        ...

    async def last_frame(self, path: Path, *, owner: str) -> Picture:
        """Returns the last frame of a clip as it is shown: a PNG, or a JPEG where that would be too large.

        Raises MediaRefused if no frame decodes, or it is HDR.
        """
        ...


class MediaError(Exception):
    """A caller's media failed. The text names the cause and is safe to show to the caller.

    `redirected` tells that the URL led elsewhere first, which the provider would not follow.
    """

    redirected = False


class MediaRefused(MediaError):
    """What the caller gave can never be used. `unreadable`: a whole body in a format that we do not know."""

    def __init__(self, message: str, *, reason: str, unreadable: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.unreadable = unreadable


class MediaTooCostly(MediaRefused):
    """Decoding took more time or memory than is given to it, or crashed its decoder: the file itself may be whole."""


class MediaUnreachable(MediaError):
    """The transfer failed: name not resolved, connection refused, HTTP error, timeout."""
