"""The lengths that callers leave open when they edit scenes by hand."""

from dataclasses import replace
from typing import Final

from evergreen_server.film.composing.lengths import spoken_seconds
from evergreen_server.film.model import FilmSettings, PlannedScene
from evergreen_server.film.planning.choices import timed
from evergreen_server.film.screenplay.script import Timing
from evergreen_server.film.screenplay.speech import LEAST_SECONDS

__all__ = ["filled", "retimed_to"]

_LEAST_SHOT: Final = 1.0
"""Seconds of a shot for which the others leave no time."""


def filled(scene: PlannedScene, settings: FilmSettings) -> PlannedScene:
    """Returns a scene in which shots of 0 seconds share what the others leave of its length, and transitions have
    theirs. A scene that follows the script is as long as its shots.
    """
    opened = [shot for shot in scene.shots if shot.seconds == 0]
    if opened:
        left = _length(scene, settings) - sum(shot.seconds for shot in scene.shots)
        share = max(_LEAST_SHOT, left / len(opened))
        shots = tuple(shot if shot.seconds else replace(shot, seconds=share) for shot in scene.shots)
        scene = replace(scene, shots=shots)
    if settings.timing is Timing.SCRIPT and scene.seconds is not None:
        scene = replace(scene, seconds=float(sum(shot.seconds for shot in scene.shots)))
    return scene if scene.transition is None else replace(scene, transition=timed(scene.transition))


def retimed_to(scene: PlannedScene, settings: FilmSettings) -> PlannedScene:
    """Returns a scene as long as the settings' timing asks for, each shot with its part of it."""
    planned = sum(shot.seconds for shot in scene.shots)
    if scene.seconds is None or not planned:
        return scene
    by = _length(scene, settings) / planned
    return replace(scene, shots=tuple(replace(shot, seconds=shot.seconds * by) for shot in scene.shots))


def _length(scene: PlannedScene, settings: FilmSettings) -> float:
    if settings.timing is Timing.SCRIPT and scene.seconds is not None:
        return scene.seconds
    return max(LEAST_SECONDS, spoken_seconds(scene.lines))
