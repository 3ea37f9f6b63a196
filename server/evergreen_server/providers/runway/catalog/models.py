"""The one table of models: validates requests, quotes prices, answers ListModels, and serves the sandbox.

The rules are stated on request bodies as the provider takes them (`runway_models.py`); what a caller of ours
gets wrong is found by composing the body and tracing each issue back to the field it came from (`diagnosis.py`).
"""

from collections.abc import Sequence
from dataclasses import replace

from evergreen_server.ports.catalog import MediaRule, ModelInfo, PictureRule
from evergreen_server.ports.specs import CLIPS, FieldError, GenerationSpec, Json, Kind, PreparedMedia, Role
from evergreen_server.providers.runway.catalog.checks import (
    ENLARGED_PIXELS_MOST,
    ENLARGED_SIDE_MOST,
    aspect_limits,
    check_body,
    smallest_side,
)
from evergreen_server.providers.runway.catalog.composing.compose import compose, operation_for
from evergreen_server.providers.runway.catalog.composing.layouts import LAYOUTS
from evergreen_server.providers.runway.catalog.diagnosis import find_field_errors
from evergreen_server.providers.runway.catalog.listing import list_models
from evergreen_server.providers.runway.catalog.media_rules import bounded_seconds, media_rule
from evergreen_server.providers.runway.catalog.operation_diagnosis import operation_errors
from evergreen_server.providers.runway.catalog.pricing.prices import (
    default_duration,
    duration_bounds,
    output_size,
    price_bound,
)
from evergreen_server.providers.runway.catalog.pricing.units import whole_number
from evergreen_server.providers.runway.catalog.rows.recipes import RECIPES, path_of
from evergreen_server.providers.runway.catalog.rows.table import TABLE
from evergreen_server.providers.runway.catalog.rows.voices import AVATARS, LIVE_VOICES, PRESET_VOICES
from evergreen_server.providers.runway.catalog.rules import Issue, Operation
from evergreen_server.providers.runway.catalog.shapes import DATA_URI_LIMIT, MEDIA_TYPES

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
    """Implements `ModelTable` for the provider's models."""

    def field_errors(self, spec: GenerationSpec) -> list[FieldError]:
        if spec.operation is not None and spec.operation in LAYOUTS:
            return operation_errors(spec.operation, spec)
        return find_field_errors(spec)

    def quote(self, spec: GenerationSpec) -> int | None:
        row = TABLE.get((operation_for(spec), spec.model))
        if row is None:
            return None
        media = [PreparedMedia(role=one.role, uri="runway://quoted", at_seconds=one.at_seconds) for one in spec.media]
        composed = compose(spec, media, row)
        return price_bound(row.operation, composed.body, source_seconds=bounded_seconds(spec.parameters))

    def picture_rule(self, spec: GenerationSpec, role: Role) -> PictureRule:
        operation = operation_for(spec)
        if role is Role.KEYFRAME:
            return PictureRule()
        low, high = aspect_limits(spec.model, operation) or (None, None)
        rule = PictureRule(min_aspect=low, max_aspect=high, min_side=smallest_side(spec.model, operation))
        if operation is not Operation.IMAGE_UPSCALE:
            return rule
        factor = max(1, whole_number(spec.parameters, "scale_factor", 2))
        return replace(rule, max_side=ENLARGED_SIDE_MOST, max_pixels=ENLARGED_PIXELS_MOST // factor**2)

    def media_rule(self, spec: GenerationSpec, index: int) -> MediaRule:
        return media_rule(spec, index)

    def models(self) -> Sequence[ModelInfo]:
        return list_models()
