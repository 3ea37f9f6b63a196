"""The account's limits: those of its tier per model, and the changes that tests make to them and to the balance."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evergreen_server.providers.runway.catalog.models import Json, Operation, model_names
from evergreen_server.providers.runway.sandbox.state.tasks import MILLI

DEFAULT_TIER = 5

_PICTURES = frozenset(
    {
        *model_names(Operation.TEXT_TO_IMAGE),
        *(Operation.AD_LOCALIZATION, Operation.MARKETING_STOCK_IMAGE, Operation.PRODUCT_CAMPAIGN_IMAGE),
    }
)
_FINISHING = frozenset(
    {"ruby", "enhance_frame_rate", "magnific_precision_upscaler_v2", "magnific_video_upscaler_creative"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many tasks of one model may run at once and be made per rolling day; None is unlimited."""

    concurrent: int | None
    daily: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Limits of every model, those that differ by group and by name, and the spend allowed per 30 days in credits."""

    limits: Limits
    max_monthly_credits: int
    groups: Mapping[str, Limits] = field(default_factory=dict)
    """Of `pictures` and of `finishing`, where they differ."""
    models: Mapping[str, Limits] = field(default_factory=dict)

    def of(self, model: str) -> Limits:
        group = "pictures" if model in _PICTURES else "finishing" if model in _FINISHING else ""
        return self.models.get(model) or self.groups.get(group, self.limits)

    def changed(self, name: str, value: Json) -> "Tier":
        """Returns a tier in which one limit is the same for all models, but for those named."""
        groups = {group: _with(limits, name, value) for group, limits in self.groups.items()}
        return replace(self, limits=_with(self.limits, name, value), groups=groups)


def tier(number: int) -> Tier:
    """Returns the published limits of a tier, 1 to 5: of clips, voices and characters, of pictures, of finishing."""
    concurrent, daily, dollars, pictures, finishing = {
        1: (1, 50, 100, (2, 200), (1, 50)),
        2: (3, 500, 500, (3, 1_000), (3, 1_000)),
        3: (5, 1_000, 2_000, (5, 2_000), (5, 2_000)),
        4: (10, 5_000, 20_000, (10, 10_000), (10, 10_000)),
        5: (20, 25_000, 100_000, (20, 30_000), (20, 30_000)),
    }[number]
    return Tier(
        limits=Limits(concurrent=concurrent, daily=daily),
        max_monthly_credits=dollars * 100,
        groups={"pictures": _limits(*pictures), "finishing": _limits(*finishing)},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChange:
    """A PATCH of /sandbox/account; None changes nothing."""

    balance: int | None = None
    tier: Tier | None = None
    keys: frozenset[str] | None = None
    any_key: bool = False


def parse_change(body: Json, current: Tier) -> AccountChange:
    """Reads the body of PATCH /sandbox/account. Raises a ValueError that lists everything wrong with it."""
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    faults: list[str] = []
    balance: int | None = None
    changed, keys, any_key = current, None, False
    for name, value in body.items():
        if name == "creditBalance" and _number(value):
            assert isinstance(value, int | float)
            balance = round(value * MILLI)
        elif name == "tier" and type(value) is int and 1 <= value <= 5:
            changed = replace(tier(value), models=changed.models)
        elif name in {"maxConcurrentGenerations", "maxDailyGenerations"} and _limit(value):
            changed = changed.changed(name, value)
        elif name == "models" and isinstance(value, dict):
            for model, limits in value.items():
                if not isinstance(limits, dict):
                    faults.append(f"models.{model} must be an object")
                    continue
                for key, number in limits.items():
                    if key not in {"maxConcurrentGenerations", "maxDailyGenerations"} or not _limit(number):
                        faults.append(f"models.{model}.{key} is unknown or not a whole number from 0 or null")
                        continue
                    new = _with(changed.of(model), key, number)
                    changed = replace(changed, models={**changed.models, model: new})
        elif name == "apiKeys" and value is None:
            any_key = True
        elif name == "apiKeys" and isinstance(value, list):
            keys = frozenset(str(key) for key in value)
        else:
            faults.append(
                f"{name} is unknown or of the wrong type; known: creditBalance (number), tier (1..5), "
                "maxConcurrentGenerations, maxDailyGenerations (whole number or null), models {model: limits}, "
                "apiKeys (list or null)"
            )
    if faults:
        raise ValueError("; ".join(faults))
    return AccountChange(balance=balance, tier=None if changed == current else changed, keys=keys, any_key=any_key)


def tier_entry(tier: Tier) -> dict[str, Json]:
    """Returns a tier as the journal keeps it."""
    return {
        "limits": [tier.limits.concurrent, tier.limits.daily],
        "monthly": tier.max_monthly_credits,
        "groups": {group: [limits.concurrent, limits.daily] for group, limits in tier.groups.items()},
        "models": {model: [limits.concurrent, limits.daily] for model, limits in tier.models.items()},
    }


def tier_from_entry(entry: Json) -> Tier:
    match entry:
        case {"limits": [concurrent, daily], "monthly": int(monthly), "models": dict(models), **rest}:
            groups = rest.get("groups", {})
            assert isinstance(groups, dict)
            return Tier(
                limits=_limits(concurrent, daily),
                max_monthly_credits=monthly,
                groups={group: _limits(*pair) for group, pair in groups.items() if isinstance(pair, list)},
                models={model: _limits(*pair) for model, pair in models.items() if isinstance(pair, list)},
            )
    raise ValueError("the journal holds a tier that this version cannot read")


def _limits(concurrent: Json, daily: Json) -> Limits:
    return Limits(
        concurrent=concurrent if isinstance(concurrent, int) else None,
        daily=daily if isinstance(daily, int) else None,
    )


def _with(limits: Limits, name: str, value: Json) -> Limits:
    number = value if isinstance(value, int) else None
    return replace(limits, concurrent=number) if name.startswith("maxC") else replace(limits, daily=number)


def _limit(value: Json) -> bool:
    return value is None or (type(value) is int and value >= 0)


def _number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**12
