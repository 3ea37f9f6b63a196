"""What the service asks of a decoder's process and what that answers: each one line of JSON.

An answer comes from a process that a hostile file may have taken over, so it is read as data, never as code.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Self

from evergreen_server.ports.catalog import PictureRule
from evergreen_server.ports.media import MAX_PAUSES, Pauses


class Work(Enum):
    """What is done with a file."""

    PICTURE = "picture"
    MEASURE = "measure"
    PROBE = "probe"
    HEAR = "hear"
    PAUSES = "pauses"
    POSTER = "poster"
    LAST_FRAME = "last frame"
    THUMBNAIL = "thumbnail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One file to decode. `target` is where the resulting picture is written, `width` how wide a thumbnail may be."""

    work: Work
    source: str
    target: str = ""
    rule: PictureRule = field(default_factory=PictureRule)
    width: int = 0

    def line(self) -> bytes:
        return json.dumps({**asdict(self), "work": self.work.value}).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Self:
        value = json.loads(line)
        return cls(**{**value, "work": Work(value["work"]), "rule": PictureRule(**value["rule"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a file holds, or why that is not known: the file is `refused`, or the disk failed with `errno`.

    `cause` is for the log. `spent`: the process had not enough memory, and is not used again.
    """

    content_type: str = ""
    width: int = 0
    height: int = 0
    duration_seconds: float = 0.0
    codec: str = ""
    frame_rate: float = 0.0
    warnings: tuple[str, ...] = ()
    pauses: Pauses = ()
    refused: str = ""
    reason: str = ""
    unreadable: bool = False
    errno: int = 0
    cause: str = ""
    spent: bool = False

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Self:
        """Raises ValueError where a line is no answer, whatever else it is."""
        try:
            value = json.loads(line)
            if isinstance(value, dict):
                value |= {"warnings": tuple(value["warnings"]), "pauses": _pauses(value["pauses"])}
            answer = cls(**value if isinstance(value, dict) else {})
        except (TypeError, LookupError, RecursionError) as exc:
            raise ValueError("no answer of a decoder") from exc
        kinds = {name: type(default) for name, default in asdict(cls()).items()}
        if not isinstance(value, dict) or any(type(getattr(answer, name)) is not kind for name, kind in kinds.items()):
            raise ValueError("no answer of a decoder")
        return answer


def _pauses(value: Iterable[object]) -> Pauses:
    """Raises ValueError or TypeError unless these are pauses in their order, none of which overlaps another."""
    found: list[tuple[float, float]] = []
    before = 0.0
    for pause in value:
        match pause:
            case [float() as start, float() as end] if before <= start < end < math.inf and len(found) < MAX_PAUSES:
                found.append((start, end))
                before = end
            case _:
                raise ValueError("no pauses of a sound")
    return tuple(found)
