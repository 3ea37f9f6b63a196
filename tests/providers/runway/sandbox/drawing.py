"""Draws request bodies from the table of models."""

from collections.abc import Iterator
from random import Random

from evergreen_server.ports.specs import Json
from evergreen_server.providers.runway.catalog.models import RECIPES, Operation, check_body
from evergreen_server.providers.runway.catalog.rows.table import TABLE
from evergreen_server.providers.runway.catalog.rules import Duration, Flag, Number, OneOf, Rule, Text, Whole
from evergreen_server.providers.runway.catalog.shapes import Frames, Items, Object, Sizes, Tagged, Uri

DRAWN_PER_ROW = 150


def drawn(rule: Rule, source: Random) -> Json:
    """Draws a value that the rule takes, mostly."""
    match rule:
        case Text(pattern=pattern) if pattern:
            return source.choice(("#ff8800", f"tag_{source.randrange(100)}"))
        case Text(maximum, minimum):
            return ("word " * max(1, minimum))[:maximum]
        case Uri(kind):
            return f"runway://{kind}-{source.randrange(1000)}"
        case OneOf(values):
            return source.choice(values)
        case Flag():
            return source.random() < 0.5
        case Duration(low, high, auto):
            return "auto" if auto and source.random() < 0.3 else source.randint(low or 1, high or 30)
        case Sizes(values):
            return source.choice((*values, "1920:1920"))
        case Tagged(kinds):
            return drawn(source.choice(list(kinds.values())), source)
        case Whole(low, high):
            return source.randint(low or 0, high or 10)
        case Number(low, high):
            return round(source.uniform(low or 0.0, high or 1.0), 2)
        case Items(item, maximum, minimum):
            return [drawn(item, source) for _ in range(source.randint(max(minimum, 1), min(maximum or 4, 10)))]
        case Frames(mode):
            loose: list[Json] = [{"uri": "runway://picture-1"}] * source.randint(1, 9)
            first: list[Json] = [{"uri": "runway://picture-1", "position": "first"}]
            last: list[Json] = [{"uri": "runway://picture-2", "position": "last"}]
            ways: list[Json] = ["runway://picture-1", first]
            ways += [first + last] if mode != "first" else []
            return source.choice([*ways, loose] if mode == "modes" else ways)
        case Object(members, required):
            return {
                name: drawn(one, source) for name, one in members.items() if name in required or source.random() < 0.3
            }
    raise AssertionError(rule)


def bodies(operation: Operation, model: str, source: Random) -> Iterator[dict[str, Json]]:
    """Draws bodies that the table accepts."""
    row, found = TABLE[operation, model], 0
    for _ in range(DRAWN_PER_ROW * 20):
        keep = source.random()
        made: dict[str, Json] = {} if operation in RECIPES else {"model": model}
        for name, rule in row.fields.items():
            if name in row.required or (source.random() < keep and name != "draftTaskId"):
                made[name] = drawn(rule, source)
        if not check_body(operation, made):
            found += 1
            yield made
        if found == DRAWN_PER_ROW:
            return
    assert found > 20, f"too few bodies for {operation} {model}"
