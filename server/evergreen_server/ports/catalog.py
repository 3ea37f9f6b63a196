"""What models can do, by the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from evergreen_server.ports.specs import FieldError, GenerationSpec, Role


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
    millicredits_per_second: tuple[tuple[str, int], ...]


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
    millicredits_per_second: tuple[tuple[str, int], ...]
    """(condition, price) pairs, such as ("with audio", 40000); empty where the price is unknown."""
    rules: tuple[OperationInfo, ...]
    """Each operation by itself; everything else here is true of at least one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRule:
    """What a model requires of a picture: width / height within [min_aspect, max_aspect], sides in pixels."""

    min_aspect: float | None = None
    max_aspect: float | None = None
    min_side: int = 1


class ModelTable(Protocol):
    """The one table of models: validates, quotes, lists. Pure and quick; no I/O."""

    def field_errors(self, spec: GenerationSpec) -> list[FieldError]:
        """Returns all errors of `spec`, each with the allowed values. Empty means acceptable."""
        ...

    def quote(self, spec: GenerationSpec) -> int | None:
        """Returns the most that one attempt may cost, in millicredits; None if the price is unknown."""
        ...

    def picture_rule(self, spec: GenerationSpec, role: Role) -> PictureRule: ...

    def models(self) -> Sequence[ModelInfo]: ...
