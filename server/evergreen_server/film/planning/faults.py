"""What a plan breaks, by the contract's fields, and what of it is not as one might expect."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from evergreen_server.film.composing.lengths import form_of
from evergreen_server.film.model import (
    LONGEST_PROMPT,
    LONGEST_TITLE,
    Actor,
    FilmWarning,
    FirstFrame,
    OnShotFailure,
    OutputKind,
    Plan,
    PlannedLine,
    PlannedScene,
    PlannedShot,
    Speech,
    output_key,
)
from evergreen_server.film.models import FilmModels
from evergreen_server.film.planning.choices import transition_fault
from evergreen_server.film.planning.requests import request_faults, request_warnings
from evergreen_server.film.screenplay.cast import NARRATORS, is_name, is_picture, name_key
from evergreen_server.film.screenplay.script import (
    MAX_CAST,
    MAX_LINES,
    MAX_PICTURES,
    MAX_SCENES,
    MAX_SECONDS,
    MAX_SHOTS,
)
from evergreen_server.film.screenplay.source import refused_character
from evergreen_server.ports.specs import FieldError, InvalidRequest, Json
from evergreen_storage.keys import id_error, path_error

__all__ = [
    "MAX_FAULTS",
    "MAX_NUMBERS",
    "MAX_PLAN_BYTES",
    "MAX_SCENE_BYTES",
    "faults_of",
    "scene_bytes",
    "scene_faults",
    "surveyed",
]

MAX_FAULTS: Final = 100
"""Of a plan's faults the first are named."""
MAX_SCENE_BYTES: Final = 2 * 1024 * 1024
"""So that a caller can read a scene, with what is said of each of its outputs, in one message of 4 MiB."""
MAX_PLAN_BYTES: Final = 4 * 1024 * 1024
MAX_NUMBERS: Final = 5_000
"""Scenes that a film ever had: whoever deletes it with its folders asks for each of them."""
_ITEM_BYTES: Final = 500
"""What a shot or a line takes besides its texts: ids, outputs and prices."""
_JSON_BYTES: Final = 4
"""What a character of JSON takes at most in a message: `[1, 1, …]` as doubles with their types."""
_MAX_WARNINGS: Final = 50
_MAX_CAPTIONS: Final = 20
_LONGEST_CAPTION: Final = 500
_LONGEST_NUMBER: Final = 40
_LONGEST_SPEAKER: Final = 60
_LONGEST_DIRECTION: Final = 500
_LONGEST_LINE: Final = 5_000
_LONGEST_DESCRIPTION: Final = 500
_LONGEST_OPTIONS: Final = 4_096
"""Characters of their JSON."""
_MOST_SEED: Final = 2**32 - 1
_VOICE: Final = re.compile(r"[A-Za-z][A-Za-z0-9 _-]{0,63}")


def surveyed(plan: Plan, models: FilmModels) -> tuple[FilmWarning, ...]:
    """Returns the warnings of a plan. Raises InvalidRequest with its faults, if there are any."""
    if faults := faults_of(plan, models):
        raise InvalidRequest(faults)
    return tuple(islice(request_warnings(plan, models), _MAX_WARNINGS))


def faults_of(plan: Plan, models: FilmModels) -> list[FieldError]:
    """Returns the first hundred faults of a plan, by the contract's fields, such as `scenes[3].shots[0].seconds`.

    What models refuse is looked for only where nothing else is wrong.
    """
    found = list(islice(_of_plan(plan, models), MAX_FAULTS))
    return found or list(islice(request_faults(plan, models), MAX_FAULTS))


def _of_plan(plan: Plan, models: FilmModels) -> Iterator[FieldError]:
    yield from _cast_faults(plan, models)
    if not 1 <= len(plan.scenes) <= MAX_SCENES:
        yield FieldError(field="scenes", description=f"A film has 1 to {MAX_SCENES} scenes, not {len(plan.scenes)}.")
    shots, lines = sum(1 for _ in plan.shots()), sum(1 for _ in plan.lines())
    seconds = sum(shot.seconds for _, shot in plan.shots())
    if shots > MAX_SHOTS:
        yield FieldError(field="scenes", description=f"A film has at most {MAX_SHOTS} shots, not {shots}.")
    if lines > MAX_LINES:
        yield FieldError(field="scenes", description=f"A film has at most {MAX_LINES} spoken lines, not {lines}.")
    if seconds > MAX_SECONDS:
        yield FieldError(field="scenes", description=f"A film lasts at most {MAX_SECONDS // 60} minutes.")
    if sum(map(scene_bytes, plan.scenes)) > MAX_PLAN_BYTES:
        size = f"The texts and options of a film take at most {MAX_PLAN_BYTES >> 20} MiB."
        yield FieldError(field="scenes", description=size)
    if plan.numbers_used > MAX_NUMBERS:
        said = f"The film has had {MAX_NUMBERS} scenes, and there are no more numbers; plan it under another film_id."
        yield FieldError(field="scenes", description=said)
    ids = Counter(
        [scene.scene_id for scene in plan.scenes]
        + [shot.shot_id for _, shot in plan.shots()]
        + [line.line_id for _, line in plan.lines()]
    )
    names = {actor.name for actor in plan.cast}
    for index, scene in enumerate(plan.scenes):
        at = f"scenes[{index}]"
        if text := id_error("scene", scene.scene_id):
            yield FieldError(field=f"{at}.scene_id", description=f"{text}.")
        elif scene.scene_id == plan.film_id:
            text = "The film's own folder has this name; choose another scene_prefix."
            yield FieldError(field="settings.scene_prefix", description=text)
        yield from _double(scene, at, ids)
        yield from scene_faults(scene, at, plan, models, names)
    if plan.scenes and plan.scenes[0].shots and plan.scenes[0].shots[0].first_frame is FirstFrame.PREVIOUS_CLIP:
        text = "No clip comes before the first one."
        yield FieldError(field="scenes[0].shots[0].first_frame", description=text)


