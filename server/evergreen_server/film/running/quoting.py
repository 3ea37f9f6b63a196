"""What a run may still cost: the price of every output that it may have made, by what is there now. Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from evergreen_server.film.digests import Currency, Standing
from evergreen_server.film.model import OutputKind, Plan, output_key
from evergreen_server.film.models import FilmModels
from evergreen_server.film.outputs import standings_of
from evergreen_server.film.plans.seen import known_of, progress_of
from evergreen_server.film.quote import DailyLimits, quote
from evergreen_server.film.runs.deciding import FilmStage, Item, statuses
from evergreen_server.film.runs.looking import Look, Store, look
from evergreen_server.film.runs.queries import Made
from evergreen_server.film.runs.run import FilmRun, RunKind
from evergreen_server.film.statuses import Status
from evergreen_server.jobs.model.states import FINAL, State

__all__ = ["Needed", "needed_by", "takes_after"]

_BLOCKED: Final = frozenset({Status.BLOCKED})
_LACKS: Final = frozenset({Status.TROUBLE, Status.FATAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What a run still needs, at the most."""

    millicredits: int
    unpriced: tuple[str, ...]
    """The shots and lines of which an output has no known price."""
    blocked: tuple[str, ...]
    """The shots and lines of which nobody can tell whether an output is there."""
    lacking: tuple[str, ...] = ()
    """The shots and lines of which an export lacks an output that nothing may stand in for."""
    unusable: tuple[str, ...] = ()
    """The shots and lines that a run asks about, whose file was refused and would be taken again."""


def needed_by(run: FilmRun, plan: Plan, models: FilmModels, *, made: Made, store: Store) -> Needed:
    """Returns what a run still needs for a plan. Takes up to half a second."""
    seen = look(run, plan, models, outputs=made.outputs, jobs=made.jobs, store=store)
    found = statuses(seen.items)
    unusable = tuple(_unusable(run, seen))
    if run.kind is RunKind.EXPORT:
        return Needed(
            millicredits=0,
            unpriced=(),
            blocked=_with(_BLOCKED, seen, found),
            lacking=_with(_LACKS, seen, found),
            unusable=unusable,
        )
    present = standings_of(plan, models, known_of(progress_of(made, store), store), store.files)
    standings = {item.key: _standing(item, found, present[item.key]) for item in seen.items}
    quoted = quote(
        plan,
        models,
        standings,
        measured=seen.measured,
        spent={},
        limits=DailyLimits(),
        redo=run.terms.redo,
        files=store.files,
    )
    of_run = [item for item in quoted.items if not item.reused and _makes(run, item.kind)]
    return Needed(
        millicredits=sum(item.millicredits or 0 for item in of_run),
        unpriced=tuple(dict.fromkeys(item.item_id for item in of_run if item.millicredits is None)),
        blocked=_with(_BLOCKED, seen, found),
        unusable=unusable,
    )


def takes_after(run: FilmRun, made: Made) -> dict[str, int]:
    """Returns by the base of what a run asks about, and whose job has ended, the take that an approval has it make."""
    asked = {trouble.job_id for trouble in run.troubles if trouble.job_id}
    ended = {job_id for job_id in asked if (job := made.jobs.get(job_id)) is None or _failed(job.state)}
    # One that has its file was made, whether its job is still kept or not.
    return {output.base: output.take + 1 for output in made.outputs if output.job_id in ended and not output.source}


def _failed(state: State) -> bool:
    return state in FINAL and state is not State.SUCCEEDED


def _standing(item: Item, found: Mapping[str, Status], present: Standing) -> Standing:
    """Returns how an output stands for the quote: whether the run has a job accepted for it, as far as is known.

    One that waits for others stands as it does to what is there of those; the quote knows what their change may change.
    """
    match found[item.key]:
        case Status.READY:
            return Standing(currency=Currency.MISSING)
        case Status.WAITS:
            # What comes of jobs that are under way nobody can tell.
            unknown = any(found[key] in (Status.OPEN, Status.ASKS) for key in item.after)
            return Standing(currency=Currency.MISSING) if unknown else present
        case _:
            return Standing(currency=Currency.CURRENT)


def _makes(run: FilmRun, kind: OutputKind) -> bool:
    return kind is not OutputKind.CLIP or run.terms.stop_after is not FilmStage.STORYBOARD


def _unusable(run: FilmRun, seen: Look) -> Iterator[str]:
    for trouble in run.troubles:
        source = seen.sources.get(output_key(trouble.item_id, OutputKind(trouble.output)))
        if trouble.sha256 and source is not None and source.sha256 == trouble.sha256:
            yield trouble.item_id


def _with(some: Collection[Status], seen: Look, found: Mapping[str, Status]) -> tuple[str, ...]:
    """Returns the shots and lines with an output that stands so."""
    return tuple(dict.fromkeys(item.key.rpartition("/")[0] for item in seen.items if found[item.key] in some))
