"""A film as callers see it: its plan, how each output stands to it, and what it costs to make."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from evergreen_server.film.composing.compose import File
from evergreen_server.film.digests import Currency, Standing
from evergreen_server.film.model import FilmSettings, FilmWarning, Plan
from evergreen_server.film.models import models_of
from evergreen_server.film.outputs import Made as MadeOutput
from evergreen_server.film.outputs import measured_of, standings_of, wanted_of
from evergreen_server.film.plans.store import StoredPlan
from evergreen_server.film.quote import DailyLimits, Quote, quote
from evergreen_server.film.runs.looking import Store, place_of
from evergreen_server.film.runs.queries import Made
from evergreen_server.film.runs.rows import FilmOutput
from evergreen_server.jobs.model.job import Job
from evergreen_server.ports.catalog import ModelTable
from evergreen_server.ports.provider import Account
from evergreen_server.ports.specs import FieldError, InvalidRequest

__all__ = ["Progress", "Seen", "known_of", "progress_of", "seen_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a film has of one output."""

    made: FilmOutput | None = None
    """The newest take of which the file is there."""
    job: Job | None = None
    """Of the newest take, while it is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A film with one of its plans."""

    stored: StoredPlan
    standings: Mapping[str, Standing]
    """By the key of each output."""
    quote: Quote
    progress: Mapping[str, Progress]
    """By the key of each output for which there was a job."""


def seen_of(
    stored: StoredPlan,
    *,
    table: ModelTable,
    there: frozenset[File],
    made: Made | None = None,
    store: Store | None = None,
    account: Account | None = None,
) -> Seen:
    """Returns a film as callers see it; `there` are those of its files that exist, which `store` knows by content where
    anything was made, and `account` is the provider's as it was last known. Pure; up to half a second.

    A plan whose settings the models no longer take can still be read: then nobody can tell how outputs stand to it, or
    what they cost.
    """
    plan, made, store = stored.planned.plan, made or Made(outputs=(), jobs={}), store or Store(files={})
    progress = progress_of(made, store)
    try:
        models = models_of(plan.settings, table)
    except InvalidRequest as exc:
        standings = {wanted.key: Standing(currency=Currency.BLOCKED) for wanted in wanted_of(plan)}
        unknown = _unknown(plan, exc.field_errors)
        return Seen(stored=stored, standings=standings, quote=unknown, progress=progress)
    # Where nothing was made, nothing is compared with the content of these files: that they are there is enough.
    files = {**dict.fromkeys(there, ""), **store.files}
    rows = {key: each.made for key, each in progress.items() if each.made is not None}
    known = known_of(progress, store)
    standings = standings_of(plan, models, known, files)
    measured = measured_of(plan, known, standings)
    spent = {key: row.millicredits or 0 for key, row in rows.items()}
    limits = _daily(plan.settings, account)
    quoted = quote(plan, models, standings, measured=measured, spent=spent, limits=limits, files=files)
    return Seen(stored=stored, standings=standings, quote=_paid(quoted, account), progress=progress)


def _daily(settings: FilmSettings, account: Account | None) -> DailyLimits:
    """Returns how many outputs of each kind the account's tier makes in a day, of the film's models."""
    if account is None:
        return DailyLimits()
    most = {model: limits.max_daily for model, limits in account.limits.items()}
    return DailyLimits(
        pictures=most.get(settings.picture_model),
        speech=most.get(settings.speech_model),
        clips=most.get(settings.clip_model),
    )


def _paid(quoted: Quote, account: Account | None) -> Quote:
    """Returns a quote with a warning if the account cannot pay for it. How much it has is for others to know."""
    if account is None or (quoted.millicredits or 0) <= account.balance_millicredits:
        return quoted
    text = "The provider's account has fewer credits left than it may cost to make this film."
    return replace(quoted, warnings=(*quoted.warnings, FilmWarning(code="BALANCE_LOW", message=text)))


def known_of(progress: Mapping[str, Progress], store: Store) -> dict[str, MadeOutput]:
    """Returns by key what is known of the newest take of each output of which the file is there."""
    return {key: _made(each.made, store) for key, each in progress.items() if each.made is not None}


def progress_of(made: Made, store: Store) -> dict[str, Progress]:
    """Returns by key what a film has of each output for which there was a job."""
    found: dict[str, Progress] = {}
    newest: dict[str, str] = {}
    for row in made.outputs:
        before = found.get(row.key, Progress())
        # Ids of jobs rise with time.
        newest[row.key] = max(newest.get(row.key, ""), row.job_id)
        is_there = row.source is not None and row.source.sha256 and place_of(row.source) not in store.gone
        found[row.key] = Progress(made=row if is_there else before.made, job=made.jobs.get(newest[row.key]))
    return found


def _made(row: FilmOutput, store: Store) -> MadeOutput:
    assert row.source is not None, "its file is there"
    there = None if place_of(row.source) in store.unknown else True
    return MadeOutput(basis=row.basis, source=row.source, there=there, seconds=row.seconds)


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
