"""Compares the table of models with the types of the provider's own SDK, and names every difference.

    python scripts/compare_sdk.py

For every operation and model: which fields there are, which are required, and what each may be. Ends with 1 if anything
differs. The SDK's types say nothing of bounds, prices or rules between fields, which stand in the table alone. What the
table says more exactly than a type can is listed below as `FINER`.
"""

import importlib
import json
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, Union

import typing_extensions

from evergreen_server.ports.specs import Operation
from evergreen_server.providers.runway.catalog.rows.recipes import RECIPES
from evergreen_server.providers.runway.catalog.rows.table import TABLE
from evergreen_server.providers.runway.catalog.rules import Duration, Flag, Number, OneOf, Rule, Text, Whole
from evergreen_server.providers.runway.catalog.shapes import Frames, Items, Object, Sizes, Tagged, Uri

Shape: TypeAlias = "str | list[Shape] | dict[str, Shape]"
"""What a value may be: a word for a plain one; a list of all that it may be; an object by its members, where `!` marks
the required ones; `[]` as the only member of an object stands for a list of what it has there. A string in quotes, or a
number in them, is that very value."""
Models: TypeAlias = Mapping[str, Mapping[str, Shape]]

MODULES = {Operation.AVATAR_VIDEOS: "avatar_video_create_params"} | {
    recipe: f"recipe_{recipe}_params" for recipe in RECIPES
}
FINER: Mapping[tuple[str, str, str], str] = {
    ("text_to_video", "gemini_omni_flash_1.1", "referenceVideos"): "the `type` of the older models is taken as well",
    (
        "video_to_video",
        "aleph2",
        "keyframes",
    ): "two types that differ in the time are one, with a rule between fields",
}
"""Fields of which the table says more than a type can, and what."""
ANYTHING = "object"
"""What the SDK has where it does not describe the parts of a list."""


def main() -> int:
    """Prints the differences. Returns 1 if there are any."""
    found, compared = [], 0
    for operation in Operation:
        ours, theirs = of_table(operation), of_sdk(operation)
        compared += len(theirs)
        found += [f"{operation} {line}" for line in differences(str(operation), ours, theirs)]
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{compared} rows compared with the SDK, {len(found)} differences.")
    return bool(found)


def differences(operation: str, ours: Models, theirs: Models) -> Iterator[str]:
    """Yields each difference between two sets of models: model, field, and what either side has there."""
    for model in sorted({*ours, *theirs}):
        if model not in ours or model not in theirs:
            yield f"{model}: only in the {'SDK' if model in theirs else 'table'}"
            continue
        here, there = ours[model], theirs[model]
        for name in sorted({*here, *there}):
            known = name in here and name in there and (operation, model, name.rstrip("!")) in FINER
            if not known and not _agree(here.get(name), there.get(name)):
                yield f"{model} {name}: {_told(here.get(name))} in the table, {_told(there.get(name))} in the SDK"


def _agree(ours: "Shape | None", theirs: "Shape | None") -> bool:
    match ours, theirs:
        case _, str() if theirs == ANYTHING:
            return ours is not None
        case dict(), dict():
            return ours.keys() == theirs.keys() and all(_agree(ours[name], theirs[name]) for name in ours)
        case list(), list():
            return len(ours) == len(theirs) and all(any(_agree(one, other) for one in ours) for other in theirs)
        case _:
            return ours == theirs


def _told(shape: "Shape | None") -> str:
    return "nothing" if shape is None else json.dumps(shape)


def of_table(operation: Operation) -> Models:
    """Returns the fields of each model's row."""
    return {
        row.model: {f"{name}{'!' * (name in row.required)}": _of_rule(rule) for name, rule in row.fields.items()}
        for row in TABLE.values()
        if row.operation is operation
    }


