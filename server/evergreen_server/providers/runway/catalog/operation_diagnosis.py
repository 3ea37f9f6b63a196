"""Finds everything wrong with a request for anything but a clip, each error at the caller's own field.

The texts name the fields of the contract, since one field of a body may come from two of them.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from evergreen_server.ports.specs import FieldError, GenerationSpec, Json, Kind, MediaKind, Role, kind_made
from evergreen_server.providers.runway.catalog.checks import check_body
from evergreen_server.providers.runway.catalog.composing.compose import Composition, compose
from evergreen_server.providers.runway.catalog.composing.layouts import LAYOUTS, Layout, Place, rule_at, rule_of
from evergreen_server.providers.runway.catalog.composing.placing import NOT_SENT
from evergreen_server.providers.runway.catalog.diagnosis import OWNED, SINGLE_FILES, placeholder, trace
from evergreen_server.providers.runway.catalog.media_rules import source_rule
from evergreen_server.providers.runway.catalog.rows.table import TABLE
from evergreen_server.providers.runway.catalog.rows.vocabulary import SEED, Row
from evergreen_server.providers.runway.catalog.rules import Issue, OneOf, Operation, Path, Rule
from evergreen_server.providers.runway.catalog.shapes import Uri
from evergreen_server.providers.runway.catalog.wording import ABSENT, at, told, uri_errors

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
            wrong_seed = f"must be {SEED.describe()}, not {spec.seed}."
            found += [FieldError(field="seed", description=wrong_seed) for _ in SEED.issues(spec.seed, ())]
        return found
    if row.model in UNDELIVERED:
        found.append(FieldError(field="model", description=UNDELIVERED[row.model]))
    owned = _owned(spec.options, layout)
    allowed = {name: value for name, value in spec.options.items() if name not in owned}
    composed = compose(replace(spec, options=allowed), [placeholder(one) for one in spec.media], row)
    found += _Diagnosis(
        spec=spec,
        composed=composed,
        row=row,
        layout=layout,
        others=_others(row),
        options=", ".join(options_of(row)) or "none",
    ).errors()
    return list(dict.fromkeys(found))


def options_of(row: Row) -> tuple[str, ...]:
    """Returns the fields of a body that a request sets by its options."""
    layout = LAYOUTS.get(row.operation)
    owned = _owned(row.fields, layout) if layout else OWNED
    return tuple(name for name in row.fields if name not in owned)


def _owned(names: Iterable[str], layout: Layout) -> frozenset[str]:
    """Returns those of a body's fields that come from a field of the request."""
    known = {*COMMON, "mode", *(place.path[0] for place in layout.places())}
    return frozenset(name for name in names if name in known or name.lower().endswith("uri"))


def _others(row: Row) -> list[Row]:
    """Returns the rows of an operation's models, but for those that are not offered."""
    return [one for (operation, model), one in TABLE.items() if operation is row.operation and model not in UNDELIVERED]


def _option_errors(spec: GenerationSpec, layout: Layout) -> Iterator[FieldError]:
    owned = _owned(spec.options, layout)
    for name in spec.options:
        if name in owned:
            yield FieldError(field=f"options.{name}", description=_instead(name, layout))
    yield from uri_errors({name: value for name, value in spec.options.items() if name not in owned})


def _instead(name: str, layout: Layout) -> str:
    """Returns what to use for a field of a body that is no option."""
    if name == "mode":
        return f"Not an option; it follows from {_ways(layout)}."
    names = [OWNED[name]] if name in COMMON else [one.name for one in layout.places() if one.path == (name,)]
    if names:
        return f"Not an option; use {' or '.join(names)}."
    return f"Options hold no URIs; use {' or '.join(place.name for place in layout.media.values()) or 'none'}."


def _ways(layout: Layout) -> str:
    """Returns the fields that tell what a video of several shots shows."""
    return " or ".join([layout.prompt.name, *(place.name for place in layout.parameters if place.name == "shots")])


