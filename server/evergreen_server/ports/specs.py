"""What is asked of a provider: the spec of a request, its media, and the errors of its fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
MOST_IN_TEXT = 60
"""Field errors that the text of an exception names; its list has all."""


class Role(StrEnum):
    """What a piece of media is for; the operation (image, text, video to video) follows from it."""

    FIRST_FRAME = "FIRST_FRAME"
    LAST_FRAME = "LAST_FRAME"
    REFERENCE = "REFERENCE"
    SOURCE_VIDEO = "SOURCE_VIDEO"
    REFERENCE_VIDEO = "REFERENCE_VIDEO"
    REFERENCE_AUDIO = "REFERENCE_AUDIO"
    KEYFRAME = "KEYFRAME"


class Kind(StrEnum):
    """What a piece of media is made of."""

    PICTURE = "picture"
    VIDEO = "video"
    AUDIO = "audio"


def kind_of(role: Role) -> Kind:
    """Returns what a role must be filled with."""
    match role:
        case Role.SOURCE_VIDEO | Role.REFERENCE_VIDEO:
            return Kind.VIDEO
        case Role.REFERENCE_AUDIO:
            return Kind.AUDIO
        case _:
            return Kind.PICTURE


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One input of a request, before it was fetched. Exactly one of `uri`, `digest`, `asset` is set.

    `digest` is the SHA-256 (hex) of inline bytes, which live in a row beside the job;
    `asset` is a path inside the scene, such as `images/hero.png`.
    """

    role: Role
    uri: str | None = None
    digest: str | None = None
    asset: str | None = None
    at_seconds: float | None = None


class GenerationKind(StrEnum):
    """What a generation makes."""

    VIDEO = "VIDEO"


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSpec:
    """What a caller wants generated, as accepted: the kind, its parameters, and its inputs.

    Frozen on the job; a restart resumes from it.
    `ratio`, `resolution` are empty and `duration_seconds`, `seed` are None where the caller left them out.
    `options` holds what only one model knows, by the provider's own field names; it never holds a URI.
    """

    kind: GenerationKind = GenerationKind.VIDEO
    model: str
    prompt_text: str = ""
    media: tuple[Media, ...] = ()
    ratio: str = ""
    resolution: str = ""
    duration_seconds: int | None = None
    seed: int | None = None
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One thing wrong with a request: the field's path in the API (`media[0].role`) and what to do."""

    field: str
    description: str


class InvalidRequest(Exception):
    """The request breaks the contract; every error is named, one for each field."""

    def __init__(self, field_errors: Sequence[FieldError]) -> None:
        by_field: dict[str, dict[str, None]] = {}
        for error in field_errors:
            by_field.setdefault(error.field, {})[error.description] = None
        self.field_errors = tuple(
            FieldError(field=name, description=" ".join(texts)) for name, texts in by_field.items()
        )
        super().__init__("; ".join(f"{error.field}: {error.description}" for error in self.field_errors[:MOST_IN_TEXT]))


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedMedia:
    """One input ready for the provider: `uri` is a data URI, an https URL or a provider upload."""

    role: Role
    uri: str
    at_seconds: float | None = None
