"""What a worker is asked to make: plain values, sent as one line of JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Form", "Job", "Sound", "Work"]

Work: TypeAlias = Literal["clip", "picture", "enlargement", "drawing", "speech", "effect", "voice", "sound", "finish"]

Form: TypeAlias = Literal[
    "mp4", "mov", "prores", "frames", "hdr10", "hlg", "sdr10", "exr",
    "png", "jpeg", "webp", "svg",
    "mp3", "wav", "flac", "ogg",
]  # fmt: skip
"""The format of a file; `sdr10` has ten bits, as HDR has; `frames` and `exr` are archives of pictures."""

Sound: TypeAlias = Literal["", "hum", "speech", "source", "reference"]
"""What a clip sounds like: nothing, a tone, its text, its source, or its first reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One file to make. Each kind of work reads the values that it has a use for."""

    work: Work
    target: str
    form: Form
    source: str = ""
    """The path of what the file is made from; empty: made up from the seed."""
    kind: Literal["", "image", "video", "audio"] = ""
    """What the source is."""
    references: Sequence[str] = ()
    """Paths of pictures that must be recognisable in a picture, or of the sound that a clip or a voice has."""
    seed: int = 0
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    frame_rate: str = "24"
    """Frames per second, as a number or a fraction such as 30000/1001."""
    sound: Sound = ""
    text: str = ""
    speed: float = 1.0
    pitch: float = 120.0
    """The height of a voice, in hertz."""
    loudness: float = 1.0
    sample_rate: int = 44_100
    loop: bool = False
    """A sound whose end meets its beginning."""
    clear: bool = False
    """A picture with a transparent ground."""
    gate: bool = False
    """A voice as it is, but for what is too quiet to be one; otherwise another voice says the same."""
    profile: str = ""
    """The profile of ProRes."""