def _time_errors(spec: GenerationSpec) -> Iterator[FieldError]:
    for index, one in enumerate(spec.media):
        if one.at_seconds is not None:
            text = "Only a KEYFRAME of a clip has a time."
            yield FieldError(field=f"media[{index}].at_seconds", description=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Diagnosis:
    """A request for a model that there is, and the body that it became.

    `others` are the rows of all models of the operation, `options` what this one has.
    """

    spec: GenerationSpec
    composed: Composition
    row: Row
    layout: Layout
    others: Sequence[Row]
    options: str

    def errors(self) -> Iterator[FieldError]:
        for issue in check_body(self.row.operation, self.composed.body):
            yield from self._translate(issue)
        yield from self._unplaced_parameters()
        yield from self._unplaced_media()
        yield from self._source_errors()
        chosen = self.composed.body.get("outputFormat")
        made = kind_made(self.row.operation)
        if made is MediaKind.VIDEO and isinstance(chosen, str) and chosen not in SINGLE_FILES:
            kinds = ", ".join(value for value in _values(self.row.fields.get("outputFormat")) if value in SINGLE_FILES)
            text = f"A video is delivered as one file, so image sequences are not taken; one of: {kinds}."
            yield FieldError(field="options.outputFormat", description=text)

    def _translate(self, issue: Issue) -> Iterator[FieldError]:
        body, path = self.composed.body, issue.path
        if issue.code == "unrecognized_keys":
            keys = issue.details["keys"]
            for key in keys if isinstance(keys, list) else ():
                yield self._not_taken((*path, str(key)))
            return
        if issue.code == "invalid_union":
            # Nothing distinguishes the kinds of an object, so what it is for was not given.
            path = path[:-1]
        field = trace(path, self.composed.origins)
        if at(body, path) is ABSENT or path != issue.path:
            yield FieldError(field=field, description=self._required(path))
            return
        rule = rule_at(self.row, path)
        allowed = rule.describe() if rule and issue.code != "custom" else ""
        text = told(issue, body, allowed) + "."
        if field == "parameters.target_frame_rate":
            text = text.replace("_", ".")
        hint = self._taken_by(path) if issue.code == "invalid_value" else ""
        yield FieldError(field=field, description=text + hint)

    def _required(self, path: Path) -> str:
        places = [one for one in self.layout.places() if one.path == path and self._has(one)]
        names = " or ".join(place.name for place in places) or OWNED.get(str(path[-1]), "") * (len(path) == 1)
        if self.row.operation is Operation.MULTI_SHOT_VIDEO and path == self.layout.prompt.path:
            names = _ways(self.layout)
        rule = rule_of(self.row, places[0]) if places else rule_at(self.row, path)
        allowed = _allowed(rule) if len(places) < 2 else ""
        return f"Required by {self.row.model}: {', '.join(part for part in (names, allowed) if part)}."

    def _taken_by(self, path: Path) -> str:
        """Returns which other models take an option's value, where some do."""
        value = at(self.composed.body, path)
        if (
            len(path) != 1
            or not trace(path, self.composed.origins).startswith("options.")
            or not isinstance(value, str)
        ):
            return ""
        rules = {other.model: other.fields.get(str(path[0])) for other in self.others}
        models = ", ".join(model for model, rule in rules.items() if value in _values(rule))
        return f" {value} is taken by {models}." if models else ""

    def _not_taken(self, path: Path) -> FieldError:
        field, name, model = trace(path, self.composed.origins), str(path[-1]), self.row.model
        if len(path) > 1:
            return FieldError(field=field, description=f"{model} takes no {name} here.")
        if path == self.layout.prompt.path:
            beside = " beside shots" if self.row.operation is Operation.MULTI_SHOT_VIDEO else ""
            return FieldError(field=field, description=f"{model} takes no {self.layout.prompt.name}{beside}.")
        if name in COMMON:
            other = {"ratio": "resolution", "resolution": "ratio"}.get(name, "")
            choices = ", ".join(_values(self.row.fields.get(other)))
            instead = f" Use {other}, one of: {choices}." if choices else ""
            return FieldError(field=field, description=f"{model} takes no {OWNED[name]}.{instead}")
        models = ", ".join(other.model for other in self.others if name in other.fields)
        text = f"Not an option of {model}; its options: {self.options}." + (
            f" {name} is taken by {models}." * bool(models)
        )
        return FieldError(field=field, description=text)

    def _unplaced_parameters(self) -> Iterator[FieldError]:
        unknown = () if self.layout.sourced else NOT_SENT.intersection(self.spec.parameters)
        for name in (*self.composed.unplaced_parameters, *unknown):
            place = next((one for one in self.layout.parameters if one.name == name), None)
            text = f"{self.row.operation} takes no {name}." if place is None else self._no_place(place)
            yield FieldError(field=f"parameters.{name}", description=text)

    def _unplaced_media(self) -> Iterator[FieldError]:
        unplaced = frozenset(self.composed.unplaced_media)
        placed = {one.role for index, one in enumerate(self.spec.media) if index not in unplaced}
        roles = {index: self.spec.media[index].role for index in self.composed.unplaced_media}
        texts = {role: self._unplaced(role, again=role in placed) for role in set(roles.values())}
        for index, role in roles.items():
            yield FieldError(field=f"media[{index}].role", description=texts[role])

    def _unplaced(self, role: Role, *, again: bool) -> str:
        place = self.layout.media.get(role)
        if place is None:
            return f"{self.row.operation} has no place for {role}."
        return f"Only one {place.name} can be given." if again else self._no_place(place)

    def _no_place(self, place: Place) -> str:
        """Returns why a value has no place: its model has none, or something else is there."""
        rivals = [one for one in self.layout.places() if one.path == place.path and one != place and self._has(one)]
        names = " or ".join(one.name for one in rivals)
        if self._has(place):
            return f"Give either {place.name} or {names}."
        models = ", ".join(other.model for other in self.others if rule_of(other, place) is not None)
        instead = f" Use {names}." if names else ""
        return f"{self.row.model} takes no {place.name}.{instead}" + (f" It is taken by {models}." * bool(models))

    def _has(self, place: Place) -> bool:
        return rule_of(self.row, place) is not None

    def _source_errors(self) -> Iterator[FieldError]:
        if not self.layout.sourced or "max_source_seconds" not in self.spec.parameters:
            return
        rule = source_rule(self.row.operation, self.row.model)
        low, high = rule.min_seconds or 0.0, rule.max_seconds or math.inf
        if not _is_length(self.spec.parameters["max_source_seconds"], low, high):
            top = "" if rule.max_seconds is None else f" and at most {rule.max_seconds:g}"
            least = f"at least {low:g}" if low else "more than 0"
            text = f"{self.row.model} takes a source of {least}{top} seconds."
            yield FieldError(field="parameters.max_source_seconds", description=text)


def _allowed(rule: Rule | None) -> str:
    if isinstance(rule, Uri):
        return f"a {rule.kind}" if rule.kind is not Kind.AUDIO else "a sound"
    if choices := _values(rule):
        return f"one of {', '.join(choices)}"
    return rule.describe() if rule else ""


def _values(rule: Rule | None) -> tuple[str, ...]:
    return tuple(str(value) for value in rule.values) if isinstance(rule, OneOf) else ()


def _is_length(value: Json, low: float, high: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return value > 0 and low <= value <= high
