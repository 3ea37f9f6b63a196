"""What ListModels says of each model, read from the table's rows."""

from collections.abc import Sequence

from evergreen_server.ports.catalog import ModelInfo, OperationInfo
from evergreen_server.ports.specs import CLIPS, Role
from evergreen_server.providers.runway.catalog.composing.compose import roles_of
from evergreen_server.providers.runway.catalog.composing.layouts import LAYOUTS, rule_of
from evergreen_server.providers.runway.catalog.media_rules import source_rule
from evergreen_server.providers.runway.catalog.operation_diagnosis import UNDELIVERED, options_of
from evergreen_server.providers.runway.catalog.pricing.prices import TARIFFS, listed_prices, per_second
from evergreen_server.providers.runway.catalog.rows.table import TABLE
from evergreen_server.providers.runway.catalog.rows.vocabulary import Row
from evergreen_server.providers.runway.catalog.rules import Duration, Number, OneOf, Rule, Text, Whole
from evergreen_server.providers.runway.catalog.shapes import Items, Sizes

__all__ = ["list_models"]


def list_models() -> list[ModelInfo]:
    """Returns every model that can be asked for, those of clips first."""
    offered = [row for row in TABLE.values() if row.operation in CLIPS or row.operation in LAYOUTS]
    names = dict.fromkeys(row.model for row in offered if row.model not in UNDELIVERED)
    return [_describe(model, [row for row in offered if row.model == model]) for model in names]


def _describe(model: str, rows: Sequence[Row]) -> ModelInfo:
    clips = [row for row in rows if row.operation in CLIPS]
    roles = {role for row in clips for role in roles_of(row)}
    bounds = [bound for row in clips if (bound := _prompt_most(row)) is not None]
    tariff = TARIFFS.get(model) if clips else None
    return ModelInfo(
        model=model,
        operations=tuple(row.operation.value for row in rows),
        roles=tuple(role for role in Role if role in roles),
        ratios=_choices(clips, "ratio"),
        resolutions=_choices(clips, "resolution"),
        durations_seconds=_durations(clips),
        prompt_max_utf16=min(bounds, default=None),
        prompt_required=bool(clips) and all("promptText" in row.required for row in clips),
        options=tuple(dict.fromkeys(name for row in clips for name in options_of(row))),
        prices=per_second(tariff) if tariff else (),
        rules=tuple(map(_rules, rows)),
    )


def _rules(row: Row) -> OperationInfo:
    least, most = _lengths(row)
    return OperationInfo(
        operation=row.operation.value,
        roles=roles_of(row),
        ratios=_choices([row], "ratio"),
        resolutions=_choices([row], "resolution"),
        durations_seconds=_durations([row]),
        prompt_max_utf16=_prompt_most(row),
        prompt_required=_prompt_required(row),
        options=options_of(row),
        prices=listed_prices(row.operation, row.model),
        voices=_of_place(row, "voice"),
        languages=_of_place(row, "target_language"),
        references_max=_references_most(row),
        outputs_max=_outputs_most(row),
        duration_min_seconds=least,
        duration_max_seconds=most,
        source_max_seconds=source_rule(row.operation, row.model).max_seconds,
    )


def _prompt(row: Row) -> Rule | None:
    layout = LAYOUTS.get(row.operation)
    return rule_of(row, layout.prompt) if layout else row.fields.get("promptText")


def _prompt_most(row: Row) -> int | None:
    rule = _prompt(row)
    return rule.maximum if isinstance(rule, Text) else None


def _prompt_required(row: Row) -> bool:
    layout = LAYOUTS.get(row.operation)
    return (layout.prompt.path[0] if layout else "promptText") in row.required and (
        # An avatar may be given a sound instead.
        layout is None or not layout.prompt.member
    )


def _of_place(row: Row, name: str) -> tuple[str, ...]:
    layout = LAYOUTS.get(row.operation)
    rules = [rule_of(row, place) for place in layout.parameters if place.name == name] if layout else []
    return tuple(str(value) for rule in rules if isinstance(rule, OneOf) for value in rule.values)


def _references_most(row: Row) -> int | None:
    layout = LAYOUTS.get(row.operation)
    listed = [row.fields.get(place.path[0]) for place in layout.media.values() if place.listed] if layout else []
    return next((rule.maximum for rule in listed if isinstance(rule, Items)), None)


def _outputs_most(row: Row) -> int | None:
    match row.fields.get("outputCount", row.fields.get("numVariants")):
        case Whole(_, high):
            return high
        case OneOf(values):
            return max(value for value in values if isinstance(value, int))
        case _:
            return None


def _choices(rows: Sequence[Row], name: str) -> tuple[str, ...]:
    rules = [row.fields.get(name) for row in rows]
    return tuple(
        dict.fromkeys(str(value) for rule in rules if isinstance(rule, OneOf | Sizes) for value in rule.values)
    )


def _durations(rows: Sequence[Row]) -> tuple[int, ...]:
    seconds: set[int] = set()
    for row in rows:
        match row.fields.get("duration"):
            case OneOf(values):
                seconds.update(value for value in values if isinstance(value, int))
            case Duration(int() as low, int() as high):
                seconds.update(range(low, high + 1))
    return tuple(sorted(seconds))


def _lengths(row: Row) -> tuple[float | None, float | None]:
    """Returns the bounds of a length that need not be whole."""
    rule = row.fields.get("duration")
    return (rule.low, rule.high) if isinstance(rule, Number) else (None, None)