def scene_faults(scene: PlannedScene, at: str, plan: Plan, models: FilmModels, names: set[str]) -> Iterator[FieldError]:
    """Yields what is wrong with a scene of a plan whose cast has these names, at fields that begin with `at`."""
    yield from _text(scene.title, f"{at}.title", LONGEST_TITLE)
    yield from _text(scene.number, f"{at}.number", _LONGEST_NUMBER)
    if scene.seconds is not None and not _is_length(scene.seconds):
        yield FieldError(field=f"{at}.seconds", description=f"More than 0 and at most {MAX_SECONDS}.")
    if len(scene.captions) > _MAX_CAPTIONS:
        yield FieldError(field=f"{at}.captions", description=f"At most {_MAX_CAPTIONS}.")
    for number, caption in enumerate(scene.captions[: _MAX_CAPTIONS + 1]):
        yield from _text(caption, f"{at}.captions[{number}]", _LONGEST_CAPTION, least=1)
    if scene.transition is not None:
        yield from transition_fault(scene.transition, f"{at}.transition")
    for number, line in enumerate(scene.lines):
        yield from _line_faults(line, f"{at}.lines[{number}]")
    if scene_bytes(scene) > MAX_SCENE_BYTES:
        text = f"The texts and options of a scene take at most {MAX_SCENE_BYTES >> 20} MiB."
        yield FieldError(field=at, description=text)
    if not scene.shots:
        yield FieldError(field=f"{at}.shots", description="A scene has at least one shot.")
    for number, shot in enumerate(scene.shots):
        yield from _shot_faults(shot, f"{at}.shots[{number}]", plan, models, names)


def scene_bytes(scene: PlannedScene) -> int:
    """Returns the most bytes that a scene takes in a message, about."""
    texts = [scene.title, scene.number, *scene.captions]
    texts += [text for line in scene.lines for text in (line.speaker, line.text, line.direction)]
    texts += [text for shot in scene.shots for text in (shot.picture_prompt, shot.motion_prompt, *shot.cast)]
    options = (each for shot in scene.shots for each in (shot.picture_options, shot.clip_options) if each)
    return (
        sum(len(text.encode(errors="replace")) for text in texts)
        + _JSON_BYTES * sum(len(json.dumps(each)) for each in options)
        + _ITEM_BYTES * (len(scene.shots) + len(scene.lines))
    )


def _double(scene: PlannedScene, at: str, ids: Counter[str]) -> Iterator[FieldError]:
    named = [(f"{at}.scene_id", scene.scene_id)]
    named += [(f"{at}.shots[{index}].shot_id", shot.shot_id) for index, shot in enumerate(scene.shots)]
    named += [(f"{at}.lines[{index}].line_id", line.line_id) for index, line in enumerate(scene.lines)]
    for field, name in named:
        if ids[name] > 1:
            yield FieldError(field=field, description=f"{name} is there twice.")


def _line_faults(line: PlannedLine, at: str) -> Iterator[FieldError]:
    yield from _text(line.text, f"{at}.text", _LONGEST_LINE, least=1)
    yield from _text(line.speaker, f"{at}.speaker", _LONGEST_SPEAKER)
    yield from _text(line.direction, f"{at}.direction", _LONGEST_DIRECTION)


