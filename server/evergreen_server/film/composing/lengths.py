"""How long scenes, shots and clips last, and when each line is spoken."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from evergreen_server.film.model import FilmSettings, FirstFrame, PlannedLine, PlannedScene, PlannedShot, Speech
from evergreen_server.film.models import ClipForm, FilmModels
from evergreen_server.film.screenplay.script import Timing
from evergreen_server.film.screenplay.speech import longest_seconds, speech_seconds

__all__ = ["LinePlace", "SceneLengths", "ShotLength", "form_of", "lengths_of", "spoken_seconds"]

_LEAD_SECONDS: Final = 0.3
"""From the start of a scene until its first line."""
_GAP_SECONDS: Final = 0.35
"""Between two lines of a scene."""
_TINY: Final = 1e-6
"""Seconds by which arithmetic may pass a clip's length without a longer clip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotLength:
    """One shot, in seconds."""

    seconds: float
    """How long it is seen; longer than its clip where the picture must be held until speech is over."""
    clip_seconds: int
    """What is asked of the model: the shortest length that it has and that is long enough, within `clip_longest`."""
    clip_longest: int
    """The longest that may be asked for once speech is measured; a quote reckons with it."""
    clip_shortest: int
    """What is asked for however short the speech turns out to be."""


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
    """Returns the lengths of a scene, by the measured seconds of its lines' speech, or else by their estimate.

    Speech that is longer than planned lengthens every shot of a scene that follows its speech, and else the last one.
    No clip is asked for that is longer than 1.25 times the estimate of the speech: beyond it the picture is held.
    """
    lines = tuple(_places(scene.lines, measured))
    planned = sum(shot.seconds for shot in scene.shots)
    needed = planned
    if settings.speech is Speech.GENERATED and lines:
        needed = max(planned, lines[-1].start + lines[-1].seconds)
    follows = settings.speech is Speech.GENERATED and not _scripted(scene, settings)
    most = max(planned, _spoken_most(scene)) if follows else planned
    shots = [
        _length(shot, form_of(shot, models), needed / planned if follows else 1.0, most / planned)
        for shot in scene.shots
    ]
    if shots and not follows:
        shots[-1] = replace(shots[-1], seconds=shots[-1].seconds + needed - planned)
    return SceneLengths(seconds=needed, shots=tuple(shots), lines=lines)


def form_of(shot: PlannedShot, models: FilmModels) -> ClipForm | None:
    """Returns what a shot's clip is made by; None where the model cannot begin as the shot says, which is a fault."""
    return models.clip.from_text if shot.first_frame is FirstFrame.NONE else models.clip.from_picture


def spoken_seconds(lines: Sequence[PlannedLine]) -> float:
    """Returns about how long lines take to be spoken."""
    return sum(speech_seconds(line.text) for line in lines)


def _spoken_most(scene: PlannedScene) -> float:
    """Returns how long a scene that follows its speech may become by it, for which a quote reckons."""
    return float(longest_seconds(spoken_seconds(scene.lines)))


def _scripted(scene: PlannedScene, settings: FilmSettings) -> bool:
    return settings.timing is Timing.SCRIPT and scene.seconds is not None


def _places(lines: Sequence[PlannedLine], measured: Mapping[str, float]) -> Iterator[LinePlace]:
    start = _LEAD_SECONDS
    for line in lines:
        seconds = measured.get(line.line_id, speech_seconds(line.text))
        yield LinePlace(line_id=line.line_id, start=start, seconds=seconds)
        start += seconds + _GAP_SECONDS


def _length(shot: PlannedShot, form: ClipForm | None, by: float, most: float) -> ShotLength:
    seconds = shot.seconds * by
    longest = _asked(shot.seconds * most, form)
    return ShotLength(
        seconds=seconds,
        clip_seconds=min(_asked(seconds, form), longest),
        clip_longest=longest,
        clip_shortest=_asked(shot.seconds, form),
    )


def _asked(seconds: float, form: ClipForm | None) -> int:
    if form is None:
        return 0
    durations = form.durations
    return next((length for length in durations if length >= seconds - _TINY), durations[-1])
