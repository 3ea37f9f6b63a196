"""Times as people write them: ISO 8601, `2h`, `yesterday`. Without an offset, a time is local."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

import click

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LENGTH = re.compile(r"(\d{1,6})\s*([smhdw])")
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}

PAST_HELP = "2h, 3d, yesterday, or a time such as 2030-01-31T18:00 (local, unless it has an offset)"
FUTURE_HELP = "10m, 2h, tomorrow, or a time such as 2030-01-31T18:00 (local, unless it has an offset)"

Now = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


def past(text: str, now: Now = _now) -> datetime:
    """Returns a time; a length, such as `2h`, is one before now. Raises BadParameter."""
    return _moment(text, -1, now)


def future(text: str, now: Now = _now) -> datetime:
    """Returns a time; a length, such as `10m`, is one from now. Raises BadParameter."""
    return _moment(text, 1, now)


def _moment(text: str, direction: Literal[-1, 1], now: Now) -> datetime:
    word = text.strip().lower()
    try:
        if found := _LENGTH.fullmatch(word):
            return now() + direction * timedelta(**{_UNITS[found[2]]: int(found[1])})
        if word in _DAYS:
            day = now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
            # Not 24 hours, which is another time of day where clocks are changed.
            return (day + timedelta(days=_DAYS[word])).astimezone()
        if word == "now":
            return now()
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is not a time such as 2h, yesterday or 2030-01-31T18:00:00+01:00") from None