def _shot_faults(shot: PlannedShot, at: str, plan: Plan, models: FilmModels, names: set[str]) -> Iterator[FieldError]:
    needed = shot.first_frame is not FirstFrame.PREVIOUS_CLIP
    yield from _text(shot.picture_prompt, f"{at}.picture_prompt", LONGEST_PROMPT, least=int(needed))
    yield from _text(shot.motion_prompt, f"{at}.motion_prompt", LONGEST_PROMPT)
    form = form_of(shot, models)
    if form is None:
        text = f"{models.clip.model} makes no clips that begin so, of the aspect {plan.settings.aspect}."
        yield FieldError(field=f"{at}.first_frame", description=text)
    longest = form.durations[-1] if form is not None else MAX_SECONDS
    if not (_is_length(shot.seconds) and shot.seconds <= longest):
        text = f"More than 0 and at most {longest}, the longest clip of {models.clip.model}."
        yield FieldError(field=f"{at}.seconds", description=text)
    if shot.seed is not None and not 0 <= shot.seed <= _MOST_SEED:
        yield FieldError(field=f"{at}.seed", description=f"A whole number from 0 to {_MOST_SEED}.")
    for number, name in enumerate(shot.cast[: MAX_CAST + 1]):
        if name not in names:
            known = ", ".join(sorted(names)) or "nobody"
            yield FieldError(field=f"{at}.cast[{number}]", description=f"Not in the cast, which is {known}.")
    if len(set(shot.cast)) < len(shot.cast):
        yield FieldError(field=f"{at}.cast", description="Each name once.")
    seen = shot.first_frame is FirstFrame.PICTURE or output_key(shot.shot_id, OutputKind.PICTURE) in plan.chosen
    if shot.on_failure is OnShotFailure.STILL and not seen:
        yield FieldError(field=f"{at}.on_failure", description="The shot has no picture to show in its stead.")
    for name in ("picture_options", "clip_options"):
        yield from _options_faults(getattr(shot, name), f"{at}.{name}")


def _options_faults(options: Mapping[str, Json], at: str) -> Iterator[FieldError]:
    try:
        size = len(json.dumps(options, allow_nan=False))
    except ValueError:
        yield FieldError(field=at, description="Every number in it is finite.")
        return
    if size > _LONGEST_OPTIONS:
        yield FieldError(field=at, description=f"At most {_LONGEST_OPTIONS} characters of JSON.")
    elif refused := next((refused for text in _texts_in(options) if (refused := refused_character(text))), ""):
        yield FieldError(field=at, description=f"The character {refused} is not allowed.")


def _texts_in(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for key, item in value.items():
                yield str(key)
                yield from _texts_in(item)
        case list():
            for item in value:
                yield from _texts_in(item)
        case _:
            pass


def _cast_faults(plan: Plan, models: FilmModels) -> Iterator[FieldError]:
    if len(plan.cast) > MAX_CAST:
        yield FieldError(field="cast", description=f"At most {MAX_CAST} members.")
    keys = Counter(name_key(actor.name) for actor in plan.cast)
    for index, actor in enumerate(plan.cast[: MAX_CAST + 1]):
        at = f"cast[{index}]"
        if not is_name(actor.name):
            yield FieldError(
                field=f"{at}.name", description="1 to 60 letters, digits, spaces and .'&#/-, with a letter."
            )
        elif name_key(actor.name) in NARRATORS:
            text = "The narrator, whose voice is settings.narrator_voice."
            yield FieldError(field=f"{at}.name", description=text)
        elif keys[name_key(actor.name)] > 1:
            yield FieldError(field=f"{at}.name", description=f"{actor.name} is in the cast twice.")
        yield from actor_faults(actor, at, plan, models)


def actor_faults(actor: Actor, at: str, plan: Plan, models: FilmModels) -> Iterator[FieldError]:
    """Yields what is wrong with a member of the cast besides the name, at fields that begin with `at`."""
    yield from _text(actor.description, f"{at}.description", _LONGEST_DESCRIPTION)
    if len(actor.images) > MAX_PICTURES:
        yield FieldError(field=f"{at}.assets", description=f"At most {MAX_PICTURES}.")
    for number, asset in enumerate(actor.images[: MAX_PICTURES + 1]):
        if not is_picture(asset):
            text = "A picture of the film's own scene, images/FILE with a name ending in .png, .jpg or .webp."
            yield FieldError(field=f"{at}.assets[{number}]", description=text)
    speech, spoken = models.speech, plan.settings.speech is Speech.GENERATED
    if actor.voice and not _VOICE.fullmatch(actor.voice):
        yield FieldError(field=f"{at}.voice", description="The name of a preset voice.")
    elif actor.voice and spoken and actor.voice not in speech.voices:
        has = f"its voices: {', '.join(speech.voices)}" if speech.voices else "it has no preset voices"
        yield FieldError(field=f"{at}.voice", description=f"{speech.model} has no voice {actor.voice}; {has}.")
    if actor.voice_asset and (not actor.voice_asset.startswith("audio/") or path_error(actor.voice_asset)):
        yield FieldError(field=f"{at}.voice_asset", description="A sound of the film's own scene, audio/FILE.")
    elif actor.voice_asset and spoken and not speech.sounds:
        text = f"{speech.model} takes no voice from a sound."
        yield FieldError(field=f"{at}.voice_asset", description=text)


def _text(text: str, field: str, most: int, *, least: int = 0) -> Iterator[FieldError]:
    if len(text) > most:
        yield FieldError(field=field, description=f"At most {most} characters, not {len(text)}.")
    elif refused := refused_character(text):
        yield FieldError(field=field, description=f"The character {refused} is not allowed.")
    elif least and not text.strip():
        yield FieldError(field=field, description="Required.")


def _is_length(seconds: float) -> bool:
    return math.isfinite(seconds) and 0 < seconds <= MAX_SECONDS
