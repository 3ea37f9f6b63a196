"""Finds everything wrong with a request for anything but a clip, each error at the caller's own field.

The texts name the fields of the contract, since one field of a body may come from two of them.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from evergreen_server.ports.specs import FieldError, GenerationSpec, Json, Kind, MediaKind, kind_made
from evergreen_server.providers.runway.catalog.checks import check_body
from evergreen_server.providers.runway.catalog.compose import Composition, compose
from evergreen_server.providers.runway.catalog.diagnosis import OWNED, SINGLE_FILES, placeholder, trace
from evergreen_server.providers.runway.catalog.layouts import LAYOUTS, Layout, Place, rule_at, rule_of
from evergreen_server.providers.runway.catalog.media_rules import source_rule
from evergreen_server.providers.runway.catalog.placing import NOT_SENT
from evergreen_server.providers.runway.catalog.rules import Issue, OneOf, Operation, Path, Rule
from evergreen_server.providers.runway.catalog.shapes import Uri
from evergreen_server.providers.runway.catalog.table import TABLE
from evergreen_server.providers.runway.catalog.vocabulary import SEED, Row
from evergreen_server.providers.runway.catalog.wording import ABSENT, at, size_told, uri_errors

__all__ = ["UNDELIVERED", "operation_errors", "options_of"]

UNDELIVERED: Mapping[str, str] = {
    "recraft_v4_1_vector": "It makes SVG, which is not delivered: only PNG, JPEG and WebP can be checked and measured.",
}
"""Models that the provider has and this service does not offer, and why."""

COMMON = ("model", "ratio", "resolution", "duration", "seed")
"""Fields of a body that come from the same field of every operation's request."""


def operation_errors(operation: Operation, spec: GenerationSpec) -> list[FieldError]:
    """Returns every error, with what is allowed; empty means acceptable."""
    layout, row = LAYOUTS[operation], TABLE.get((operation, spec.model))
    found = [*_option_errors(spec, layout), *_time_errors(spec)]
    if row is None:
        known = ", ".join(model for one, model in TABLE if one is operation and model not in UNDELIVERED)
        text = f"{spec.model or 'An empty name'} is no model of {operation}; one of: {known}."
        found.append(FieldError(field="model", description=text))
        if spec.seed is not None:
            found += [FieldError(field="seed", description=issue.message) for issue in SEED.issues(spec.seed, ())]
        return found
    if row.model in UNDELIVERED:
        found.append(FieldError(field="model", description=UNDELIVERED[row.model]))
    allowed = {name: value for name, value in spec.options.items() if not _owned(name, layout)}
    composed = compose(replace(spec, options=allowed), [placeholder(one) for one in spec.media], row)
    for issue in check_body(operation, composed.body):
        found += _translate(issue, composed, row, layout)
    found += _unplaced_parameters(spec, composed, row, layout)
    found += _unplaced_media(spec, composed, row, layout)
    found += _source_errors(spec, row, layout)
    chosen = composed.body.get("outputFormat")
    if kind_made(operation) is MediaKind.VIDEO and isinstance(chosen, str) and chosen not in SINGLE_FILES:
        kinds = ", ".join(value for value in _values(row.fields.get("outputFormat")) if value in SINGLE_FILES)
        text = f"A video is delivered as one file, so image sequences are not taken; one of: {kinds}."
        found.append(FieldError(field="options.outputFormat", description=text))
    return list(dict.fromkeys(found))


def options_of(row: Row) -> tuple[str, ...]:
    """Returns the fields of a body that a request sets by its options."""
    layout = LAYOUTS.get(row.operation)
    return tuple(name for name in row.fields if not (_owned(name, layout) if layout else name in OWNED))


def _owned(name: str, layout: Layout) -> bool:
    taken = {place.path[0] for place in layout.places()}
    return name in COMMON or name in taken or name == "mode" or name.lower().endswith("uri")


