"""The one door for films: plans, edits, reads, lists and deletes them. It spends nothing.

Every edge calls it with values, whatever its wire. What it refuses is raised as one of these, and nothing is recorded:

    InvalidRequest     fields break the contract, the models' rules or the plan; every one of them is named
    ScriptRefused      the script has faults; each is named with its place
    FilmRequestReused  the request_id belongs to another request
    PlanDeleted        the request's plan is no longer kept
    FilmNotFound       there is no such film
    PlanNotFound       the film has no such plan, or no longer keeps it
    PlanChanged        the plan is not the one that the caller has read
    TooManyFilms       the project has as many films as it may have
    SceneTaken         a scene of the film belongs to another film, or to jobs
    FilmBusy           a run of the film is on
    SceneBusy          a folder of the film is in use, or being deleted
    StorageError       the storage does not answer
"""

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial

from evergreen_server.film.codec import to_document
from evergreen_server.film.composing.compose import File, files_of
from evergreen_server.film.errors import FilmNotFound, PlanChanged
from evergreen_server.film.model import FilmRequest, Plan
from evergreen_server.film.planning.plan import Planned
from evergreen_server.film.plans.calls import EditRequest, PlanRequest, edit_errors, id_errors, plan_errors
from evergreen_server.film.plans.judging import field_of, judge_edits, judge_script
from evergreen_server.film.plans.removal import FilmRemoval
from evergreen_server.film.plans.seen import Seen, seen_of
from evergreen_server.film.plans.store import FilmStore, StoredPlan
from evergreen_server.film.runs.films import Film, FilmState
from evergreen_server.film.runs.store import RunStore
from evergreen_server.film.runs.survey import Surveyor
from evergreen_server.ports.audit import Action, Origin, note_of
from evergreen_server.ports.catalog import ModelTable
from evergreen_server.ports.provider import Account
from evergreen_server.ports.specs import FieldError, InvalidRequest, Json
from evergreen_server.runtime.threads import OwnThreads
from evergreen_server.scenes.deletion import SceneDeletions
from evergreen_storage import SceneStore, StorageError

logger = logging.getLogger(__name__)


