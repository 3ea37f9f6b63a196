"""What models can do, by the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from evergreen_server.ports.specs import FieldError, GenerationSpec, Role

MEASURED_MORE = 0.05
"""By how much a measured length (in seconds) or frame rate may exceed a bound: a container's sound seldom ends with its
last frame. Quotes count with it."""


class PriceUnit(StrEnum):
    """What a price counts: of what is made, or of the source where that decides."""

    SECOND = "SECOND"
    PICTURE = "PICTURE"
    FRAME = "FRAME"
    CHARACTER = "CHARACTER"
    TASK = "TASK"


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceInfo:
    """One price: `millicredits` for every `quantity` units begun, where the condition, such as "with audio", holds."""

    condition: str
    unit: PriceUnit
    quantity: float = 1.0
    millicredits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationInfo:
    """One model in one operation, as ListModels reports it. An empty tuple or None means that a bound is not known."""

    operation: str
    roles: tuple[Role, ...]
    ratios: tuple[str, ...]
    resolutions: tuple[str, ...]
    durations_seconds: tuple[int, ...]
    prompt_max_utf16: int | None
    prompt_required: bool
    options: tuple[str, ...]
    prices: tuple[PriceInfo, ...]
    """Empty where the price is unknown."""
    voices: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    references_max: int | None = None
    outputs_max: int | None = None
    duration_min_seconds: float | None = None
    """The bounds of lengths that need not be whole, which `durations_seconds` leaves out."""
    duration_max_seconds: float | None = None
    source_max_seconds: float | None = None
    """The greatest length of the source that sets the price, or the length of what is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """One model, as ListModels reports it. An empty tuple or None means that a bound is not known."""

    model: str
    operations: tuple[str, ...]
    roles: tuple[Role, ...]
    ratios: tuple[str, ...]
    resolutions: tuple[str, ...]
    durations_seconds: tuple[int, ...]
    prompt_max_utf16: int | None
    prompt_required: bool
    options: tuple[str, ...]
    prices: tuple[PriceInfo, ...]
    """Empty where the price is unknown."""
    rules: tuple[OperationInfo, ...]
    """Each operation by itself. What else is here is true of at least one that makes clips, and empty without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRule:
    """What a model requires of a picture: width / height within [min_aspect, max_aspect], sides in pixels."""

    min_aspect: float | None = None
    max_aspect: float | None = None
    min_side: int = 1
    max_side: int | None = None
    max_pixels: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRule:
    """What a model requires of a video or sound; None where nothing is known. Sides are in pixels."""

    min_seconds: float | None = None
    max_seconds: float | None = None
    max_frame_rate: float | None = None
    max_side: int | None = None
    min_aspect: float | None = None
    max_aspect: float | None = None
    """The bounds of width / height."""


class ModelTable(Protocol):
    """The one table of models: validates, quotes, lists. Pure and quick; no I/O."""

    def field_errors(self, spec: GenerationSpec) -> list[FieldError]:
        """Returns all errors of `spec`, each with the allowed values. Empty means acceptable."""
        ...

    def quote(self, spec: GenerationSpec) -> int | None:
        """Returns the most that one attempt may cost, in millicredits; None if the price is unknown."""
        ...

    def picture_rule(self, spec: GenerationSpec, role: Role) -> PictureRule: ...

    def media_rule(self, spec: GenerationSpec, index: int) -> MediaRule:
        """Returns what `spec.media[index]`, a video or a sound, must be like: by the model, and by what was quoted."""
        ...

    def models(self) -> Sequence[ModelInfo]: ...