def _names(path: Path, row: Row | None, layout: Layout) -> str:
    """Returns the fields of a request that lead to a path, only those of the model if there is one."""
    places = [one for one in layout.places() if one.path == path and (row is None or rule_of(row, one) is not None)]
    return " or ".join(place.name for place in places)


def _option_errors(spec: GenerationSpec, layout: Layout) -> Iterator[FieldError]:
    for name in spec.options:
        if _owned(name, layout):
            instead = OWNED[name] if name in COMMON else _names((name,), None, layout)
            media = " or ".join(place.name for place in layout.media.values())
            text = f"Not an option; use {instead}." if instead else f"Options hold no URIs; use {media or 'none'}."
            if name == "mode":
                text = f"Not an option; it follows from {' or '.join(place.name for place in _ways(layout))}."
            yield FieldError(field=f"options.{name}", description=text)
    yield from uri_errors({name: value for name, value in spec.options.items() if not _owned(name, layout)})


def _ways(layout: Layout) -> tuple[Place, ...]:
    return (layout.prompt, *(place for place in layout.parameters if place.name == "shots"))


def _time_errors(spec: GenerationSpec) -> Iterator[FieldError]:
    for index, one in enumerate(spec.media):
        if one.at_seconds is not None:
            text = "Only a KEYFRAME of a clip has a time."
            yield FieldError(field=f"media[{index}].at_seconds", description=text)


def _translate(issue: Issue, composed: Composition, row: Row, layout: Layout) -> Iterator[FieldError]:
    if issue.code == "unrecognized_keys":
        keys = issue.details["keys"]
        for key in keys if isinstance(keys, list) else ():
            yield _not_taken((*issue.path, str(key)), composed, row, layout)
        return
    path = issue.path
    if issue.code == "invalid_union":
        # Nothing has told the kinds of an object apart, so what it is for was not given.
        path = path[:-1]
    field = trace(path, composed.origins)
    if at(composed.body, path) is ABSENT or path != issue.path:
        yield FieldError(field=field, description=_required(path, row, layout))
        return
    rule = rule_at(row, path)
    allowed = rule.describe() if rule and issue.code != "custom" else ""
    text = issue.message.rstrip(".") + (f"; allowed: {allowed}" if allowed else "")
    text += size_told(issue, composed.body) + "."
    if field == "parameters.target_frame_rate":
        text = text.replace("_", ".")
    hint = _taken_by(path, composed, row) if issue.code == "invalid_value" else ""
    yield FieldError(field=field, description=text + hint)


def _leads(place: Place, row: Row) -> bool:
    return rule_of(row, place) is not None


def _required(path: Path, row: Row, layout: Layout) -> str:
    names = _names(path, row, layout) or OWNED.get(str(path[-1]), "") * (len(path) == 1)
    if row.operation is Operation.MULTI_SHOT_VIDEO and path in (("prompt",), ("shots",)):
        names = " or ".join(place.name for place in _ways(layout))
    rules = [rule for one in layout.places() if one.path == path and (rule := rule_of(row, one)) is not None]
    allowed = _allowed(rules[0] if rules else rule_at(row, path)) if len(rules) < 2 else ""
    return f"Required by {row.model}: {', '.join(part for part in (names, allowed) if part)}."


def _allowed(rule: Rule | None) -> str:
    if isinstance(rule, Uri):
        return f"a {rule.kind}" if rule.kind is not Kind.AUDIO else "a sound"
    if choices := _values(rule):
        return f"one of {', '.join(choices)}"
    return rule.describe() if rule else ""


def _values(rule: Rule | None) -> tuple[str, ...]:
    return tuple(str(value) for value in rule.values) if isinstance(rule, OneOf) else ()


def _taken_by(path: Path, composed: Composition, row: Row) -> str:
    """Returns which other models take an option's value, where some do."""
    value = at(composed.body, path)
    if len(path) != 1 or composed.origins.get(path, "").partition(".")[0] != "options" or not isinstance(value, str):
        return ""
    rules = {other.model: other.fields.get(str(path[0])) for other in _others(row)}
    models = ", ".join(model for model, rule in rules.items() if value in _values(rule))
    return f" {value} is taken by {models}." if models else ""


