"""A film as it is planned: its settings, its cast, and its scenes with their shots and spoken lines.

All of these are values of the plan, which is one document with a revision. Nothing in here says what exists already:
that is for the outputs, which are compared with the plan on reading.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from evergreen_server.film.screenplay.script import ScriptFormat, Timing, TransitionKind
from evergreen_server.ports.specs import Json
from evergreen_server.ports.timeline import Profile

MAX_PROFILES: Final = 8
"""Exports of one run."""
MAX_CANDIDATES: Final = 4
MAX_TRANSITION_SECONDS: Final = 2.0
TRANSITION_SECONDS: Final = 0.5
"""How long a transition takes that is no cut, where nobody says."""
LONGEST_TITLE: Final = 200
LONGEST_PROMPT: Final = 8_000
"""Characters of what a shot shows, and of what moves in it."""


class Speech(StrEnum):
    """Where the spoken lines are heard."""

    GENERATED = "GENERATED"
    """Each line is made as speech, and mixed in."""
    IN_CLIP = "IN_CLIP"
    """The clip's model speaks them."""
    NONE = "NONE"


class FirstFrame(StrEnum):
    """What a clip begins with."""

    PICTURE = "PICTURE"
    PREVIOUS_CLIP = "PREVIOUS_CLIP"
    """The last frame of the clip before it."""
    NONE = "NONE"


class Camera(StrEnum):
    """UNSPECIFIED leaves the camera to the model."""

    UNSPECIFIED = "UNSPECIFIED"
    STATIC = "STATIC"


class OnShotFailure(StrEnum):
    """What becomes of a shot whose output could not be made."""

    ASK = "ASK"
    STILL = "STILL"
    """The picture with a slow move."""
    LAST_GOOD = "LAST_GOOD"
    """An older output of the shot."""
    SKIP = "SKIP"
    FAIL = "FAIL"


class OutputKind(StrEnum):
    """What one job of a film makes."""

    PICTURE = "picture"
    CLIP = "clip"
    SPEECH = "speech"


def output_key(item_id: str, kind: OutputKind) -> str:
    """Returns what names an output within its film: the id of its shot or line, and its kind."""
    return f"{item_id}/{kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmRequest:
    """What tells a request about films from any other of its project."""

    request_id: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmWarning:
    """What of a film is not as one might expect, by a code of the table of warnings; the message names the place."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    kind: TransitionKind = TransitionKind.CUT
    seconds: float = 0.0
    """How long it takes; 0 for a cut, and at most 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmSettings:
    """What holds for the whole film, with every default filled in."""

    scene_prefix: str = "scene"
    aspect: str = "16:9"
    picture_model: str = "gen4_image"
    clip_model: str = "gen4_turbo"
    speech_model: str = "eleven_v3"
    style: str = ""
    narrator_voice: str = ""
    language: str = ""
    timing: Timing = Timing.SPEECH
    speech: Speech = Speech.GENERATED
    music: str = ""
    """A sound in the film's own scene, `audio/FILE`."""
    candidates: int = 1
    """Pictures of each shot, to choose among."""
    transition: Transition = Transition()
    """Between scenes that say nothing else."""
    profiles: tuple[Profile, ...] = ()
    """None is the one that the aspect suggests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """One member of the cast."""

    name: str
    description: str = ""
    images: tuple[str, ...] = ()
    """Pictures in the film's own scene; at most 3."""
    voice: str = ""
    """A preset voice."""
    voice_asset: str = ""
    """A sound in the film's own scene that the voice is taken from, for models that can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLine:
    """What is spoken at once."""

    line_id: str
    """`{scene_id}.line-{n}`; a number is never used again in its scene."""
    speaker: str
    """The name of an actor; empty for the narrator."""
    text: str
    direction: str = ""
    script_digest: str = ""
    """SHA-256 (hex) of what the script says here; a new script that says the same leaves the caller's edits alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedShot:
    """One picture and one clip."""

    shot_id: str
    """`{scene_id}.{n}`; a number is never used again in its scene."""
    picture_prompt: str
    """What is seen. Style and the descriptions of the cast join it when the request is composed."""
    motion_prompt: str
    """What moves. The camera joins it when the request is composed."""
    seconds: float
    """How long it is seen, by the plan; measured speech may lengthen it."""
    cast: tuple[str, ...] = ()
    """Names of the actors whose pictures are references, in order of mention."""
    first_frame: FirstFrame = FirstFrame.PICTURE
    camera: Camera = Camera.UNSPECIFIED
    seed: int | None = None
    on_failure: OnShotFailure | None = None
    """None: as the run says."""
    picture_options: Mapping[str, Json] = field(default_factory=dict)
    clip_options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedScene:
    scene_id: str
    number: str = ""
    """As the script writes it."""
    title: str = ""
    script_line: int = 0
    """Where it begins in the script, from 1; 0 for a scene that was inserted."""
    script_digest: str = ""
    """SHA-256 (hex) of what the script says of it; a new script that says the same leaves the caller's edits alone."""
    shots_digest: str = ""
    """SHA-256 (hex) of what of it the shots were made from."""
    seconds: float | None = None
    """The length that the script gives; None: as its speech, and at least 4 s."""
    lines: tuple[PlannedLine, ...] = ()
    captions: tuple[str, ...] = ()
    shots: tuple[PlannedShot, ...] = ()
    transition: Transition | None = None
    """How it ends; None: as the settings say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole plan. Scenes are in the order of the film."""

    film_id: str
    """Also the id of the film's own scene, where the pictures of the cast lie, and the music."""
    title: str = ""
    settings: FilmSettings
    cast: tuple[Actor, ...] = ()
    scenes: tuple[PlannedScene, ...]
    script_format: ScriptFormat
    script_asset: str = ""
    """The script's file in the film's own scene, `metadata/script-….fountain`."""
    numbers_used: int = 0
    """The highest number of any scene id so far, also of scenes that are gone."""
    numbers_used_in: Mapping[str, int] = field(default_factory=dict)
    """By scene id, the highest number of any of its shots and lines so far."""
    redone: Mapping[str, int] = field(default_factory=dict)
    """By `{shot or line id}/{output}`, how often the caller asked for it anew."""
    chosen: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By `{shot or line id}/{output}`, the scene and the file that the caller put in place of it."""
    deleted: tuple[str, ...] = ()
    """Of scenes that the caller deleted, SHA-256 (hex) of what the script says of them; while it says so they stay out.
    """
    header: Mapping[str, str] = field(default_factory=dict)
    """By what the script's header sets, SHA-256 (hex) of its value; a new script that says the same leaves the caller's
    edits alone."""

    def shots(self) -> Iterator[tuple[PlannedScene, PlannedShot]]:
        """Yields every shot with its scene, in the order of the film."""
        for scene in self.scenes:
            for shot in scene.shots:
                yield scene, shot

    def lines(self) -> Iterator[tuple[PlannedScene, PlannedLine]]:
        """Yields every spoken line with its scene, in the order of the film."""
        for scene in self.scenes:
            for line in scene.lines:
                yield scene, line
