"""The account as the API reports it: tier, balance, generations of the day, and usage by day and model."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from evergreen_server.providers.runway.catalog.models import Issue, Json, Operation, model_names
from evergreen_server.providers.runway.sandbox.http.answers import Answer, invalid
from evergreen_server.providers.runway.sandbox.http.routes import Asked, Route
from evergreen_server.providers.runway.sandbox.state.account import Limits
from evergreen_server.providers.runway.sandbox.state.books import Books
from evergreen_server.providers.runway.sandbox.state.tasks import MILLI

__all__ = ["organization_routes"]

# The real service still lists models that are no longer available, and what belongs to no operation of its API.
_FURTHER = (
    "gen3a_turbo", "gen4_aleph", "veo3", "eleven_scribe_v2", "voice_processing",
    "gwm1_avatar_async_audio_to_video", "gwm1_avatar_async_text_to_video",
)  # fmt: skip

_DAYS_DEFAULT, _DAYS_MOST = 30, 90


def organization_routes(books: Books) -> list[Route]:
    """Returns the rows of the account."""

    async def get(asked: Asked) -> Answer:
        return _organization(books, asked.now)

    async def query(asked: Asked) -> Answer:
        return _usage(books, asked.body, asked.now)

    return [
        Route(operation="get_organization", method="GET", path="/v1/organization", handler=get),
        Route(operation="query_usage", method="POST", path="/v1/organization/usage", handler=query),
    ]


def _organization(books: Books, now: float) -> Answer:
    made = (name for operation in Operation for name in model_names(operation))
    names = dict.fromkeys([*made, *_FURTHER])
    return Answer(
        status=200,
        body={
            "tier": {
                "maxMonthlyCreditSpend": books.tier.max_monthly_credits,
                "models": {name: _limits(books.tier.of(name)) for name in names},
            },
            # Reserved credits may be fractional; the balance is given in whole ones.
            "creditBalance": books.balance(now) // MILLI,
            "usage": {"models": {name: {"dailyGenerations": books.used_today(name, now)} for name in names}},
        },
    )


def _usage(books: Books, body: Mapping[str, Json], now: float) -> Answer:
    today = datetime.fromtimestamp(now, UTC).date()
    issues: list[Issue] = []
    start = _day(body, "startDate", issues) or today - timedelta(days=_DAYS_DEFAULT)
    before = _day(body, "beforeDate", issues) or start + timedelta(days=_DAYS_DEFAULT)
    if not issues and not timedelta(0) < before - start <= timedelta(days=_DAYS_MOST):
        message = f"beforeDate must lie after startDate, by at most {_DAYS_MOST} days"
        issues.append(Issue(("beforeDate",), "custom", message))
    if issues:
        return invalid([issue.record() for issue in issues])
    days: defaultdict[date, dict[str, int]] = defaultdict(dict)
    for (day, model), amount in books.net_usage(now).items():
        if start <= day < before:
            days[day][model] = amount
    results: list[Json] = [
        {
            "date": day.isoformat(),
            "usedCredits": [{"model": model, "amount": round(amount / MILLI)} for model, amount in models.items()],
        }
        for day, models in sorted(days.items())
    ]
    models: list[Json] = [*sorted({model for day in days.values() for model in day})]
    return Answer(status=200, body={"results": results, "models": models})


def _limits(limits: Limits) -> dict[str, Json]:
    return {"maxConcurrentGenerations": limits.concurrent, "maxDailyGenerations": limits.daily}


def _day(body: Mapping[str, Json], name: str, issues: list[Issue]) -> date | None:
    value = body.get(name)
    if value is None:
        return None
    try:
        return datetime.strptime(str(value), "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        issues.append(Issue((name,), "custom", "Invalid date. Expected YYYY-MM-DD"))
        return None