def _others(row: Row) -> list[Row]:
    return [one for (operation, model), one in TABLE.items() if operation is row.operation and model not in UNDELIVERED]


def _not_taken(path: Path, composed: Composition, row: Row, layout: Layout) -> FieldError:
    field, name = trace(path, composed.origins), str(path[-1])
    if len(path) > 1:
        return FieldError(field=field, description=f"{row.model} takes no {name} here.")
    if path == layout.prompt.path:
        beside = " beside shots" if row.operation is Operation.MULTI_SHOT_VIDEO else ""
        return FieldError(field=field, description=f"{row.model} takes no {layout.prompt.name}{beside}.")
    if name in COMMON:
        other = {"ratio": "resolution", "resolution": "ratio"}.get(name, "")
        choices = ", ".join(_values(row.fields.get(other)))
        instead = f" Use {other}, one of: {choices}." if choices else ""
        return FieldError(field=field, description=f"{row.model} takes no {OWNED[name]}.{instead}")
    options = ", ".join(options_of(row)) or "none"
    models = ", ".join(other.model for other in _others(row) if name in other.fields)
    text = f"Not an option of {row.model}; its options: {options}." + (f" {name} is taken by {models}." * bool(models))
    return FieldError(field=field, description=text)


def _unplaced_parameters(spec: GenerationSpec, composed: Composition, row: Row, layout: Layout) -> Iterator[FieldError]:
    for name in composed.unplaced_parameters:
        place = next((one for one in layout.parameters if one.name == name), None)
        text = f"{row.operation} takes no {name}." if place is None else _no_place(place, row, layout)
        yield FieldError(field=f"parameters.{name}", description=text)
    if not layout.sourced:
        for name in NOT_SENT.intersection(spec.parameters):
            yield FieldError(field=f"parameters.{name}", description=f"{row.operation} takes no {name}.")


def _unplaced_media(spec: GenerationSpec, composed: Composition, row: Row, layout: Layout) -> Iterator[FieldError]:
    for index in composed.unplaced_media:
        role = spec.media[index].role
        place = layout.media.get(role)
        if place is None:
            text = f"{row.operation} has no place for {role}."
        elif any(one.role is role for one in spec.media[:index]) and rule_of(row, place) is not None:
            text = f"Only one {place.name} can be given."
        else:
            text = _no_place(place, row, layout)
        yield FieldError(field=f"media[{index}].role", description=text)


def _no_place(place: Place, row: Row, layout: Layout) -> str:
    """Returns why a value has no place: its model has none, or something else is there."""
    rivals = [one.name for one in layout.places() if one.path == place.path and one != place and _leads(one, row)]
    if rule_of(row, place) is not None:
        return f"Give either {place.name} or {' or '.join(rivals)}."
    models = ", ".join(other.model for other in _others(row) if rule_of(other, place) is not None)
    instead = f" Use {' or '.join(rivals)}." if rivals else ""
    return f"{row.model} takes no {place.name}.{instead}" + (f" It is taken by {models}." * bool(models))


def _source_errors(spec: GenerationSpec, row: Row, layout: Layout) -> Iterator[FieldError]:
    if not layout.sourced or "max_source_seconds" not in spec.parameters:
        return
    said, rule = spec.parameters["max_source_seconds"], source_rule(row.operation, row.model)
    low, high = rule.min_seconds or 0.0, rule.max_seconds or math.inf
    if not _is_length(said, low, high):
        top = "" if rule.max_seconds is None else f" and at most {rule.max_seconds:g}"
        more = "more than" if not low else "at least"
        text = f"{row.model} takes a source of {more} {low:g}{top} seconds."
        yield FieldError(field="parameters.max_source_seconds", description=text)


def _is_length(value: Json, low: float, high: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return value > 0 and low <= value <= high
