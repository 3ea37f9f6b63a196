"""Films as rows: each change of one with its plan and its request in one transaction, under the project's lock."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from evergreen_server.film.codec import from_document
from evergreen_server.film.errors import (
    FilmNotFound,
    FilmRequestReused,
    PlanChanged,
    PlanDeleted,
    PlanNotFound,
    TooManyFilms,
)
from evergreen_server.film.model import FilmRequest, FilmWarning, Plan
from evergreen_server.film.planning.plan import Changes, Planned
from evergreen_server.film.plans.taken import refuse_taken
from evergreen_server.film.runs.events import FilmEventKind, FilmEvents, line_of
from evergreen_server.film.runs.films import Film, FilmState, film_in, film_of, with_exports
from evergreen_server.film.runs.queries import newest_runs
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.film_schema import film_exports, film_outputs, film_plans, film_requests, film_runs, films
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.feed.films import subject_of
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.store.audit import record
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.project_lock import lock_project
from evergreen_server.ports.audit import Note
from evergreen_server.ports.specs import Json

PLANS_KEPT: Final = 20
"""The newest plans of a film."""
MOST_FILMS: Final = 1_000
"""Films of a project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    """A film with one of its plans."""

    film: Film
    plan_revision: int
    planned: Planned
    dropped: tuple[str, ...] = ()
    """Scripts that no plan names any more since this one was recorded."""


