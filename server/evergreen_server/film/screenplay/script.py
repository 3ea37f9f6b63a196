"""What a script says, whichever form it was written in, and what is wrong with one."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

__all__ = [
    "MAX_BYTES",
    "MAX_CAST",
    "MAX_LINES",
    "MAX_PICTURES",
    "MAX_SCENES",
    "MAX_SECONDS",
    "MAX_SHOTS",
    "NARRATOR",
    "CastMember",
    "Fault",
    "Faults",
    "Header",
    "InvalidScript",
    "Script",
    "ScriptFormat",
    "ScriptScene",
    "SpokenLine",
    "Timing",
    "TransitionKind",
]

MAX_BYTES: Final = 512 * 1024
MAX_SCENES: Final = 300
MAX_SHOTS: Final = 600
MAX_LINES: Final = 2_000
"""Spoken lines of a film."""
MAX_SECONDS: Final = 3_600
MAX_CAST: Final = 50
MAX_PICTURES: Final = 3
"""Of one cast member."""

NARRATOR: Final = ""
"""The speaker of a line that the narrator's voice speaks."""

_MAX_FAULTS: Final = 100


class ScriptFormat(StrEnum):
    FOUNTAIN = "FOUNTAIN"
    AV = "AV"
    AV_TABLE = "AV_TABLE"
    MARKDOWN = "MARKDOWN"
    PLAIN = "PLAIN"


class Timing(StrEnum):
    """What a scene's length follows: the times in the script, or its speech."""

    SCRIPT = "SCRIPT"
    SPEECH = "SPEECH"


class TransitionKind(StrEnum):
    CUT = "CUT"
    DISSOLVE = "DISSOLVE"
    BLACK = "BLACK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong at one place of a script. Lines and columns count from 1, columns in characters."""

    line: int
    column: int = 1
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


class InvalidScript(Exception):
    """The script has faults: the first hundred in the order of their places, and how many there are in all."""

    def __init__(self, faults: tuple[Fault, ...], count: int) -> None:
        super().__init__("; ".join(map(str, faults[:3])) + (f"; {count - 3} more" if count > 3 else ""))
        self.faults = faults
        self.count = count


class Faults:
    """Collects every fault of a script; keeps the first hundred, and counts the others."""

    def __init__(self) -> None:
        self._kept: list[Fault] = []
        self._count = 0

    def add(self, line: int, message: str, *, column: int = 1) -> None:
        self._count += 1
        if len(self._kept) < _MAX_FAULTS:
            self._kept.append(Fault(line=line, column=column, message=message))

    def check(self) -> None:
        """Raises InvalidScript if there is any fault."""
        if self._count:
            raise InvalidScript(tuple(sorted(self._kept, key=lambda fault: (fault.line, fault.column))), self._count)


@dataclass(frozen=True, slots=True, kw_only=True)
class CastMember:
    name: str
    description: str
    voice: str = ""
    """A preset voice, by its name; "" for none."""
    images: tuple[str, ...] = ()
    """Pictures in the film's own scene, `images/FILE`; at most 3."""
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The settings that a script brings. "" and None say that it is silent."""

    title: str = ""
    style: str = ""
    aspect: str = ""
    """Width and height of the picture, such as `16:9`."""
    language: str = ""
    """A language tag, such as `en` or `pt-BR`."""
    narrator: str = ""
    """The narrator's preset voice."""
    music: str = ""
    """A sound in the film's own scene, `audio/FILE`."""
    timing: Timing | None = None
    cast: tuple[CastMember, ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    """Keys that mean nothing here, with their values, as written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenLine:
    line: int
    speaker: str
    """The name as the cast has it, else as the script has it; `NARRATOR` for the narrator."""
    text: str
    direction: str = ""
    """How it is spoken, such as `out of breath`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptScene:
    line: int
    """Where the scene begins in the script."""
    number: str = ""
    """As written, such as `1A`."""
    title: str = ""
    setting: str = ""
    """Where and when it plays: Fountain's scene heading, which belongs into each picture of the scene."""
    hint: str = ""
    """Fountain's synopsis: what the picture is to tell."""
    start: float | None = None
    """Seconds from the beginning of the script, where it has times."""
    seconds: float | None = None
    """The length that the script gives, where it gives one."""
    visuals: tuple[str, ...] = ()
    """What is seen, by paragraph."""
    spoken: tuple[SpokenLine, ...] = ()
    captions: tuple[str, ...] = ()
    """Texts on the screen; one may have several lines."""
    sounds: tuple[str, ...] = ()
    music: tuple[str, ...] = ()
    transition: TransitionKind | None = None
    """How the scene ends, where the script says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    format: ScriptFormat
    header: Header
    preface: str = ""
    """What stands before the first scene and is neither seen nor spoken."""
    scenes: tuple[ScriptScene, ...] = field(default=())
