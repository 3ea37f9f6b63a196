"""A cut, as film plans it and the renderer makes it: what is seen and heard when, and in which form."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SIDES: Final = (64, 4096)
FRAME_RATES: Final = (1, 60)
LOUDNESS_LUFS: Final = (-40.0, -5.0)
RATE_FACTORS: Final = (0, 51)
"""The least and the most of a profile's values."""
MOST_SECONDS: Final = 2 * 3600
"""The length of a cut: an hour is planned at most, and pictures are held where speech takes longer."""
MOST_SPANS: Final = 4_000
MOST_SOUNDS: Final = 10_000
MOST_CAPTIONS: Final = 20_000
MOST_CAPTION_CHARACTERS: Final = 1_000


class Fit(StrEnum):
    """How a picture of another shape fills the frame."""

    CROP = "CROP"
    PAD = "PAD"
    """Black bars."""
    BLUR = "BLUR"
    """Bars of the picture itself, enlarged and blurred."""


class Captions(StrEnum):
    """Where captions go beside the files, which are always written."""

    FILES = "FILES"
    TRACK = "TRACK"
    """A subtitle track in the film as well."""
    BURNED = "BURNED"
    """Drawn into the picture as well."""


class Blend(StrEnum):
    """How one shot becomes the next. None of them moves anything in time."""

    CUT = "CUT"
    DISSOLVE = "DISSOLVE"
    """Half before and half after the cut, with the neighbour's edge frame held."""
    BLACK = "BLACK"
    """Out to black before the cut, in from black after it."""


class Heard(StrEnum):
    """What a sound is, and so how loud it becomes beside the others."""

    SPEECH = "SPEECH"
    CLIP = "CLIP"
    """The own sound of a clip."""
    MUSIC = "MUSIC"
    EFFECT = "EFFECT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The form of an export. Sides are even, in pixels; frames a second are whole; loudness is in LUFS.

    Its values lie within the bounds of this module.
    """

    name: str
    width: int
    height: int
    fps: int = 24
    fit: Fit = Fit.CROP
    loudness_lufs: float = -16.0
    captions: Captions = Captions.FILES
    crf: int = 20
    """x264's constant rate factor, 0 to 51; more is smaller and worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file of the scene tree, by its place and its content."""

    scene_id: str
    asset: str
    """Its path inside the scene, such as `videos/….mp4`."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What is seen for a number of frames of the profile's rate: a clip from its beginning, or a still picture.

    A clip that is longer is cut off; of one that is shorter the last frame is held.
    """

    source: Source | None
    """None is black."""
    frames: int
    still: bool = False
    """The source is a picture, which is seen with a slow move."""
    blend: Blend = Blend.CUT
    """How it becomes the next span."""
    blend_frames: int = 0
    """How many frames the blend takes in all, half of them in each span; even."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """What is heard from a moment on, in seconds from the start of the film."""

    source: Source
    heard: Heard
    start: float
    seconds: float | None = None
    """How much of it is heard at most; None is all of it."""
    loop: bool = False
    """It begins again at its end, until its seconds, or the film, are over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """A text of at most two lines, from `start` until before `end`, in seconds from the start of the film."""

    start: float
    end: float
    lines: tuple[str, ...]
    top: bool = False
    """A text of the screen stands at the top; speech at the bottom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A whole cut, within the bounds of this module.

    Spans follow one another without a gap; sounds and captions are in the order of their starts.
    """

    spans: tuple[Span, ...]
    sounds: tuple[Sound, ...] = ()
    captions: tuple[Caption, ...] = ()
    language: str = ""
    """Of the captions: a language tag, or empty if not known."""

    @property
    def frames(self) -> int:
        """Returns the length of the picture in frames."""
        return sum(span.frames for span in self.spans)
