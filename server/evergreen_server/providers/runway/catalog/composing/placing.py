"""Composes the body of an operation that makes no clip, by its layout."""

from collections.abc import Mapping, Sequence

from evergreen_server.ports.specs import GenerationSpec, Json, PreparedMedia
from evergreen_server.providers.runway.catalog.composing.composition import Composition, begin, whole
from evergreen_server.providers.runway.catalog.composing.layouts import Layout, Place, rule_of
from evergreen_server.providers.runway.catalog.rows.recipes import RECIPES, VERSIONS
from evergreen_server.providers.runway.catalog.rows.vocabulary import Row
from evergreen_server.providers.runway.catalog.rules import Operation, Path

__all__ = ["NOT_SENT", "place_all"]

NOT_SENT = frozenset(("max_source_seconds",))
"""Parameters that bound what may be spent, and are no part of a body."""

SHOT = {"prompt_text": "prompt", "duration_seconds": "duration"}
"""The fields of a shot, and what the provider calls them."""


def place_all(spec: GenerationSpec, media: Sequence[PreparedMedia], row: Row, layout: Layout) -> Composition:
    """Builds the body for `row`. The table decides afterwards whether it is acceptable."""
    body, origins = begin(spec)
    if row.operation in RECIPES:
        del body["model"]
        body.setdefault("version", VERSIONS[0])
    if row.operation is Operation.MULTI_SHOT_VIDEO:
        body["mode"] = "custom" if spec.parameters.get("shots") else "auto"
    # What is missing is traced to a field as well: to one that can be written, where media can be given instead.
    origins |= {place.path: "media" for place in layout.media.values()}
    origins |= {place.path: f"parameters.{place.name}" for place in reversed(layout.parameters)}
    origins |= {layout.prompt.path: "prompt_text", ("mode",): "prompt_text"}
    if spec.prompt_text:
        _put(spec.prompt_text, layout.prompt, "prompt_text", body, origins)
    unplaced_media = tuple(
        index for index, one in enumerate(media) if not _place_media(one, index, row, layout, body, origins)
    )
    unplaced_parameters = tuple(
        name
        for name, value in spec.parameters.items()
        if name not in NOT_SENT and not _place_parameter(name, whole(value), row, layout, body, origins)
    )
    return Composition(
        operation=row.operation,
        body=body,
        origins=origins,
        unplaced_media=unplaced_media,
        unplaced_parameters=unplaced_parameters,
    )


def _place_media(
    one: PreparedMedia, index: int, row: Row, layout: Layout, body: dict[str, Json], origins: dict[Path, str]
) -> bool:
    place, field = layout.media.get(one.role), f"media[{index}]"
    if place is None or rule_of(row, place) is None:
        return False
    words = {name: text for name in ("tag", "subject") if (text := getattr(one, name))} if place.listed else {}
    return _put(one.uri, place, field, body, origins, words)


def _place_parameter(
    name: str, value: Json, row: Row, layout: Layout, body: dict[str, Json], origins: dict[Path, str]
) -> bool:
    place = next((one for one in layout.parameters if one.name == name), None)
    if place is None or rule_of(row, place) is None:
        # One is what a model makes that makes no more.
        return name == "output_count" and value == 1
    if name == "shots" and isinstance(value, list):
        for index in range(len(value)):
            shot = f"parameters.shots[{index}]"
            origins[*place.path, index] = shot
            origins |= {(*place.path, index, ours): f"{shot}.{theirs}" for theirs, ours in SHOT.items()}
    return _put(_as_sent(name, value), place, f"parameters.{name}", body, origins)


def _put(
    value: Json,
    place: Place,
    field: str,
    body: dict[str, Json],
    origins: dict[Path, str],
    words: Mapping[str, str] | None = None,
) -> bool:
    """Puts a value at its place. Returns False where something else is there already."""
    item: Json = value
    if place.member:
        item = {"type": place.type} if place.type else {}
        item |= {place.member: value, **(words or {})}
    inner, path = body, list[str | int](place.path)
    for name in place.path[:-1]:
        outer = inner.setdefault(name, {})
        if not isinstance(outer, dict):
            return False
        inner = outer
    name = place.path[-1]
    if place.listed:
        listed = inner.setdefault(name, [])
        if not isinstance(listed, list):
            return False
        origins[place.path] = "media"
        path.append(len(listed))
        listed.append(item)
    elif name in inner:
        return False
    else:
        inner[name] = item
    origins[tuple(path)] = field
    origins.update({(*path, word): f"{field}.{word}" for word in words or ()})
    return True


def _as_sent(name: str, value: Json) -> Json:
    """Returns a parameter's value in the provider's words."""
    match name, value:
        case "target_frame_rate", str():
            return value.replace(".", "_")
        case "shots", list():
            return [_shot(shot) for shot in value]
        case _:
            return value


def _shot(shot: Json) -> Json:
    return {SHOT.get(name, name): part for name, part in shot.items()} if isinstance(shot, dict) else shot
