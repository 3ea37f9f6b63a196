"""Who plays in a film, as its requests tell it: pictures with their tags, and voices."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from evergreen_server.film.model import Actor, Plan, PlannedLine, PlannedShot
from evergreen_server.film.models import FilmModels
from evergreen_server.film.screenplay.cast import name_key

__all__ = ["actors_of", "references_of", "tags_of", "voice_of"]

_TAG: Final = re.compile(r"[^a-z0-9]+")


def actors_of(plan: Plan, shot: PlannedShot) -> list[Actor]:
    """Returns who of the cast is in a shot, in the order that it names them."""
    by_name = {actor.name: actor for actor in plan.cast}
    return [by_name[name] for name in shot.cast if name in by_name]


def references_of(actors: Sequence[Actor], most: int) -> tuple[list[tuple[str, str]], int]:
    """Returns the pictures that are sent, with whom they show, and how many are left out.

    The first of each actor goes before the second of any, so that nobody is left out for another's third.
    """
    turns = max((len(actor.images) for actor in actors), default=0)
    ranked = [(actor.name, actor.images[turn]) for turn in range(turns) for actor in actors if turn < len(actor.images)]
    order = [actor.name for actor in actors]
    kept = sorted(ranked[:most], key=lambda one: order.index(one[0]))
    return kept, len(ranked) - len(kept)


def tags_of(cast: Sequence[Actor]) -> dict[str, str]:
    """Returns by name the tag by which prompts mention an actor's pictures: 3 to 13 of a-z, 0-9 and _, all different.

    A tag depends on the names alone, and on those before it only where they are alike.
    """
    tags: dict[str, str] = {}
    for actor in cast:
        plain = unicodedata.normalize("NFKD", actor.name).encode("ascii", "ignore").decode().lower()
        word = _TAG.sub("_", plain).strip("_").lstrip("0123456789_")[:10].strip("_")
        # An underscore before a digit is left to the numbers of an actor's pictures.
        word = re.sub(r"_(?=\d)", "", word)
        word = word if len(word) >= 3 else f"cast_{word}".rstrip("_")
        tag, number = word, 1
        while tag in tags.values():
            number += 1
            tag = f"{word}{number}"
        tags[actor.name] = tag
    return tags


def voice_of(plan: Plan, models: FilmModels, line: PlannedLine) -> tuple[str, str]:
    """Returns the preset voice of a line, or else the sound that it is taken from; both empty where the model chooses.

    A speaker without a voice has the narrator's, and a narrator without one the model's first.
    """
    actor = next((one for one in plan.cast if line.speaker and name_key(one.name) == name_key(line.speaker)), None)
    if actor is not None and actor.voice_asset and models.speech.sounds:
        return "", actor.voice_asset
    voices = models.speech.voices
    if not voices:
        return "", ""
    return (actor.voice if actor is not None else "") or plan.settings.narrator_voice or voices[0], ""
