"""The scenes of a script as they are planned, before anything has an id."""

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from evergreen_server.film.composing.prompts import shortened
from evergreen_server.film.model import (
    LONGEST_PROMPT,
    Actor,
    PlannedLine,
    PlannedScene,
    PlannedShot,
    Transition,
)
from evergreen_server.film.planning.choices import timed
from evergreen_server.film.screenplay.cast import Names
from evergreen_server.film.screenplay.script import CastMember, ScriptScene, SpokenLine
from evergreen_server.film.screenplay.splitter import SceneOutline, ShotOutline

__all__ = ["Drafter"]

_PLACES: Final = (
    (re.compile(r"(?:INT|EXT)\.?/(?:INT|EXT)\.?\s+|I/E\.?\s+", re.IGNORECASE), "Interior and exterior"),
    (re.compile(r"INT\.?\s+", re.IGNORECASE), "Interior"),
    (re.compile(r"(?:EXT|EST)\.?\s+", re.IGNORECASE), "Exterior"),
)
"""How Fountain's headings begin, and what that is in words."""


class Drafter:
    """Makes planned scenes of a script's, for a film of this cast and language."""

    def __init__(self, cast: Sequence[Actor], language: str) -> None:
        self._names = Names(CastMember(name=actor.name, description="", line=0) for actor in cast)
        self._language = language

    def draft(self, outline: SceneOutline) -> PlannedScene:
        """Returns the scene of an outline without any ids."""
        scene = outline.scene
        spoken = tuple(f"{line.speaker}\n{line.text}\n{line.direction}" for line in scene.spoken)
        seen = (scene.title, scene.setting, scene.hint, *scene.visuals)
        # What stands for a picture where nothing is seen.
        seen = seen if scene.visuals else (*seen, *spoken, *scene.captions)
        said = (*seen, "", *spoken, "", *scene.captions, str(scene.seconds), str(scene.transition))
        return PlannedScene(
            scene_id="",
            number=scene.number,
            title=scene.title or scene.setting,
            script_line=scene.line,
            script_digest=_digest(said),
            shots_digest=_digest(seen),
            seconds=scene.seconds,
            lines=tuple(map(_line, scene.spoken)),
            captions=scene.captions,
            shots=tuple(self._shot(scene, shot) for shot in outline.shots),
            transition=timed(Transition(kind=scene.transition)) if scene.transition is not None else None,
        )

    def mentioned(self, text: str) -> tuple[str, ...]:
        """Returns who of the cast is named in a text, in the order of their first mention."""
        return self._names.mentioned(text)

    def _shot(self, scene: ScriptScene, shot: ShotOutline) -> PlannedShot:
        # A scene in which nothing is described shows its place alone.
        visual = "" if shot.visual == scene.setting else shot.visual
        seen = " ".join(part for part in (_place(scene.setting), visual) if part)
        return PlannedShot(
            shot_id="",
            picture_prompt=shortened(seen, LONGEST_PROMPT, self._language).text,
            motion_prompt=shortened(visual or seen, LONGEST_PROMPT, self._language).text,
            seconds=shot.seconds,
            cast=self.mentioned(shot.visual),
        )


def _line(line: SpokenLine) -> PlannedLine:
    return PlannedLine(
        line_id="",
        speaker=line.speaker,
        text=line.text,
        direction=line.direction,
        script_digest=_digest((line.speaker, line.text, line.direction)),
    )


def _place(setting: str) -> str:
    """Returns a scene heading in words: `EXT. HARBOUR - NIGHT` is `Exterior, harbour, night.`"""
    heading, where = setting.strip(), ""
    for form, words in _PLACES:
        if found := form.match(heading):
            heading, where = heading[found.end() :], words
            break
    # In capitals a picture's model might take it for lettering.
    heading = heading.lower() if heading.isupper() else heading
    parts = [part for part in (where, *(piece.strip() for piece in heading.split(" - "))) if part]
    words = ", ".join(parts)
    return f"{words[0].upper()}{words[1:]}." if words else ""


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
