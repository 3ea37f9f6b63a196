"""Shows what models take, make and cost."""

from collections.abc import Iterable, Mapping, Sequence

from evergreen.cli.output import Column, number, write_table
from evergreen.v1.video_pb2 import MediaRole, Model, Operation, OperationRules, Price, PriceUnit


def write_models(listed: Sequence[Model]) -> None:
    """Writes a row for each model in each of its operations."""
    write_table(
        (
            "MODEL",
            "OPERATION",
            Column(head="TAKES", drop=2),
            Column(head="CHOICES", drop=3),
            Column(head="SECONDS", drop=1),
            Column(head="CREDITS", drop=1),
        ),
        [(each.model, *_row(rules)) for each in listed for rules in each.rules or [_merged(each)]],
    )


def _merged(model: Model) -> OperationRules:
    """Returns what a service that knows no rules says of a model."""
    return OperationRules(
        ratios=model.ratios,
        resolutions=model.resolutions,
        durations_seconds=model.durations_seconds,
        prices=model.prices,
    )


def _row(rules: OperationRules) -> tuple[str, ...]:
    return (
        _word(_OPERATIONS, rules.operation) if rules.operation else "",
        ", ".join(_inputs(rules)),
        _some([*rules.ratios, *rules.resolutions, *rules.voices, *rules.languages]),
        _lengths(rules),
        _some([_price(price) for price in rules.prices], most=3, apart="; ") or "unknown",
    )


def _inputs(rules: OperationRules) -> list[str]:
    """Returns the inputs, each with the most of it that there may be: `prompt ≤ 1,000, reference ≤ 3`."""
    told = [f"prompt ≤ {rules.prompt_max_utf16:,}"] if rules.prompt_max_utf16 else []
    for role in rules.roles:
        word = _word(_ROLES, role)
        counted = rules.references_max and word.startswith("reference")
        told.append(f"{word} ≤ {rules.references_max}" if counted else word)
    return told


def _lengths(rules: OperationRules) -> str:
    """Returns the possible lengths of what is made, or the greatest of its source."""
    if rules.durations_seconds:
        return _runs(rules.durations_seconds)
    least = f"≥ {number(rules.duration_min_seconds)}" if rules.HasField("duration_min_seconds") else ""
    if not rules.HasField("duration_max_seconds"):
        return least or (f"source ≤ {number(rules.source_max_seconds)}" if rules.source_max_seconds else "")
    most = number(rules.duration_max_seconds)
    return f"{number(rules.duration_min_seconds)}-{most}" if least else f"≤ {most}"


def _price(price: Price) -> str:
    """Returns a price in words: `5 per second`, `8 per picture (1080p)`, `1 per 50 characters`."""
    condition = f" ({price.condition})" if price.condition else ""
    if not price.unit:
        return f"{number(price.credits_per_second)} per second{condition}"
    unit = _word(_UNITS, price.unit)
    counted = unit if price.quantity in (0, 1) else f"{number(price.quantity)} {unit}s"
    return f"{number(price.credits)} per {counted}{condition}"


def _word(names: Mapping[int, str], value: int) -> str:
    """Returns the word for a value, or its number if it is newer than this client."""
    return names.get(value, str(value))


def _names(items: Iterable[tuple[str, int]], prefix: str) -> Mapping[int, str]:
    return {value: name.removeprefix(prefix).lower().replace("_", " ") for name, value in items}


_OPERATIONS = _names(Operation.items(), "OPERATION_")
_ROLES = _names(MediaRole.items(), "MEDIA_ROLE_")
_UNITS = _names(PriceUnit.items(), "PRICE_UNIT_")


def _some(values: Sequence[str], most: int = 6, apart: str = " ") -> str:
    """Returns the first few values; JSON output has all of them."""
    rest = len(values) - most
    return apart.join(values[:most]) + (f" (+{rest})" if rest > 0 else "")


def _runs(numbers: Sequence[int]) -> str:
    """Returns ascending numbers with neighbours joined: `2-10` for all from two to ten."""
    runs: list[tuple[int, int]] = []
    for each in numbers:
        if runs and each == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], each)
        else:
            runs.append((each, each))
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
