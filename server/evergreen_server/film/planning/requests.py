"""The requests of a whole plan as the models will see them, before anything is made: what they refuse, and warnings."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from evergreen_server.film.composing.compose import Composed, compose_clip, compose_picture, compose_speech
from evergreen_server.film.composing.lengths import form_of, lengths_of
from evergreen_server.film.model import (
    FilmWarning,
    FirstFrame,
    OutputKind,
    Plan,
    PlannedScene,
    Speech,
    output_key,
)
from evergreen_server.film.models import FilmModels
from evergreen_server.film.screenplay.cast import name_key
from evergreen_server.ports.specs import FieldError

__all__ = ["request_faults", "request_warnings"]

_SETTINGS: Final[Mapping[OutputKind, str]] = {
    OutputKind.PICTURE: "picture_model",
    OutputKind.CLIP: "clip_model",
    OutputKind.SPEECH: "speech_model",
}
_FIELDS: Final[Mapping[OutputKind, Mapping[str, str]]] = {
    OutputKind.PICTURE: {
        "prompt_text": "picture_prompt",
        "media": "cast",
        "seed": "seed",
        "options": "picture_options",
    },
    OutputKind.CLIP: {
        "prompt_text": "motion_prompt",
        "media": "first_frame",
        "duration_seconds": "seconds",
        "seed": "seed",
        "options": "clip_options",
    },
    OutputKind.SPEECH: {"prompt_text": "text", "parameters": "speaker"},
}
"""Fields of shots and lines by those of their requests."""
_OF_FILM: Final[Mapping[str, str]] = {
    "ratio": "settings.aspect",
    "parameters.output_count": "settings.candidates",
    "parameters.language": "settings.language",
}


def request_faults(plan: Plan, models: FilmModels) -> Iterator[FieldError]:
    """Yields what models refuse of a plan in which nothing else is wrong, at the plan's own fields."""
    for at, composed in _composed(plan, models):
        for error in models.table.field_errors(composed.spec):
            yield FieldError(field=_field(error.field, at, composed.kind), description=error.description)


def request_warnings(plan: Plan, models: FilmModels) -> Iterator[FilmWarning]:
    """Yields the warnings of all requests, and who has no voice."""
    yield from _voiceless(plan, models)
    for _, composed in _composed(plan, models):
        yield from composed.warnings


def _composed(plan: Plan, models: FilmModels) -> Iterator[tuple[str, Composed]]:
    for index, scene in enumerate(plan.scenes):
        at = f"scenes[{index}]"
        lengths = lengths_of(scene, plan.settings, models, {})
        yield from _speech(plan, models, scene, at)
        for number, shot in enumerate(scene.shots):
            where = f"{at}.shots[{number}]"
            chosen = {kind for kind in OutputKind if output_key(shot.shot_id, kind) in plan.chosen}
            if shot.first_frame is FirstFrame.PICTURE and OutputKind.PICTURE not in chosen:
                yield where, compose_picture(plan, models, scene, shot, {})
            if form_of(shot, models) is not None and OutputKind.CLIP not in chosen:
                yield where, compose_clip(plan, models, scene, shot, picture=None, measured={}, lengths=lengths)


def _speech(plan: Plan, models: FilmModels, scene: PlannedScene, at: str) -> Iterator[tuple[str, Composed]]:
    if plan.settings.speech is Speech.GENERATED:
        for number, line in enumerate(scene.lines):
            if output_key(line.line_id, OutputKind.SPEECH) not in plan.chosen:
                yield f"{at}.lines[{number}]", compose_speech(plan, models, scene, line, {})


def _voiceless(plan: Plan, models: FilmModels) -> Iterator[FilmWarning]:
    if plan.settings.speech is not Speech.GENERATED or not models.speech.voices:
        return
    voices = {name_key(actor.name) for actor in plan.cast if actor.voice or actor.voice_asset}
    speakers = dict.fromkeys(line.speaker for _, line in plan.lines() if line.speaker)
    for speaker in speakers:
        if name_key(speaker) not in voices:
            text = f"{speaker} has no voice in the cast, and speaks with the narrator's."
            yield FilmWarning(code="VOICE_SHARED", message=text)


def _field(field: str, at: str, kind: OutputKind) -> str:
    """Returns the plan's field for one of a request's."""
    if field in _OF_FILM:
        return _OF_FILM[field]
    if field == "model":
        return f"settings.{_SETTINGS[kind]}"
    begin = re.split(r"[.\[]", field, maxsplit=1)[0]
    ours = _FIELDS[kind].get(begin)
    if ours is None:
        return at
    return f"{at}.{ours}{field.removeprefix(begin) if begin == 'options' else ''}"
