"""The one door for runs of films: starts, approves and cancels them, and has exports made of what is there.

Every edge calls it with values, whatever its wire. What it refuses is raised as one of these, and nothing is recorded:

    InvalidRequest           fields break the contract; every one of them is named
    FilmRequestReused        the request_id belongs to another request
    RunDeleted               the request began a run that was deleted with its film
    FilmNotFound             there is no such film
    PlanChanged              the plan is not the one that the caller has read
    RunNotFound              the film has no such run
    RunChanged               the run is not as the caller has read it
    FilmBusy                 a run of the film is on
    PlanNotFound             the film has no plan of this revision, or no longer keeps it
    OutputsMissing           an export needs outputs that are not there
    PriceUnknown             the price of an output is not known
    FilmCreditsExceeded      what is to be made may cost more than the sum that is approved
    ProjectCreditsExceeded   what is to be made may take the project beyond its cap
    StorageError             the storage does not answer, so that nobody can tell what is to be made
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from evergreen_server.film.composing.compose import files_of
from evergreen_server.film.errors import OutputsMissing, PlanChanged, RunChanged
from evergreen_server.film.model import FilmRequest, Plan
from evergreen_server.film.models import models_of
from evergreen_server.film.plans.store import FilmStore, StoredPlan
from evergreen_server.film.running.calls import (
    ApproveRequest,
    ExportRequest,
    StartRequest,
    approve_errors,
    cancel_errors,
    export_terms,
    key_errors,
    start_errors,
)
from evergreen_server.film.running.quoting import needed_by, takes_after
from evergreen_server.film.runs.deciding import FilmStage
from evergreen_server.film.runs.queries import Made
from evergreen_server.film.runs.run import WAITS_FOR_PEOPLE, Approval, FilmRun, RunKind, RunState, Terms
from evergreen_server.film.runs.store import RunStore
from evergreen_server.film.runs.survey import Surveyor
from evergreen_server.jobs.model.held import Held
from evergreen_server.jobs.store.ledger import PriceUnknown
from evergreen_server.ports.audit import Action, Origin, note_of
from evergreen_server.ports.catalog import ModelTable
from evergreen_server.ports.specs import InvalidRequest
from evergreen_server.runtime.threads import OwnThreads
from evergreen_storage import Unavailable

__all__ = ["FilmRuns"]

NAMED: Final = 10
"""Shots and lines that a refusal names."""


class FilmRuns:
    """Starts, approves and cancels runs of films. What takes the processor long is done in threads."""

    def __init__(
        self,
        *,
        films: FilmStore,
        runs: RunStore,
        surveyor: Surveyor,
        models: ModelTable,
        threads: OwnThreads,
        clock: Callable[[], datetime],
    ) -> None:
        self._films = films
        self._runs = runs
        self._surveyor = surveyor
        self._models = models
        self._threads = threads
        self._clock = clock

    async def start(self, request: StartRequest, origin: Origin | None = None) -> FilmRun:
        """Begins a run of a film's newest plan, or finds the one that an earlier call of the same request began.

        It never spends more than `max_credits`. Raises what the module names.
        """
        wrong_key = list(key_errors(request))
        errors = [*wrong_key, *start_errors(request, self._clock())]
        key = FilmRequest(request_id=request.request_id, digest=request.digest)
        if not wrong_key and (known := await self._runs.find(request.project_id, key)) is not None:
            # A request that was carried out stays so, whatever the rules are by now.
            return known
        if errors:
            raise InvalidRequest(errors)
        stored = await self._newest(request.project_id, request.film_id, request.plan_revision)
        money = Held(approved=round((request.max_credits or 0) * 1000))
        run = replace(self._new(request, request.terms), money=money, finish_by=request.finish_by)
        made = await self._runs.made(request.project_id, request.film_id)
        quoted = await self._needed(run, stored.planned.plan, made)
        note = note_of(origin, Action.START_FILM, approved_credits=f"{money.approved / 1000:.15g}")
        return await self._runs.start(run, quote=quoted, request=key, planned_at=stored.film.created_at, note=note)

    async def export(self, request: ExportRequest, origin: Origin | None = None) -> FilmRun:
        """Begins a run that makes exports of what is there, of a plan that is kept, or finds the one that an earlier
        call of the same request began.

        It has no jobs and costs nothing. Raises what the module names.
        """
        key = FilmRequest(request_id=request.request_id, digest=request.digest)
        wrong_key = list(key_errors(request))
        if not wrong_key and (known := await self._runs.find(request.project_id, key)) is not None:
            return known
        terms = export_terms(replace(request, unread=(*wrong_key, *request.unread)))
        project_id, film_id = request.project_id, request.film_id
        stored = await self._films.get(project_id, film_id, request.plan_revision)
        stored.film.check_over()
        run = replace(self._new(request, terms), kind=RunKind.EXPORT, stage=FilmStage.ASSEMBLING)
        made = await self._runs.made(project_id, film_id)
        await self._needed(run, stored.planned.plan, made)
        note = note_of(origin, Action.EXPORT_FILM)
        return await self._runs.start(run, quote=0, request=key, planned_at=stored.film.created_at, note=note)

    async def approve(self, request: ApproveRequest, origin: Origin | None = None) -> FilmRun:
        """Has a run that waits for people go on: from its gate, or after what it asked about.

        What failed is made once more. The approval is of the moment at which the run had its revision, so that one
        which comes twice passes nothing more. Raises what the module names.
        """
        if errors := list(approve_errors(request)):
            raise InvalidRequest(errors)
        project_id, film_id = request.project_id, request.film_id
        run = await self._runs.get(project_id, film_id, request.run)
        approval = Approval(
            revision=request.revision,
            plan_revision=request.plan_revision,
            approved=round((request.max_credits or 0) * 1000),
        )
        if run.approval == approval:
            return run
        if run.state not in WAITS_FOR_PEOPLE or run.revision != request.revision:
            raise RunChanged(film_id, run=run.run, state=run.state, revision=run.revision)
        stored = await self._newest(project_id, film_id, request.plan_revision)
        made = await self._runs.made(project_id, film_id)
        takes = takes_after(run, made)
        on = replace(run, takes={**run.takes, **takes}, plan_revision=request.plan_revision)
        quoted = await self._needed(on, stored.planned.plan, made)
        note = note_of(origin, Action.APPROVE_FILM, approved_credits=f"{approval.approved / 1000:.15g}")
        return await self._runs.approve(run, approval, quote=quoted, takes=takes, note=note)

    async def cancel(self, project_id: str, film_id: str, run: int, origin: Origin | None = None) -> FilmRun:
        """Has a run end: its jobs are cancelled, and what was made stays. One that ends, or has ended, stays so.

        Raises InvalidRequest, RunNotFound.
        """
        if errors := list(cancel_errors(project_id, film_id, run)):
            raise InvalidRequest(errors)

        def edit(old: FilmRun) -> FilmRun:
            return old if old.ended or old.state is RunState.CANCELLING else old.cancelling()

        return await self._runs.command(project_id, film_id, run, edit, note_of(origin, Action.CANCEL_FILM))

    async def _newest(self, project_id: str, film_id: str, plan_revision: int) -> StoredPlan:
        """Returns a film with its newest plan. Raises FilmNotFound; PlanChanged if that is another one."""
        stored = await self._films.get(project_id, film_id)
        if stored.plan_revision != plan_revision:
            raise PlanChanged(film_id, expected=plan_revision, present=stored.plan_revision)
        return stored

    async def _needed(self, run: FilmRun, plan: Plan, made: Made) -> int:
        """Returns what a run may still cost, in millicredits. Raises InvalidRequest, PriceUnknown, StorageError."""
        store = await self._surveyor.survey(run.project_id, [place for _, place in files_of(plan)], made.outputs)
        models = models_of(plan.settings, self._models)
        work = partial(needed_by, run, plan, models, made=made, store=store)
        needed = await self._threads.run(work, owner=run.project_id)
        if needed.blocked:
            # A fault of the storage must not become a bill.
            raise Unavailable(f"nobody can tell whether the outputs of these are there: {_named(needed.blocked)}")
        if needed.unusable:
            raise OutputsMissing(run.film_id, _named(needed.unusable), unusable=True)
        if needed.lacking:
            raise OutputsMissing(run.film_id, _named(needed.lacking))
        if needed.unpriced:
            raise PriceUnknown(f"the price of an output of these is not known: {_named(needed.unpriced)}")
        return needed.millicredits

    def _new(self, request: StartRequest | ExportRequest, terms: Terms) -> FilmRun:
        now = self._clock()
        return FilmRun(
            project_id=request.project_id,
            film_id=request.film_id,
            run=0,
            plan_revision=request.plan_revision,
            terms=terms,
            money=Held(approved=0),
            traceparent=request.traceparent,
            created_at=now,
            updated_at=now,
        )


def _named(ids: tuple[str, ...]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more
