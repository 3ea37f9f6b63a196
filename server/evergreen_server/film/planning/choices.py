"""What holds for a whole film: its settings and its cast, from what callers give, the script says, and the film had."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from evergreen_server.film.model import (
    MAX_CANDIDATES,
    MAX_TRANSITION_SECONDS,
    TRANSITION_SECONDS,
    Actor,
    FilmSettings,
    Plan,
    Speech,
    Transition,
)
from evergreen_server.film.models import (
    ClipForm,
    ClipModel,
    FilmModels,
    PictureModel,
    SpeechModel,
    models_of,
)
from evergreen_server.film.profiles import profiles_of, shape_of
from evergreen_server.film.screenplay.cast import name_key
from evergreen_server.film.screenplay.header import ASPECT, LANGUAGE
from evergreen_server.film.screenplay.script import CastMember, Header, Script, Timing, TransitionKind
from evergreen_server.film.screenplay.source import refused_character
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_storage.keys import id_error, path_error

__all__ = [
    "ClipForm", "ClipModel", "FilmModels", "PictureModel", "SpeechModel", "cast_of", "header_digests", "models_of",
    "settings_of", "timed", "transition_fault",
]  # fmt: skip

_LONGEST_STYLE: Final = 2_000
_LONGEST_PREFIX: Final = 40
_LONGEST_NAME: Final = 100
"""Characters of the name of a model, a voice or a language."""
_WIDEST: Final = 4.0
"""Of width / height, and of height / width."""

_Value = TypeVar("_Value")

_TEXTS: Final = (
    "scene_prefix", "aspect", "picture_model", "clip_model", "speech_model", "style", "narrator_voice", "language",
    "music",
)  # fmt: skip


def settings_of(
    given: Mapping[str, object],
    script: Script | None = None,
    before: Plan | None = None,
    *,
    default: FilmSettings | None = None,
) -> FilmSettings:
    """Returns the settings of a film: what is given goes before what the script says, that before what the film had.

    `given` has the contract's field names: texts; a Timing, a Speech; a whole number of `candidates`; a Transition; and
    for `profiles` mappings with the fields of an ExportProfile. "", 0, None and () are not given. What the script's
    header says as it did before leaves an edit of the caller's alone.

    Raises InvalidRequest with every fault, at `settings.…`.
    """
    usual = before.settings if before is not None else default or FilmSettings()
    faults: list[FieldError] = []
    if script is not None:
        usual = _as_the_script_says(usual, script, before)
    texts = {name: str(given.get(name) or getattr(usual, name)) for name in _TEXTS}
    transition = _given(given, "transition", Transition) or usual.transition
    profiles = given.get("profiles")
    settings = FilmSettings(
        **texts,
        timing=_given(given, "timing", Timing) or usual.timing,
        speech=_given(given, "speech", Speech) or usual.speech,
        candidates=_given(given, "candidates", int) or usual.candidates,
        transition=timed(transition),
        profiles=profiles_of(profiles, faults, field="settings.profiles")
        if isinstance(profiles, Sequence) and profiles
        else usual.profiles,
    )
    faults += _faults(settings)
    if faults:
        raise InvalidRequest(faults)
    return settings


def cast_of(given: Sequence[Actor], header: Header, before: Plan | None = None) -> tuple[Actor, ...]:
    """Returns the cast: who is in the header, then who else the film had; by what is given before both.

    What a header says of somebody as it did before leaves an edit of the caller's alone; whoever is in it no more is
    out of the film. What it leaves out is as the film had it.
    """
    had = {} if before is None else {name_key(actor.name): actor for actor in before.cast}
    said = {} if before is None else before.header
    cast: dict[str, Actor] = {}
    for member in header.cast:
        key = name_key(member.name)
        old = had.get(key)
        unchanged = said.get(_cast_key(key)) == _of_member(member)
        cast[key] = old if old is not None and unchanged else _actor(member, old)
    for key, actor in had.items():
        if key not in cast and _cast_key(key) not in said:
            cast[key] = actor
    cast |= {name_key(actor.name): actor for actor in given}
    return tuple(cast.values())


def header_digests(script: Script) -> dict[str, str]:
    """Returns what the plan keeps of a script's header, to tell what a later one says anew."""
    header = script.header
    values = {key: value for key, value in _said(script).items() if value}
    digests = {key: _digest(value) for key, value in values.items()}
    return digests | {_cast_key(name_key(member.name)): _of_member(member) for member in header.cast}


