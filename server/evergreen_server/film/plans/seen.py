"""A film as callers see it: its plan, how each output stands to it, and what it costs to make."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evergreen_server.film.composing.compose import File
from evergreen_server.film.digests import Currency, Standing
from evergreen_server.film.model import FilmWarning, Plan
from evergreen_server.film.models import models_of
from evergreen_server.film.outputs import standings_of, wanted_of
from evergreen_server.film.plans.store import StoredPlan
from evergreen_server.film.quote import DailyLimits, Quote, quote
from evergreen_server.ports.catalog import ModelTable
from evergreen_server.ports.specs import FieldError, InvalidRequest

__all__ = ["Seen", "seen_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A film with one of its plans."""

    stored: StoredPlan
    standings: Mapping[str, Standing]
    """By the key of each output."""
    quote: Quote


def seen_of(stored: StoredPlan, *, table: ModelTable, there: frozenset[File]) -> Seen:
    """Returns a film as callers see it; `there` are those of its files that exist. Pure; up to half a second.

    A plan whose settings the models no longer take can still be read: then nobody can tell how outputs stand to it, or
    what they cost.
    """
    plan = stored.planned.plan
    try:
        models = models_of(plan.settings, table)
    except InvalidRequest as exc:
        standings = {wanted.key: Standing(currency=Currency.BLOCKED) for wanted in wanted_of(plan)}
        return Seen(stored=stored, standings=standings, quote=_unknown(plan, exc.field_errors))
    # Nothing was made yet, so nothing is compared with the content of these files: that they are there is enough.
    files = dict.fromkeys(there, "")
    standings = standings_of(plan, models, {}, files)
    quoted = quote(plan, models, standings, measured={}, spent={}, limits=DailyLimits(), files=files)
    return Seen(stored=stored, standings=standings, quote=quoted)


def _unknown(plan: Plan, faults: Iterable[FieldError]) -> Quote:
    text = "The models no longer take this; change it by an edit: {}: {}"
    return Quote(
        millicredits=None,
        reused_millicredits=0,
        items=(),
        unpriced=tuple(dict.fromkeys(wanted.item_id for wanted in wanted_of(plan))),
        seconds=sum(shot.seconds for _, shot in plan.shots()),
        provider_days=None,
        warnings=tuple(
            FilmWarning(code="SETTING_REFUSED", message=text.format(fault.field, fault.description)) for fault in faults
        ),
    )