class Films:
    """Plans films, and keeps their plans. What takes the processor long is done in threads, projects in turn."""

    def __init__(
        self,
        *,
        store: FilmStore,
        runs: RunStore,
        surveyor: Surveyor,
        scenes: SceneStore,
        deletions: SceneDeletions,
        models: ModelTable,
        account: Callable[[], Account | None],
        threads: OwnThreads,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._runs = runs
        self._surveyor = surveyor
        self._scenes = scenes
        self._deletions = deletions
        self._models = models
        self._account = account
        self._threads = threads
        self._clock = clock
        self._removal = FilmRemoval(store=store, deletions=deletions)

    async def plan(self, request: PlanRequest, origin: Origin | None = None) -> Seen:
        """Records the plan of a script, or finds the one that an earlier call of the same request made.

        With `validate_only` returns it as it would be. Raises what the module names.
        """
        key = FilmRequest(request_id=request.request_id, digest=request.digest)
        before = None
        if not any(plan_errors(request)):
            known, before = await self._store.find(request.project_id, request.film_id, key)
            if known is not None and not request.validate_only:
                return await self._seen(known, await self._there(known))
            _check_newest(before, request)
            if before is not None and not request.validate_only:
                before.film.check_plannable()
        planned, document = await self._judged(partial(judge_script, request), request.project_id, before)
        stored, there = await self._checked(request, planned, before)
        if not request.validate_only:
            # Held until the row is there, so that no deletion of the scene takes the script away between the two. A
            # crash leaves a file that the same script finds again.
            async with self._deletions.hold(request.project_id, request.film_id):
                await self._keep_script(request, planned.plan)
                note = note_of(origin, Action.PLAN_FILM)
                stored = await self._store.record(
                    request.project_id, planned, document, before=before, request=key, note=note
                )
                await self._drop_scripts(stored)
        return await self._seen(stored, there)

    async def edit(self, request: EditRequest, origin: Origin | None = None) -> Seen:
        """Records the plan after some edits; with `validate_only` returns it as it would be.

        Raises what the module names.
        """
        if errors := list(edit_errors(request)):
            raise InvalidRequest(errors)
        before = await self._store.get(request.project_id, request.film_id)
        _check_newest(before, request)
        if not request.validate_only:
            before.film.check_plannable()
        planned, document = await self._judged(partial(judge_edits, request), request.project_id, before)
        stored, there = await self._checked(request, planned, before)
        if not request.validate_only:
            note = note_of(origin, Action.PLAN_FILM)
            stored = await self._store.record(request.project_id, planned, document, before=before, note=note)
            await self._drop_scripts(stored)
        return await self._seen(stored, there)

    async def get(self, project_id: str, film_id: str, plan_revision: int = 0) -> Seen:
        """Returns a film with a plan, by default its newest. Raises InvalidRequest, FilmNotFound, PlanNotFound."""
        errors = list(id_errors(project_id, film_id))
        if plan_revision < 0:
            errors.append(FieldError(field="plan_revision", description="must not be negative"))
        if errors:
            raise InvalidRequest(errors)
        stored = await self._store.get(project_id, film_id, plan_revision)
        return await self._seen(stored, await self._there(stored))

    async def page(self, project_id: str, *, states: Collection[FilmState], after: str, limit: int) -> Sequence[Film]:
        """Lists up to `limit` films by rising film_id, those after `after`; no states match all."""
        return await self._store.page(project_id, states=states, after=after, limit=limit)

    async def delete(
        self, project_id: str, film_id: str, *, scenes: bool, origin: Origin | None = None
    ) -> Sequence[str]:
        """Deletes a film, with `scenes` after its folders; returns the paths of files that cannot be removed.

        Raises InvalidRequest, FilmNotFound, PlanChanged; SceneBusy, StorageError if it must be repeated.
        """
        if errors := list(id_errors(project_id, film_id)):
            raise InvalidRequest(errors)
        return await self._removal.delete(project_id, film_id, scenes=scenes, origin=origin)

    async def _judged(
        self, judge: Callable[[Plan | None, ModelTable], Planned], project_id: str, before: StoredPlan | None
    ) -> tuple[Planned, dict[str, Json]]:
        """Returns the plan that is asked for, also as JSON. Raises InvalidRequest, ScriptRefused."""

        def work() -> tuple[Planned, dict[str, Json]]:
            planned = judge(before.planned.plan if before else None, self._models)
            return planned, to_document(planned.plan)

        return await self._threads.run(work, owner=project_id)

    async def _checked(
        self, request: PlanRequest | EditRequest, planned: Planned, before: StoredPlan | None
    ) -> tuple[StoredPlan, frozenset[File]]:
        """Returns a plan as it would be stored now, and which of its files exist.

        Raises InvalidRequest if a file that the plan before did not name does not exist: one that was there once and
        is gone by now keeps nobody from changing something else. Raises SceneTaken.
        """
        stored = self._unstored(request.project_id, planned, before)
        there = await self._there(stored)
        known = {place for _, place in files_of(before.planned.plan)} if before else set[File]()
        added = dict.fromkeys(place for _, place in files_of(planned.plan) if place not in known | there)
        if added:
            text = "the scene {} has no {!r}; upload it first"
            raise InvalidRequest(
                [FieldError(field=field_of(request, place), description=text.format(*place)) for place in added]
            )
        await self._store.check_free(request.project_id, planned.plan, before.planned.plan if before else None)
        return stored, there

    def _unstored(self, project_id: str, planned: Planned, before: StoredPlan | None) -> StoredPlan:
        now, number = self._clock(), before.plan_revision + 1 if before else 1
        film = Film(
            project_id=project_id,
            film_id=planned.plan.film_id,
            title=planned.plan.title,
            state=before.film.state if before else FilmState.PLANNED,
            plan_revision=number,
            run=before.film.run if before else None,
            revision=before.film.revision if before else 0,
            created_at=before.film.created_at if before else now,
            updated_at=now,
            exports=before.film.exports if before else (),
        )
        return StoredPlan(film=film, plan_revision=number, planned=planned)

    async def _there(self, stored: StoredPlan) -> frozenset[File]:
        """Returns which of the files that a plan names exist."""
        wanted = {place for _, place in files_of(stored.planned.plan)}
        return await self._scenes.those_held(stored.film.project_id, sorted(wanted))

    async def _keep_script(self, request: PlanRequest, plan: Plan) -> None:
        await self._scenes.create(request.project_id, request.film_id)
        name = plan.script_asset.removeprefix("metadata/")
        data = request.script.encode()
        await self._scenes.keep_document(request.project_id, request.film_id, name, data, "text/plain")

    async def _drop_scripts(self, stored: StoredPlan) -> None:
        """Removes the scripts of plans that are no longer kept; what the storage does not remove stays there."""
        for asset in stored.dropped:
            name = asset.removeprefix("metadata/")
            try:
                await self._scenes.drop_document(stored.film.project_id, stored.film.film_id, name)
            except StorageError as exc:
                logger.warning("script not removed", extra={"film": stored.film.film_id, "cause": type(exc).__name__})

    async def _seen(self, stored: StoredPlan, there: frozenset[File]) -> Seen:
        project_id, film = stored.film.project_id, stored.film
        made = await self._runs.made(project_id, film.film_id)
        store = None
        if made.outputs:
            places = [place for _, place in files_of(stored.planned.plan)]
            # While a run is on, callers ask again and again, and it looks itself.
            idle = film.run is None or film.run.ended
            store = await self._surveyor.glance(project_id, places, made.outputs if idle else ())
        account = self._account()
        work = partial(seen_of, stored, table=self._models, there=there, made=made, store=store, account=account)
        return await self._threads.run(work, owner=project_id)


def _check_newest(newest: StoredPlan | None, request: PlanRequest | EditRequest) -> None:
    """Raises FilmNotFound, PlanChanged if the newest plan is not the one that the request names."""
    if newest is None and request.plan_revision:
        raise FilmNotFound(request.project_id, request.film_id)
    if newest is not None and newest.plan_revision != request.plan_revision:
        raise PlanChanged(request.film_id, expected=request.plan_revision, present=newest.plan_revision)
