"""A plan as JSON that is edited by hand, and the edits that make the plan of it."""

import json
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final

import click
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from evergreen.v1.film_pb2 import CastMember, Film, FilmEdit, FilmSettings, SceneMove, ScenePlan

_MEMBERS: Final = ("plan_revision", "settings", "cast", "scenes")


def plan_text(film: Film) -> str:
    """Returns what of a film's plan may be edited, as JSON with the field names of the contract."""

    def shown(message: FilmSettings | CastMember | ScenePlan) -> object:
        return MessageToDict(message, preserving_proto_field_name=True)

    document = {
        "plan_revision": film.status.plan_revision,
        "settings": shown(film.settings),
        "cast": [shown(member) for member in film.cast],
        "scenes": [shown(each.scene) for each in film.scenes],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def edits_of(film: Film, text: str) -> list[FilmEdit]:
    """Returns the edits that make the plan of a text. Raises ClickException, also if it is of another plan."""
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or set(document) != set(_MEMBERS):
            raise click.ClickException(f"the plan must be an object of {', '.join(_MEMBERS)}")
        if document["plan_revision"] != film.status.plan_revision:
            text = f"this is plan {document['plan_revision']} of the film, which has {film.status.plan_revision} by now"
            raise click.ClickException(text)
        settings = ParseDict(document["settings"], FilmSettings())
        cast = [ParseDict(member, CastMember()) for member in document["cast"]]
        scenes = [ParseDict(scene, ScenePlan()) for scene in document["scenes"]]
    except (ValueError, TypeError, ParseError) as error:
        raise click.ClickException(f"the plan cannot be read: {error}") from None
    return [*_whole(film, settings, cast), *_scenes([each.scene for each in film.scenes], scenes)]


def _whole(film: Film, settings: FilmSettings, cast: Sequence[CastMember]) -> Iterator[FilmEdit]:
    if settings != film.settings:
        yield FilmEdit(settings=settings)
    known = {member.name: member for member in film.cast}
    if gone := known.keys() - {member.name for member in cast}:
        raise click.ClickException(f"a member of the cast cannot be removed: {', '.join(sorted(gone))}")
    yield from (FilmEdit(cast=member) for member in cast if member != known.get(member.name))


def _scenes(before: Sequence[ScenePlan], scenes: Sequence[ScenePlan]) -> Iterator[FilmEdit]:
    known = {scene.scene_id: scene for scene in before}
    kept = [scene.scene_id for scene in scenes if scene.scene_id]
    if unknown := [scene_id for scene_id in kept if scene_id not in known or kept.count(scene_id) > 1]:
        text = f"no scene of the plan, or there twice: {unknown[0]!r}; leave out the id of a new scene"
        raise click.ClickException(text)
    yield from (FilmEdit(delete_scene_id=scene_id) for scene_id in known if scene_id not in kept)
    yield from (FilmEdit(replace_scene=scene) for scene in scenes if scene.scene_id and scene != known[scene.scene_id])
    order = [scene_id for scene_id in known if scene_id in kept]
    stay = {
        order[number]
        for block in SequenceMatcher(None, order, kept, autojunk=False).get_matching_blocks()
        for number in range(block.a, block.a + block.size)
    }
    for scene_id, after in zip(kept, ["", *kept], strict=False):
        if scene_id not in stay:
            yield FilmEdit(move_scene=SceneMove(scene_id=scene_id), after_id=after)
    # From the end, since nobody knows the id of a new scene after which another one is to stand.
    for number in reversed(range(len(scenes))):
        if not scenes[number].scene_id:
            after = next((scene.scene_id for scene in reversed(scenes[:number]) if scene.scene_id), "")
            yield FilmEdit(insert_scene=scenes[number], after_id=after)
