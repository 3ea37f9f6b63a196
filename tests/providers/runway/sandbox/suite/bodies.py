"""Random bodies for every create: made from the rules of the tables, and spoilt at random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from evergreen_server.ports.specs import Kind
from evergreen_server.providers.runway.catalog.models import Issue, Operation, check_body, path_of
from evergreen_server.providers.runway.catalog.rows.table import TABLE
from evergreen_server.providers.runway.catalog.rules import Duration, Flag, Number, OneOf, Rule, Text, Whole
from evergreen_server.providers.runway.catalog.shapes import Frames, Items, Object, Sizes, Tagged, Uri
from evergreen_server.providers.runway.sandbox.resources import avatars, documents, realtime, voices
from evergreen_server.providers.runway.sandbox.resources.bodies import Nullable
from evergreen_server.providers.runway.sandbox.resources.routing import routers
from evergreen_server.providers.runway.sandbox.resources.routing.routed_inputs import BODIES

__all__ = ["Case", "Maker"]

SPOILERS: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, 1e308, -1e308, 10**30, "", "x", " ", "0", "auto", "\ud800", "\x00", "é" * 3000,
    "x" * 40_000, [], {}, [None], [[]], [{}], {"uri": None}, {"type": "x"}, {"type": []}, "https://", "data:,", "runway://",
    "https://[", "data:image/png;base64,====", "http://127.0.0.1/x.png", [0] * 400, {"a": {"b": {"c": [{}]}}},
)  # fmt: skip
"""What no member expects, or few do."""


@dataclass(frozen=True, slots=True)
class Case:
    """One body, where it goes, and the members that its rules know.

    `spoilt` is the one member that was changed in a body that was right, where it is wrong since.
    """

    path: str
    body: Any
    known: frozenset[str]
    spoilt: str = ""


class Maker:
    """Makes cases from a seed; `media` are the URIs of uploads by kind, and `router` is the slug of one."""

    def __init__(self, seed: int, *, media: Mapping[Kind, str], router: str) -> None:
        self._random = Random(seed)
        self._media = media
        self._router = router
        self._rows = [*TABLE.values()]
        self._others: Sequence[tuple[str, Object]] = [
            ("voices", voices.NEW),
            ("avatars", avatars.NEW),
            ("documents", documents.NEW),
            ("realtime_sessions", realtime.NEW),
            ("routers", routers.NEW),
            *((f"generate/{modality}", rule) for modality, rule in BODIES.items()),
        ]

    def case(self) -> Case:
        """Returns the next case: half of them right but for what members may not be together, the others spoilt."""
        random = self._random
        if random.random() < 0.15:
            path, rule = random.choice(self._others)
            members, required, first = rule.members, rule.required, {}
        else:
            row = random.choice(self._rows)
            path, members, required = path_of(row.operation), row.fields, row.required
            first = {} if row.model == row.operation else {"model": row.model}
        body: Any = {**first, **self._members(members, required)}
        if "configId" in body and random.random() < 0.9:
            body["configId"] = self._router
        known = frozenset((*members, "model"))
        if (times := random.choice((0, 0, 1, 1, 2))) != 1:
            for _ in range(times):
                body = self._spoilt(body)
            return Case(path, body, known)
        whole, body = body, self._spoilt(body)
        changed = (
            [name for name in {**whole, **body} if whole.get(name) is not body.get(name)]
            if isinstance(body, dict)
            else []
        )
        if len(changed) == 1 and changed[0] in known and not _issues(path, whole) and _issues(path, body):
            return Case(path, body, known, changed[0])
        return Case(path, body, known)

    def _members(self, members: Mapping[str, Rule], required: frozenset[str]) -> dict[str, Any]:
        chosen = [name for name in members if name in required or self._random.random() < 0.35]
        return {name: self._value(members[name]) for name in chosen}

    def _value(self, rule: Rule) -> Any:
        random = self._random
        match rule:
            case Nullable():
                return None if random.random() < 0.3 else self._value(rule.rule)
            case Text():
                return "a" * random.choice((rule.minimum, rule.minimum + 3, min(rule.maximum or 200, 5000)))
            case Whole() | Number():
                low = rule.low if rule.low is not None else 0
                high = min(rule.high if rule.high is not None else low + 50, low + 50)
                return random.randint(int(low), int(high)) if isinstance(rule, Whole) else random.uniform(low, high)
            case Duration():
                low = rule.low or 1
                return random.randint(low, min(rule.high or 15, low + 12))
            case Flag():
                return random.random() < 0.5
            case OneOf() | Sizes():
                return random.choice(rule.values)
            case Uri():
                return self._media[rule.kind]
            case Object():
                return self._members(rule.members, rule.required)
            case Tagged():
                return self._value(random.choice([*rule.kinds.values()]))
            case Items():
                top = min(rule.maximum if rule.maximum is not None else 3, rule.minimum + 2)
                return [self._value(rule.item) for _ in range(random.randint(rule.minimum, max(rule.minimum, top)))]
            case Frames():
                frames = [{"uri": self._media[Kind.PICTURE], "position": "first"}]
                return random.choice((self._media[Kind.PICTURE], frames))
        raise TypeError(f"no value is known for {rule}")

    def _spoilt(self, value: Any) -> Any:
        """Returns a body with one thing changed, at any depth."""
        random = self._random
        spoiler = random.choice(SPOILERS)
        match value:
            case dict() if value and random.random() < 0.85:
                name = random.choice([*value])
                if random.random() < 0.15:
                    return {key: member for key, member in value.items() if key != name}
                if random.random() < 0.1:
                    return {**value, random.choice(("extra", "", "promptText ", "__proto__")): spoiler}
                return {**value, name: self._spoilt(value[name])}
            case list() if value and random.random() < 0.7:
                index = random.randrange(len(value))
                return [*value[:index], self._spoilt(value[index]), *value[index + 1 :]]
            case int() | float() if random.random() < 0.5:
                return random.choice((value * -1, value * 1000, value + 0.5, str(value)))
            case str() if random.random() < 0.3:
                return value * random.choice((2, 500))
        return spoiler


def _issues(path: str, body: Mapping[str, Any]) -> Sequence[Issue]:
    """Returns what the table finds in the body of an operation; of other calls nothing is known."""
    operation = next((each for each in Operation if path_of(each) == path), None)
    return check_body(operation, body) if operation else ()
