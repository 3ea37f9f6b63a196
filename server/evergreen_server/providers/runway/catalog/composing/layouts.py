"""Where each operation that makes no clip has the fields of a request in its body."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from evergreen_server.ports.specs import Role
from evergreen_server.providers.runway.catalog.rows.vocabulary import Row
from evergreen_server.providers.runway.catalog.rules import Operation, Path, Rule
from evergreen_server.providers.runway.catalog.shapes import Items, Object, Tagged

__all__ = ["LAYOUTS", "Layout", "Place", "rule_at", "rule_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a body has the value of a request's field `name`.

    As it is at `path`, or as the `member` of an object there, with its `type` if it has one; `listed` beside others.
    """

    name: str
    path: tuple[str, ...]
    member: str = ""
    type: str = ""
    listed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One operation's places. What a request may give in two ways leads to the same path, by another type."""

    prompt: Place = Place(name="prompt_text", path=("promptText",))
    media: Mapping[Role, Place] = field(default_factory=dict)
    parameters: tuple[Place, ...] = ()
    sourced: bool = False
    """Whether the length of a source sets the price, so that a request may bound it."""

    def places(self) -> tuple[Place, ...]:
        """Returns all of them."""
        return (self.prompt, *self.media.values(), *self.parameters)


def rule_of(row: Row, place: Place) -> Rule | None:
    """Returns what a model requires of the value at a place; None where it has no such place."""
    rule = rule_at(row, place.path)
    if place.listed:
        rule = rule.item if isinstance(rule, Items) else None
    return _member(rule, place.member, place.type) if place.member else rule


def rule_at(row: Row, path: Path) -> Rule | None:
    """Returns what a model requires of the value at a path of its body; None where it takes none there."""
    rule = row.fields.get(str(path[0]))
    for part in path[1:]:
        match rule, part:
            case Items(item), int():
                rule = item
            case _:
                rule = _member(rule, str(part))
    return rule


def _member(rule: Rule | None, name: str, kind: str = "") -> Rule | None:
    match rule:
        case Object(members):
            return members.get(name)
        case Tagged(kinds):
            inside = [part for word, part in kinds.items() if kind in ("", word)]
            return next((part.members[name] for part in inside if name in part.members), None)
        case _:
            return None


def _sound(name: str, *path: str, member: str = "", type: str = "", listed: bool = False) -> Mapping[Role, Place]:
    return {Role.REFERENCE_AUDIO: Place(name=name, path=path, member=member, type=type, listed=listed)}


_VIDEO = {Role.SOURCE_VIDEO: Place(name="video", path=("videoUri",))}
_VOICE = Place(name="voice", path=("voice",), member="presetId", type="runway-preset")
_VARIANTS = Place(name="output_count", path=("numVariants",))

LAYOUTS: Mapping[Operation, Layout] = MappingProxyType({
    Operation.TEXT_TO_IMAGE: Layout(
        media={Role.REFERENCE: Place(name="references", path=("referenceImages",), member="uri", listed=True)},
        parameters=(Place(name="output_count", path=("outputCount",)),),
    ),
    Operation.IMAGE_UPSCALE: Layout(
        media={Role.REFERENCE: Place(name="image", path=("imageUri",))},
        parameters=(Place(name="scale_factor", path=("scaleFactor",)),),
    ),
    Operation.TEXT_TO_SPEECH: Layout(
        prompt=Place(name="text", path=("promptText",)),
        media=_sound("voice_reference", "voice", member="audioUri", type="reference-audio"),
        parameters=(_VOICE, Place(name="language", path=("languageCode",))),
    ),
    Operation.SOUND_EFFECT: Layout(
        media=_sound("references", "referenceAudios", listed=True),
        parameters=(Place(name="loop", path=("loop",)), _VARIANTS),
    ),
    Operation.VIDEO_TO_AUDIO: Layout(media=_VIDEO, parameters=(_VARIANTS,)),
    Operation.SPEECH_TO_SPEECH: Layout(
        media={
            **_sound("audio", "media", member="uri", type="audio"),
            Role.SOURCE_VIDEO: Place(name="video", path=("media",), member="uri", type="video"),
        },
        parameters=(_VOICE,),
        sourced=True,
    ),
    Operation.VOICE_DUBBING: Layout(
        media=_sound("audio", "audioUri"),
        parameters=(Place(name="target_language", path=("targetLang",)),),
        sourced=True,
    ),
    Operation.VOICE_ISOLATION: Layout(media=_sound("audio", "audioUri"), sourced=True),
    Operation.CHARACTER_PERFORMANCE: Layout(
        media={
            Role.REFERENCE: Place(name="character_image", path=("character",), member="uri", type="image"),
            Role.REFERENCE_VIDEO: Place(name="character_video", path=("character",), member="uri", type="video"),
            Role.SOURCE_VIDEO: Place(name="performance", path=("reference",), member="uri", type="video"),
        },
        sourced=True,
    ),
    Operation.VIDEO_UPSCALE: Layout(
        media=_VIDEO,
        parameters=(Place(name="target_frame_rate", path=("targetFramerate",)),),
        sourced=True,
    ),
    Operation.VIDEO_TO_HDR: Layout(media=_VIDEO, sourced=True),
    Operation.MULTI_SHOT_VIDEO: Layout(
        prompt=Place(name="prompt_text", path=("prompt",)),
        media={Role.FIRST_FRAME: Place(name="first_frame", path=("firstFrame",), member="uri")},
        parameters=(Place(name="shots", path=("shots",)), Place(name="audio", path=("audio",))),
    ),
    Operation.AVATAR_VIDEOS: Layout(
        prompt=Place(name="text", path=("speech",), member="text", type="text"),
        media=_sound("audio", "speech", member="audio", type="audio"),
        parameters=(
            Place(name="avatar", path=("avatar",), member="presetId", type="runway-preset"),
            Place(name="avatar_id", path=("avatar",), member="avatarId", type="custom"),
            Place(name="voice", path=("speech", "voice"), member="presetId", type="preset"),
            Place(name="voice_id", path=("speech", "voice"), member="id", type="custom"),
        ),
    ),
})  # fmt: skip
"""By the operations that a request can ask for by name."""
