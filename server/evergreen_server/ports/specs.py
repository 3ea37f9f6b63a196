"""What is asked of a provider: the spec of a request, its media, and the errors of its fields."""

import math
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
    scene_id: str = ""
    """The scene of the same project that has the asset; empty for the job's own."""
    tag: str = ""
    """The name by which the prompt mentions a reference, as `@tag`."""
    subject: str = ""
    """What a reference shows, `object` or `human`, for models that want to know."""


class MediaKind(StrEnum):
    """What a generation makes."""

    VIDEO = "VIDEO"
    IMAGE = "IMAGE"
    SPEECH = "SPEECH"
    SOUND = "SOUND"


class Operation(StrEnum):
    """What is generated from what, by the provider's own words."""

    IMAGE_TO_VIDEO = "image_to_video"
    TEXT_TO_VIDEO = "text_to_video"
    VIDEO_TO_VIDEO = "video_to_video"
    TEXT_TO_IMAGE = "text_to_image"
    TEXT_TO_SPEECH = "text_to_speech"
    SOUND_EFFECT = "sound_effect"
    VIDEO_TO_AUDIO = "video_to_audio"
    SPEECH_TO_SPEECH = "speech_to_speech"
    VOICE_DUBBING = "voice_dubbing"
    VOICE_ISOLATION = "voice_isolation"
    CHARACTER_PERFORMANCE = "character_performance"
    VIDEO_UPSCALE = "video_upscale"
    VIDEO_TO_HDR = "video_to_hdr"
    IMAGE_UPSCALE = "image_upscale"
    MULTI_SHOT_VIDEO = "multi_shot_video"
    AVATAR_VIDEOS = "avatar_videos"
    PRODUCT_AD = "product_ad"
    PRODUCT_SWAP = "product_swap"
    PRODUCT_UGC = "product_ugc"
    AD_LOCALIZATION = "ad_localization"
    MARKETING_STOCK_IMAGE = "marketing_stock_image"
    PRODUCT_CAMPAIGN_IMAGE = "product_campaign_image"


CLIPS = frozenset((Operation.IMAGE_TO_VIDEO, Operation.TEXT_TO_VIDEO, Operation.VIDEO_TO_VIDEO))
"""The operations that make a clip, between which the media of a request decide."""


def kind_made(operation: Operation) -> MediaKind:
    """Returns what an operation makes."""
    match operation:
        case (
            Operation.TEXT_TO_IMAGE
            | Operation.IMAGE_UPSCALE
            | Operation.AD_LOCALIZATION
            | Operation.MARKETING_STOCK_IMAGE
            | Operation.PRODUCT_CAMPAIGN_IMAGE
        ):
            return MediaKind.IMAGE
        case (
            Operation.TEXT_TO_SPEECH | Operation.SPEECH_TO_SPEECH | Operation.VOICE_DUBBING | Operation.VOICE_ISOLATION
        ):
            return MediaKind.SPEECH
        case Operation.SOUND_EFFECT | Operation.VIDEO_TO_AUDIO:
            return MediaKind.SOUND
        case _:
            return MediaKind.VIDEO


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSpec:
    """What a caller wants generated, as accepted: the operation, its parameters, and its inputs.

    Frozen on the job; a restart resumes from it. Without an `operation` it is a clip of GenerateVideo, whose operation
    follows from the roles of its media. `ratio`, `resolution` are empty and `duration_seconds`, `seed` are None where
    the caller left them out; videos take whole seconds. `parameters` holds what only this operation takes, by the
    contract's field names; `options` what only one model knows, by the provider's. Neither holds a URI.
    """

    operation: Operation | None = None
    model: str
    prompt_text: str = ""
    media: tuple[Media, ...] = ()
    ratio: str = ""
    resolution: str = ""
    duration_seconds: float | None = None
    seed: int | None = None
    parameters: Mapping[str, Json] = field(default_factory=dict)
    options: Mapping[str, Json] = field(default_factory=dict)

    @property
    def whole_seconds(self) -> int | None:
        """Returns the length rounded up: beside the model the key to how long the generation takes."""
        return None if self.duration_seconds is None else math.ceil(self.duration_seconds)

    @property
    def widened(self) -> bool:
        """Returns whether the release before, which knows clips from files of the same scene alone, cannot run it."""
        return self.operation is not None or any(one.scene_id or one.tag or one.subject for one in self.media)

    @property
    def kind(self) -> MediaKind:
        """Returns what is made."""
        return MediaKind.VIDEO if self.operation is None else kind_made(self.operation)


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
    tag: str = ""
    subject: str = ""
