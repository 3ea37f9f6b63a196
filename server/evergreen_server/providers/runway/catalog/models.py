"""The one table of models: validates requests, quotes prices, answers ListModels, and serves the sandbox.

The rules are stated on request bodies as the provider takes them (`runway_models.py`); what a caller of ours
gets wrong is found by composing the body and tracing each issue back to the field it came from (`diagnosis.py`).
"""

from collections.abc import Sequence

from evergreen_server.ports.catalog import ModelInfo, OperationInfo, PictureRule
from evergreen_server.ports.specs import FieldError, GenerationSpec, Json, Kind, PreparedMedia, Role
from evergreen_server.providers.runway.catalog.checks import aspect_limits, check_body, smallest_side
from evergreen_server.providers.runway.catalog.compose import compose, operation_of, roles_of
from evergreen_server.providers.runway.catalog.diagnosis import OWNED, find_field_errors
from evergreen_server.providers.runway.catalog.prices import (
    TARIFFS,
    default_duration,
    duration_bounds,
    output_size,
    price_bound,
    tariff_of,
)
from evergreen_server.providers.runway.catalog.recipes import RECIPES, path_of
from evergreen_server.providers.runway.catalog.rules import Duration, Issue, OneOf, Operation, Text
from evergreen_server.providers.runway.catalog.shapes import DATA_URI_LIMIT, MEDIA_TYPES
from evergreen_server.providers.runway.catalog.table import CLIPS, TABLE
from evergreen_server.providers.runway.catalog.vocabulary import Row
from evergreen_server.providers.runway.catalog.voices import AVATARS, LIVE_VOICES, PRESET_VOICES

__all__ = [
    "AVATARS", "CLIPS", "DATA_URI_LIMIT", "LIVE_VOICES", "MEDIA_TYPES", "PRESET_VOICES", "RECIPES", "Issue", "Json",
    "Kind", "Operation", "RunwayModels", "aspect_limits", "check_body", "default_duration", "duration_bounds",
    "model_names", "output_size", "path_of", "price_bound", "smallest_side",
]  # fmt: skip


def model_names(operation: Operation | None = None) -> tuple[str, ...]:
    """Returns the names of one operation's models, or of all that make clips from text, pictures or a video."""
    wanted = CLIPS if operation is None else {operation}
    return tuple(dict.fromkeys(model for found, model in TABLE if found in wanted))


class RunwayModels:
    """Implements `ModelTable` for the provider's video models."""

    def field_errors(self, spec: GenerationSpec) -> list[FieldError]:
        return find_field_errors(spec)

    def quote(self, spec: GenerationSpec) -> int | None:
        row = TABLE.get((_operation(spec), spec.model))
        if row is None:
            return None
        media = [PreparedMedia(role=one.role, uri="runway://quoted", at_seconds=one.at_seconds) for one in spec.media]
        return price_bound(row.operation, compose(spec, media, row).body)

    def picture_rule(self, spec: GenerationSpec, role: Role) -> PictureRule:
        operation = _operation(spec)
        if role is Role.KEYFRAME:
            return PictureRule()
        low, high = aspect_limits(spec.model, operation) or (None, None)
        return PictureRule(
            min_aspect=low,
            max_aspect=high,
            min_side=smallest_side(spec.model, operation),
        )

    def models(self) -> Sequence[ModelInfo]:
        return [_describe(model) for model in model_names()]


def _operation(spec: GenerationSpec) -> Operation:
    return operation_of(spec.model, (one.role for one in spec.media))


def _describe(model: str) -> ModelInfo:
    rows = [row for row in TABLE.values() if row.model == model and row.operation in CLIPS]
    roles = {role for row in rows for role in roles_of(row)}
    bounds = [bound for row in rows if (bound := _prompt_most(row)) is not None]
    tariff = TARIFFS.get(model)
    return ModelInfo(
        model=model,
        operations=tuple(row.operation.value for row in rows),
        roles=tuple(role for role in Role if role in roles),
        ratios=_choices(rows, "ratio"),
        resolutions=_choices(rows, "resolution"),
        durations_seconds=_durations(rows),
        prompt_max_utf16=min(bounds, default=None),
        prompt_required=all("promptText" in row.required for row in rows),
        options=_options(rows),
        millicredits_per_second=tariff.per_second if tariff else (),
        rules=tuple(map(_rules, rows)),
    )


def _rules(row: Row) -> OperationInfo:
    tariff = tariff_of(row.operation, row.model)
    return OperationInfo(
        operation=row.operation.value,
        roles=roles_of(row),
        ratios=_choices([row], "ratio"),
        resolutions=_choices([row], "resolution"),
        durations_seconds=_durations([row]),
        prompt_max_utf16=_prompt_most(row),
        prompt_required="promptText" in row.required,
        options=_options([row]),
        millicredits_per_second=tariff.per_second if tariff else (),
    )


def _prompt_most(row: Row) -> int | None:
    rule = row.fields.get("promptText")
    return rule.maximum if isinstance(rule, Text) else None


def _options(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in rows for name in row.fields if name not in OWNED))


def _choices(rows: Sequence[Row], name: str) -> tuple[str, ...]:
    rules = [row.fields.get(name) for row in rows]
    return tuple(dict.fromkeys(str(value) for rule in rules if isinstance(rule, OneOf) for value in rule.values))


def _durations(rows: Sequence[Row]) -> tuple[int, ...]:
    seconds: set[int] = set()
    for row in rows:
        match row.fields.get("duration"):
            case OneOf(values):
                seconds.update(value for value in values if isinstance(value, int))
            case Duration(int() as low, int() as high):
                seconds.update(range(low, high + 1))
    return tuple(sorted(seconds))
