"""How long scenes, shots and clips last, and when each line is spoken."""

from collections.abc import Mapping
from dataclasses import dataclass

from evergreen_server.film.choices import FilmModels
from evergreen_server.film.model import FilmSettings, PlannedScene

__all__ = ["LinePlace", "SceneLengths", "ShotLength", "lengths_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotLength:
    """One shot, in seconds."""

    seconds: float
    """How long it is seen; longer than its clip where the picture must be held until speech is over."""
    clip_seconds: int
    """What is asked of the model: the shortest length that it has and that is long enough, within `clip_longest`."""
    clip_longest: int
    """The longest that may be asked for once speech is measured; a quote reckons with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePlace:
    """When a line is spoken, in seconds from the start of its scene."""

    line_id: str
    start: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneLengths:
    seconds: float
    """The sum of its shots."""
    shots: tuple[ShotLength, ...]
    lines: tuple[LinePlace, ...]


def lengths_of(
    scene: PlannedScene, settings: FilmSettings, models: FilmModels, measured: Mapping[str, float]
) -> SceneLengths:
    """Returns the lengths of a scene, by the measured seconds of its lines' speech, or else by their estimate."""
    raise NotImplementedError