def timed(transition: Transition) -> Transition:
    """Returns a transition with its seconds: none for a cut, the usual ones where nobody says."""
    if transition.kind is TransitionKind.CUT:
        return Transition()
    return transition if transition.seconds else replace(transition, seconds=TRANSITION_SECONDS)


def transition_fault(transition: Transition, field: str) -> Iterator[FieldError]:
    """Yields what is wrong with the seconds of a transition."""
    if not 0 <= transition.seconds <= MAX_TRANSITION_SECONDS:
        text = f"A number from 0 to {MAX_TRANSITION_SECONDS:g}."
        yield FieldError(field=f"{field}.seconds", description=text)


def _said(script: Script) -> dict[str, str]:
    """Returns the settings that a script brings. One with times says by them that its scenes are as long."""
    header, times = script.header, any(scene.seconds is not None for scene in script.scenes)
    return {
        "style": header.style,
        "aspect": header.aspect,
        "language": header.language,
        "narrator_voice": header.narrator,
        "music": header.music,
        "timing": header.timing or (Timing.SCRIPT if times else ""),
    }


def _as_the_script_says(usual: FilmSettings, script: Script, before: Plan | None) -> FilmSettings:
    known = {} if before is None else before.header
    said = {key: value for key, value in _said(script).items() if value and known.get(key) != _digest(value)}
    timing = Timing(said.pop("timing")) if "timing" in said else usual.timing
    texts = {name: said.get(name, getattr(usual, name)) for name in _TEXTS}
    return replace(usual, **texts, timing=timing)


def _faults(settings: FilmSettings) -> Iterator[FieldError]:
    for name, text in _wrong(settings):
        yield FieldError(field=f"settings.{name}", description=text)
    for name in _TEXTS:
        value, most = getattr(settings, name), _LONGEST_STYLE if name == "style" else _LONGEST_NAME
        most = 140 if name == "music" else most
        if len(value) > most:
            yield FieldError(field=f"settings.{name}", description=f"At most {most} characters.")
        if refused := refused_character(value):
            yield FieldError(field=f"settings.{name}", description=f"The character {refused} is not allowed.")
    yield from transition_fault(settings.transition, "settings.transition")


def _wrong(settings: FilmSettings) -> Iterator[tuple[str, str]]:
    prefix = settings.scene_prefix
    if text := id_error("scene", f"{prefix}-1"):
        yield "scene_prefix", text.replace("scene id", "scene id that begins with it") + "."
    elif len(prefix) > _LONGEST_PREFIX:
        yield "scene_prefix", f"At most {_LONGEST_PREFIX} characters."
    if not ASPECT.fullmatch(settings.aspect):
        yield "aspect", "WIDTH:HEIGHT, such as 16:9."
    elif not 1 / _WIDEST <= shape_of(settings.aspect) <= _WIDEST:
        yield "aspect", f"Neither wider nor taller than {_WIDEST:g}:1."
    if settings.language and not LANGUAGE.fullmatch(settings.language):
        yield "language", "A language tag, such as en or pt-BR."
    if settings.music and (not settings.music.startswith("audio/") or path_error(settings.music)):
        yield "music", "A sound in the film's own scene, audio/FILE."
    if not 1 <= settings.candidates <= MAX_CANDIDATES:
        yield "candidates", f"A whole number from 1 to {MAX_CANDIDATES}."


def _actor(member: CastMember, old: Actor | None) -> Actor:
    new = Actor(name=member.name, description=member.description, images=member.images, voice=member.voice)
    if old is None:
        return new
    return replace(
        new,
        description=new.description or old.description,
        images=new.images or old.images,
        voice=new.voice or old.voice,
        voice_asset=old.voice_asset,
    )


def _given(given: Mapping[str, object], name: str, kind: type[_Value]) -> _Value | None:
    value = given.get(name)
    return value if isinstance(value, kind) else None


def _cast_key(key: str) -> str:
    return f"cast {key}"


def _of_member(member: CastMember) -> str:
    return _digest("\n".join((member.name, member.description, member.voice, *member.images)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
