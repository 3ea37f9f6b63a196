"""A request body as it is composed, with the caller's field that each part came from."""

from collections.abc import Mapping
from dataclasses import dataclass

from evergreen_server.ports.specs import GenerationSpec, Json
from evergreen_server.providers.runway.catalog.rules import Operation, Path

__all__ = ["Composition", "begin", "whole"]

LARGEST_WHOLE = 2**53
"""Of a double; larger ones are not exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """A request: `origins` maps paths in the body to the fields that they came from.

    `unplaced_media`, by index, and `unplaced_parameters` are those for which the model has no place; they are not in
    the body.
    """

    operation: Operation
    body: dict[str, Json]
    origins: Mapping[Path, str]
    unplaced_media: tuple[int, ...]
    unplaced_parameters: tuple[str, ...] = ()


def begin(spec: GenerationSpec) -> tuple[dict[str, Json], dict[Path, str]]:
    """Returns a body of what every operation has under the same names, and the origins of its parts."""
    body: dict[str, Json] = {"model": spec.model}
    origins: dict[Path, str] = {("model",): "model"}
    for name, field, value in (
        ("ratio", "ratio", spec.ratio or None),
        ("resolution", "resolution", spec.resolution or None),
        ("duration", "duration_seconds", spec.duration_seconds),
        ("seed", "seed", spec.seed),
    ):
        origins[name,] = field
        if value is not None:
            body[name] = whole(value)
    for name, option in spec.options.items():
        origins[name,] = f"options.{name}"
        body[name] = whole(option)
    return body, origins


def whole(value: Json) -> Json:
    """Returns a value with its whole numbers as integers: a caller's Struct holds every number as a double."""
    match value:
        case float() if value.is_integer() and abs(value) <= LARGEST_WHOLE:
            return int(value)
        case list():
            return [whole(item) for item in value]
        case dict():
            return {name: whole(item) for name, item in value.items()}
        case _:
            return value
