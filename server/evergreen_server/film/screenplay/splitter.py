"""The default way from a script to scenes and shots: by its times or its speech, with no model asked."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from evergreen_server.film.screenplay.cast import Names
from evergreen_server.film.screenplay.script import (
    MAX_SECONDS,
    MAX_SHOTS,
    Faults,
    Script,
    ScriptScene,
    Timing,
)
from evergreen_server.film.screenplay.sentences import first_sentence, sentences_of
from evergreen_server.film.screenplay.speech import LEAST_SECONDS, longest_seconds, speech_seconds

__all__ = ["Limits", "Outline", "SceneOutline", "ShotOutline", "split", "timing_of"]

_TINY: Final = 1e-6
"""Seconds by which arithmetic may pass a clip's length without another shot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the models of a film allow."""

    longest_clip: float
    """Seconds."""
    longest_line: int
    """Characters that are spoken at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotOutline:
    """One picture and one clip."""

    visual: str
    """What is seen, in whole sentences."""
    cast: tuple[str, ...]
    """Who of the cast is named in it, in the order of their first mention."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneOutline:
    scene: ScriptScene
    seconds: float
    longest: float
    """Seconds that the scene may take once its speech is measured, for which a quote reckons."""
    shots: tuple[ShotOutline, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    timing: Timing
    scenes: tuple[SceneOutline, ...]

    @property
    def seconds(self) -> float:
        return sum(scene.seconds for scene in self.scenes)


def timing_of(script: Script) -> Timing:
    """Returns what the scenes' lengths follow: what the header says, else the script's times if it has any."""
    if script.header.timing is not None:
        return script.header.timing
    return Timing.SCRIPT if any(scene.seconds is not None for scene in script.scenes) else Timing.SPEECH


def split(script: Script, limits: Limits, *, timing: Timing | None = None) -> Outline:
    """Returns the scenes with their lengths and shots, by the given timing or else by the script's own.

    A scene is as long as the script says, else as its speech, and then at least 4 s. One that is longer than the
    longest clip becomes shots of equal length, which share its sentences in their order.

    Raises InvalidScript for a line that is too long to be spoken at once, for more than 600 shots or 60 minutes.
    """
    timing = timing or timing_of(script)
    faults = Faults()
    names = Names(script.header.cast)
    outlines: list[SceneOutline] = []
    seconds, shots = 0.0, 0
    for scene in script.scenes:
        for line in scene.spoken:
            if len(line.text) > limits.longest_line:
                faults.add(
                    line.line,
                    f"{len(line.text)} characters are spoken at once; the model takes at most {limits.longest_line}",
                )
        length, longest = _lengths(scene, timing)
        count = max(1, math.ceil((length - _TINY) / limits.longest_clip))
        if seconds <= MAX_SECONDS < seconds + length:
            faults.add(scene.line, f"with this scene the film is longer than {MAX_SECONDS // 60} minutes")
        if shots <= MAX_SHOTS < shots + count:
            faults.add(scene.line, f"with this scene the film has more than {MAX_SHOTS} shots")
        seconds, shots = seconds + length, shots + count
        if shots > MAX_SHOTS:
            # Its faults are still looked for, and shots that nobody will see need not be made.
            continue
        outlines.append(
            SceneOutline(
                scene=scene,
                seconds=length,
                longest=longest,
                shots=tuple(
                    ShotOutline(visual=visual, cast=names.mentioned(visual), seconds=length / count)
                    for visual in _visuals(scene, count, script.header.language)
                ),
            )
        )
    faults.check()
    return Outline(timing=timing, scenes=tuple(outlines))


def _lengths(scene: ScriptScene, timing: Timing) -> tuple[float, float]:
    if timing is Timing.SCRIPT and scene.seconds is not None:
        return scene.seconds, scene.seconds
    speech = sum(speech_seconds(line.text) for line in scene.spoken)
    return max(LEAST_SECONDS, speech), float(longest_seconds(speech))


def _visuals(scene: ScriptScene, count: int, language: str) -> tuple[str, ...]:
    """Returns the text of each shot: whole sentences, in order, as evenly as they go; one for several if too few."""
    if count == 1 and scene.visuals:
        return (" ".join(scene.visuals),)
    sentences = [sentence for visual in scene.visuals for sentence in sentences_of(visual, language)]
    if not sentences:
        sentences = [_instead(scene, language)]
    if len(sentences) < count:
        return tuple(sentences[shot * len(sentences) // count] for shot in range(count))
    edges = [shot * len(sentences) // count for shot in range(count + 1)]
    return tuple(" ".join(sentences[begin:end]) for begin, end in pairwise(edges))


def _instead(scene: ScriptScene, language: str) -> str:
    """Returns what a scene without a visual is a picture of: the nearest that its script says."""
    if text := scene.hint or scene.title:
        return text
    if scene.spoken:
        return first_sentence(scene.spoken[0].text, language)
    return " ".join(scene.captions).replace("\n", " ")