class FilmStore:
    """Reads and writes films. Each method is one snapshot or one transaction."""

    def __init__(
        self,
        *,
        database: Database,
        jobs: JobStore,
        clock: Callable[[], datetime],
        events: FilmEvents,
        most_films: int = MOST_FILMS,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._clock = clock
        self._events = events
        self._most_films = most_films

    async def find(
        self, project_id: str, film_id: str, request: FilmRequest
    ) -> tuple[StoredPlan | None, StoredPlan | None]:
        """Returns the plan that an earlier call of this request made, and the film's newest one; None for none.

        Raises FilmRequestReused on another body, PlanDeleted if the plan is no longer kept.
        """

        def read(db: sa.Connection) -> tuple[StoredPlan | None, StoredPlan | None]:
            known = _find(db, project_id, request)
            try:
                return known, _get(db, project_id, film_id, 0)
            except FilmNotFound:
                return known, None

        return await self._database.read_in_turn(read, owner=project_id)

    async def get(self, project_id: str, film_id: str, plan_revision: int = 0) -> StoredPlan:
        """Returns a film with a plan, by default its newest. Raises FilmNotFound, PlanNotFound."""
        return await self._database.read_in_turn(
            lambda db: _get(db, project_id, film_id, plan_revision), owner=project_id
        )

    async def plan(self, project_id: str, film_id: str, plan_revision: int) -> Plan:
        """Returns a plan of a film. Raises FilmNotFound, PlanNotFound."""
        return (await self.get(project_id, film_id, plan_revision)).planned.plan

    async def present(self, project_id: str, film_id: str) -> Film:
        """Returns a film without its plan. Raises FilmNotFound."""
        return await self._database.fetch(lambda db: film_in(db, project_id, film_id))

    async def check_free(self, project_id: str, plan: Plan, before: Plan | None) -> None:
        """Raises SceneTaken if scenes that the plan before did not have are another film's, or have jobs, by now."""
        await self._database.read(lambda db: refuse_taken(db, plan, before, project_id=project_id))

    async def record(
        self,
        project_id: str,
        planned: Planned,
        document: Mapping[str, Json],
        *,
        before: StoredPlan | None,
        request: FilmRequest | None = None,
        note: Note | None = None,
    ) -> StoredPlan:
        """Records the next plan of a film, or the first one of a new film, the request that made it, and who did.

        `document` is the plan as JSON. The same request again returns the plan that it made. Of two calls that replace
        the same plan one succeeds. Raises FilmRequestReused, PlanDeleted, PlanChanged, FilmNotFound, SceneTaken,
        FilmBusy, TooManyFilms.
        """
        plan, now = planned.plan, self._clock()

        def work(db: sa.Connection) -> tuple[StoredPlan, list[Change]]:
            lock_project(db, project_id, now)
            if request is not None and (known := _find(db, project_id, request)) is not None:
                return known, []
            number = _next(db, project_id, plan.film_id, before)
            if before is not None:
                film_in(db, project_id, plan.film_id).check_plannable()
            elif _count(db, project_id) >= self._most_films:
                raise TooManyFilms(self._most_films)
            refuse_taken(db, plan, before.planned.plan if before else None, project_id=project_id)
            _write(db, project_id, plan, number, now)
            self._events.record(db, project_id, plan.film_id, FilmEventKind.PLANNED, now)
            film = with_exports(db, film_in(db, project_id, plan.film_id))
            key = {"project_id": project_id, "film_id": plan.film_id, "plan_revision": number}
            db.execute(
                film_plans.insert().values(
                    **key,
                    plan=document,
                    changes=asdict(planned.changes),
                    warnings=[asdict(warning) for warning in planned.warnings],
                    request_id=request.request_id if request else None,
                    created_at=to_micros(now),
                )
            )
            dropped = _forget(db, project_id, plan.film_id, number - PLANS_KEPT)
            if request is not None:
                db.execute(film_requests.insert().values(**key, **asdict(request), created_at=to_micros(now)))
            record(db, now, note, project_id=project_id, subject=plan.film_id, plan_revision=number)
            stored = StoredPlan(film=film, plan_revision=number, planned=planned, dropped=dropped)
            lines = line_of(FilmEventKind.PLANNED, project_id, plan.film_id, note, plan_revision=number)
            return stored, [Change(project_id=project_id, job_id=subject_of(plan.film_id), lines=lines)]

        return await self._jobs.write(work, project_id=project_id)

    async def page(self, project_id: str, *, states: Collection[FilmState], after: str, limit: int) -> Sequence[Film]:
        """Lists up to `limit` films by rising film_id, those after `after`; no states match all."""
        query = sa.select(films).where(films.c.project_id == project_id, films.c.film_id > after)
        query = query.order_by(films.c.film_id).limit(limit)
        # The index of a state's films is in order only within the state.
        parts = [query.where(films.c.state == state.value) for state in sorted(states)] or [query]

        def read(db: sa.Connection) -> Sequence[Film]:
            found = [row for part in parts for row in db.execute(part).mappings()]
            page = sorted(found, key=lambda row: row["film_id"])[:limit]
            runs = newest_runs(db, project_id, {row["film_id"]: row["run"] for row in page})
            return [film_of(row, runs.get(row["film_id"])) for row in page]

        return await self._database.read_in_turn(read, owner=project_id)

    async def delete(self, film: Film, note: Note | None = None) -> None:
        """Removes the rows of a film but for its requests and its jobs, and records who did.

        Raises FilmNotFound, FilmBusy, PlanChanged if it has a newer plan.
        """
        now = self._clock()

        def work(db: sa.Connection) -> tuple[None, list[Change]]:
            lock_project(db, film.project_id, now)
            present = film_in(db, film.project_id, film.film_id)
            present.check_over()
            if present.plan_revision != film.plan_revision:
                raise PlanChanged(film.film_id, expected=film.plan_revision, present=present.plan_revision)
            self._events.record(db, film.project_id, film.film_id, FilmEventKind.DELETED, now)
            for table in (film_exports, film_outputs, film_runs, film_plans, films):
                db.execute(table.delete().where(*_of(table, film.project_id, film.film_id)))
            record(db, now, note, project_id=film.project_id, subject=film.film_id)
            lines = line_of(FilmEventKind.DELETED, film.project_id, film.film_id, note)
            return None, [Change(project_id=film.project_id, job_id=subject_of(film.film_id), lines=lines)]

        await self._jobs.write(work, project_id=film.project_id)


def _next(db: sa.Connection, project_id: str, film_id: str, before: StoredPlan | None) -> int:
    """Returns the number of the plan after the one before. Raises PlanChanged, FilmNotFound if it is not the newest."""
    expected = before.plan_revision if before else 0
    query = sa.select(films.c.plan_revision, films.c.created_at).where(*_of(films, project_id, film_id))
    present = db.execute(query).one_or_none()
    if present is None and before is not None:
        raise FilmNotFound(project_id, film_id)
    # A film that was deleted and made again counts anew.
    known = to_micros(before.film.created_at) if before else 0
    if present is not None and (present.plan_revision, present.created_at) != (expected, known):
        raise PlanChanged(film_id, expected=expected, present=present.plan_revision)
    return expected + 1


def _write(db: sa.Connection, project_id: str, plan: Plan, number: int, now: datetime) -> None:
    values = {"title": plan.title, "plan_revision": number, "updated_at": to_micros(now)}
    if number == 1:
        row = {
            "project_id": project_id,
            "film_id": plan.film_id,
            "scene_prefix": plan.settings.scene_prefix.lower(),
            "state": FilmState.PLANNED.value,
            "revision": 0,
            "created_at": to_micros(now),
        }
        db.execute(films.insert().values(**row, **values))
    else:
        db.execute(films.update().where(*_of(films, project_id, plan.film_id)).values(values))


def _find(db: sa.Connection, project_id: str, request: FilmRequest) -> StoredPlan | None:
    query = sa.select(film_requests).where(
        film_requests.c.project_id == project_id, film_requests.c.request_id == request.request_id
    )
    known = db.execute(query).one_or_none()
    if known is None:
        return None
    if known.digest != request.digest:
        raise FilmRequestReused(known.film_id)
    try:
        return _get(db, project_id, known.film_id, known.plan_revision, request_id=request.request_id)
    except (FilmNotFound, PlanNotFound):
        raise PlanDeleted(known.film_id, known.plan_revision) from None


def _get(
    db: sa.Connection, project_id: str, film_id: str, plan_revision: int, *, request_id: str | None = None
) -> StoredPlan:
    """Returns a film with a plan; with a request_id only if that request made it, and not one before the film's end."""
    film = with_exports(db, film_in(db, project_id, film_id))
    number = plan_revision or film.plan_revision
    query = sa.select(film_plans).where(*_of(film_plans, project_id, film_id), film_plans.c.plan_revision == number)
    row = db.execute(query).one_or_none()
    if row is None or request_id not in (None, row.request_id):
        raise PlanNotFound(film_id, number)
    planned = Planned(
        plan=from_document(row.plan),
        changes=Changes(**{name: tuple(ids) for name, ids in row.changes.items()}),
        warnings=tuple(FilmWarning(**warning) for warning in row.warnings),
    )
    return StoredPlan(film=film, plan_revision=number, planned=planned)


def _count(db: sa.Connection, project_id: str) -> int:
    return db.execute(sa.select(sa.func.count()).where(films.c.project_id == project_id)).scalar_one()


def _forget(db: sa.Connection, project_id: str, film_id: str, last: int) -> tuple[str, ...]:
    """Removes the plans of a film up to one, but for those that a run names; returns scripts that no other names."""
    script, of_film = film_plans.c.plan["script_asset"].as_string(), _of(film_plans, project_id, film_id)
    named = sa.exists().where(
        *_of(film_runs, project_id, film_id), film_runs.c.plan_revision == film_plans.c.plan_revision
    )
    old = (*of_film, film_plans.c.plan_revision <= last, ~named)
    gone = set(db.execute(sa.select(script).where(*old)).scalars())
    if gone:
        db.execute(film_plans.delete().where(*old))
        gone -= set(db.execute(sa.select(script).where(*of_film)).scalars())
    return tuple(sorted(asset for asset in gone if asset))


def _of(table: sa.Table, project_id: str, film_id: str) -> "tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]":
    return table.c.project_id == project_id, table.c.film_id == film_id
