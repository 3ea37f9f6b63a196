"""Composes a request body from a caller's request, and records which field each part came from."""

from collections.abc import Iterable, Sequence

from evergreen_server.ports.specs import GenerationSpec, Json, PreparedMedia, Role
from evergreen_server.providers.runway.catalog.composing.composition import Composition, begin
from evergreen_server.providers.runway.catalog.composing.layouts import LAYOUTS, rule_of
from evergreen_server.providers.runway.catalog.composing.placing import place_all
from evergreen_server.providers.runway.catalog.rows.table import TABLE
from evergreen_server.providers.runway.catalog.rows.vocabulary import Row
from evergreen_server.providers.runway.catalog.rules import Operation, Path
from evergreen_server.providers.runway.catalog.shapes import Frames, Items, Object

__all__ = ["Composition", "compose", "operation_for", "operation_of", "roles_of"]

FRAMES = (Role.FIRST_FRAME, Role.LAST_FRAME)
SOURCES = ("videoUri", "promptVideo")
LISTS = {
    Role.REFERENCE: "references",
    Role.REFERENCE_VIDEO: "referenceVideos",
    Role.REFERENCE_AUDIO: "referenceAudio",
    Role.KEYFRAME: "keyframes",
}


def operation_for(spec: GenerationSpec) -> Operation:
    """Returns the operation that a request asks for, by its name or by its media."""
    return spec.operation or operation_of(spec.model, (one.role for one in spec.media))


def operation_of(model: str, roles: Iterable[Role]) -> Operation:
    """Returns the operation that makes a clip from media of these roles.

    References alone are given as the pictures of an image-to-video task where the model takes them so and has
    a place for the other media beside them, else as references of a text-to-video task.
    """
    given = set(roles)
    if Role.SOURCE_VIDEO in given:
        return Operation.VIDEO_TO_VIDEO
    if given.intersection(FRAMES):
        return Operation.IMAGE_TO_VIDEO
    row = TABLE.get((Operation.IMAGE_TO_VIDEO, model))
    if row and Role.REFERENCE in given and _frames_mode(row) == "modes" and given <= set(roles_of(row)):
        return Operation.IMAGE_TO_VIDEO
    return Operation.TEXT_TO_VIDEO


def roles_of(row: Row) -> tuple[Role, ...]:
    """Returns the roles for which a row has a place."""
    if (layout := LAYOUTS.get(row.operation)) is not None:
        return tuple(role for role, place in layout.media.items() if rule_of(row, place) is not None)
    mode = _frames_mode(row)
    taken = {role for role, name in LISTS.items() if name in row.fields}
    if mode:
        taken |= {Role.FIRST_FRAME} if mode == "first" else set(FRAMES)
    if mode == "modes":
        taken.add(Role.REFERENCE)
    if any(name in row.fields for name in SOURCES):
        taken.add(Role.SOURCE_VIDEO)
    return tuple(role for role in Role if role in taken)


def _frames_mode(row: Row) -> str:
    rule = row.fields.get("promptImage")
    return rule.mode if isinstance(rule, Frames) else ""


def compose(spec: GenerationSpec, media: Sequence[PreparedMedia], row: Row) -> Composition:
    """Builds the body for `row`. The table decides afterwards whether it is acceptable."""
    layout = LAYOUTS.get(row.operation)
    if layout is not None:
        return place_all(spec, media, row, layout)
    body, origins = begin(spec)
    origins["promptText",] = "prompt_text"
    if spec.prompt_text:
        body["promptText"] = spec.prompt_text
    unplaced_media = tuple(index for index, one in enumerate(media) if not _place(one, index, row, body, origins))
    _simplify(body, origins)
    return Composition(operation=row.operation, body=body, origins=origins, unplaced_media=unplaced_media)


def _place(
    one: PreparedMedia,
    index: int,
    row: Row,
    body: dict[str, Json],
    origins: dict[Path, str],
) -> bool:
    """Adds one piece of media to the body where the row takes it. Returns False where there is no place for it."""
    if one.role not in roles_of(row):
        return False
    field = f"media[{index}]"
    if one.role is Role.SOURCE_VIDEO:
        name = next(name for name in SOURCES if name in row.fields)
        if name in body:
            return False
        body[name] = one.uri
        origins[name,] = field
        return True
    name = LISTS.get(one.role, "promptImage")
    name = name if name in row.fields else "promptImage"
    items = body.setdefault(name, [])
    if not isinstance(items, list):
        return False
    where: Path = (name, len(items))
    origins |= {where: field, (*where, "position"): f"{field}.role", (name,): "media"}
    item: dict[str, Json] = {"uri": one.uri}
    if _typed(row, name):
        item["type"] = "video" if name == "referenceVideos" else "audio"
    if one.role in FRAMES:
        item["position"] = "first" if one.role is Role.FIRST_FRAME else "last"
    if one.role is Role.KEYFRAME:
        origins[*where, "seconds"] = f"{field}.at_seconds"
        if one.at_seconds is not None:
            item["seconds"] = one.at_seconds
    items.append(item)
    return True


def _typed(row: Row, name: str) -> bool:
    rule = row.fields[name]
    return isinstance(rule, Items) and isinstance(rule.item, Object) and "type" in rule.item.members


def _simplify(body: dict[str, Json], origins: dict[Path, str]) -> None:
    """Writes a lone first frame as a plain URI, the form that every model takes."""
    match body.get("promptImage"):
        case [{"uri": str() as uri, "position": "first"}]:
            body["promptImage"] = uri
            origins["promptImage",] = origins["promptImage", 0]
