"""A film as callers see it: its plan, how each output stands to it, and what it costs to make."""

from collections.abc import Mapping
from dataclasses import dataclass

from evergreen_server.film.composing.compose import File
from evergreen_server.film.digests import Standing
from evergreen_server.film.models import models_of
from evergreen_server.film.outputs import standings_of
from evergreen_server.film.plans.store import StoredPlan
from evergreen_server.film.quote import DailyLimits, Quote, quote
from evergreen_server.ports.catalog import ModelTable

__all__ = ["Seen", "seen_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A film with one of its plans."""

    stored: StoredPlan
    standings: Mapping[str, Standing]
    """By the key of each output."""
    quote: Quote


def seen_of(stored: StoredPlan, *, table: ModelTable, there: frozenset[File]) -> Seen:
    """Returns a film as callers see it; `there` are those of its files that exist. Pure; up to half a second."""
    plan = stored.planned.plan
    models = models_of(plan.settings, table)
    # Nothing was made yet, so nothing is compared with the content of these files: that they are there is enough.
    files = dict.fromkeys(there, "")
    standings = standings_of(plan, models, {}, files)
    quoted = quote(plan, models, standings, measured={}, spent={}, limits=DailyLimits(), files=files)
    return Seen(stored=stored, standings=standings, quote=quoted)