def _of_rule(rule: Rule) -> Shape:
    match rule:
        case Text() | Uri():
            return "string"
        case Whole():
            return "integer"
        case Number():
            return "number"
        case Flag():
            return "boolean"
        case OneOf(values):
            return _either([json.dumps(value) for value in values])
        case Duration():
            return _either(["integer", '"auto"'] if rule.auto else ["integer"])
        case Sizes(values):
            return _either(["string", *(json.dumps(value) for value in values)])
        case Object(members, required):
            return {f"{name}{'!' * (name in required)}": _of_rule(member) for name, member in members.items()}
        case Tagged(kinds):
            return _either([_of_rule(kind) for kind in kinds.values()])
        case Items(item):
            listed: Shape = {"[]": _of_rule(item)}
            return _either(["string", listed]) if rule.or_string else listed
        case Frames():
            return _either(["string", {"[]": _of_rule(rule.item)}])
    raise TypeError(f"A rule of a new kind: {rule}")


def of_sdk(operation: Operation) -> Models:
    """Returns the fields of each model by the types of an operation's create."""
    name = MODULES.get(operation, f"{operation}_create_params")
    module = importlib.import_module(f"runwayml.types.{name}")
    [params] = [getattr(module, word) for word in module.__all__ if word.endswith("Params")]
    models: dict[str, dict[str, Shape]] = {}
    for variant in _variants(params):
        fields = _of_dict(variant)
        named = [str(operation)] if operation in RECIPES else [json.loads(str(fields.pop("model!")))]
        for model in named:
            models[model] = _merged(models[model], fields) if model in models else fields
    return models


def _variants(params: Any) -> tuple[Any, ...]:
    return typing.get_args(params) if _is_union(params) else (params,)


def _merged(first: Mapping[str, Shape], second: Mapping[str, Shape]) -> dict[str, Shape]:
    """Returns what either variant has: required is what both require."""
    both: dict[str, Shape] = {}
    for name in dict.fromkeys(one.rstrip("!") for one in (*first, *second)):
        mark = "!" * (f"{name}!" in first and f"{name}!" in second)
        shapes = [fields[key] for fields in (first, second) for key in (name, f"{name}!") if key in fields]
        both[name + mark] = _either(shapes)
    return both


def _of_dict(typed: Any) -> dict[str, Shape]:
    hints = typing_extensions.get_type_hints(typed, include_extras=True)
    return {_alias(name, hint) + "!" * _is_required(hint): _of_type(hint) for name, hint in hints.items()}


def _alias(name: str, hint: Any) -> str:
    """Returns a member's name on the wire."""
    for part in typing.get_args(hint):
        if alias := getattr(part, "alias", None):
            return str(alias)
    inner = typing.get_args(hint)[0] if typing.get_origin(hint) in _MARKS else None
    return _alias(name, inner) if inner is not None else name


def _is_required(hint: Any) -> bool:
    return typing.get_origin(hint) is typing_extensions.Required


_MARKS = (typing_extensions.Required, typing_extensions.NotRequired, typing_extensions.Annotated)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (Union, types.UnionType)


def _of_type(hint: Any) -> Shape:
    origin, arguments = typing_extensions.get_origin(hint), typing.get_args(hint)
    if origin in _MARKS:
        return _of_type(arguments[0])
    if origin in (typing.Literal, typing_extensions.Literal):
        return _either([json.dumps(value) for value in arguments])
    if _is_union(hint):
        return _either([_of_type(argument) for argument in arguments])
    if typing_extensions.is_typeddict(hint):
        return dict(_of_dict(hint))
    if origin is not None:
        return {"[]": _of_type(arguments[0])}
    return {str: "string", int: "integer", float: "number", bool: "boolean", object: ANYTHING}.get(hint, str(hint))


def _either(shapes: list[Shape]) -> Shape:
    """Returns all that a value may be, in an order that does not depend on where it was written."""
    flat = [inner for shape in shapes for inner in (shape if isinstance(shape, list) else [shape])]
    unique = {json.dumps(shape, sort_keys=True): shape for shape in flat}
    ordered = [unique[key] for key in sorted(unique)]
    return ordered[0] if len(ordered) == 1 else ordered


if __name__ == "__main__":
    sys.exit(main())
