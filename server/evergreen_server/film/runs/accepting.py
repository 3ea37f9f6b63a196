"""Accepts the job of an output within a transaction, as the next take that can deliver its file."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from evergreen_server.film.composing.compose import Composed
from evergreen_server.film.digests import Basis, digest_of, request_id
from evergreen_server.film.model import OutputKind
from evergreen_server.film.outputs import Wanted
from evergreen_server.film.runs.queries import of_film
from evergreen_server.film.runs.run import FilmRun
from evergreen_server.jobs.db.database import insert_new
from evergreen_server.jobs.db.film_schema import film_outputs, film_takes
from evergreen_server.jobs.db.schema import jobs, requests
from evergreen_server.jobs.intake import GenerationRequest, Intake
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.errors import JobError
from evergreen_server.jobs.model.job import JobRequest
from evergreen_server.jobs.model.states import FINAL, State
from evergreen_server.jobs.store.jobs import JobStore

__all__ = ["Accepting", "NewChild", "accept_child", "new_child"]

FINISH_WITHIN: Final = timedelta(days=30)
"""Until then a job of a film may wait, where the run has no end: a film may take longer than the provider's day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChild:
    """A job to be accepted for an output; its request is complete but for what names it."""

    item_id: str
    kind: OutputKind
    base: str
    basis: Basis
    request: JobRequest
    estimated_millicredits: int
    job_id: str
    """Of a job that must be made anew."""
    lost: bool = False
    """Whether the file of the newest take was found to be gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepting:
    """What became of jobs that were to be accepted, in their order: so many were, and the next was refused."""

    accepted: int
    refused: JobError | None = None


def new_child(
    run: FilmRun, wanted: Wanted, composed: Composed, *, intake: Intake, now: datetime, job_id: str, lost: bool
) -> NewChild:
    """Returns the job for an output of a run, as its request is composed."""
    request = GenerationRequest(
        project_id=run.project_id,
        scene_id=wanted.scene.scene_id,
        request_id=composed.base,
        digest=composed.base,
        spec=composed.spec,
        priority=run.terms.priority,
        max_attempts=run.terms.max_attempts,
        on_unknown_submission=run.terms.on_unknown_submission,
        start_by=run.finish_by or now + FINISH_WITHIN,
        finish_by=run.finish_by,
        traceparent=run.trace,
    )
    stored, estimate = intake.judge(request)
    assert estimate is not None, "a film with an unknown price is not started"
    return NewChild(
        item_id=wanted.item_id,
        kind=wanted.kind,
        base=composed.base,
        basis=composed.basis,
        request=stored,
        estimated_millicredits=estimate,
        job_id=job_id,
        lost=lost,
    )


def accept_child(db: sa.Connection, store: JobStore, run: FilmRun, child: NewChild) -> list[Change]:
    """Accepts a job, or finds the one of its take that is under way or has made its file. Raises JobError."""
    key = film_takes.c.project_id == run.project_id, film_takes.c.base == child.base
    known = db.execute(sa.select(film_takes.c.take).where(*key)).scalar()
    take = max((known or 1) + child.lost, run.takes.get(child.base, 1))
    while not _usable(db, run.project_id, request_id(digest_of(child.base, take))):
        take += 1
    digest = digest_of(child.base, take)
    request = replace(
        child.request, request_id=request_id(digest), digest=digest, film_id=run.film_id, film_run=run.run
    )
    job, changes = store.accept_in(
        db,
        request=request,
        job_id=child.job_id,
        estimated_millicredits=child.estimated_millicredits,
        inline={},
    )
    values = {"item_id": child.item_id, "output": child.kind.value, "base": child.base, "take": take}
    row = {
        **values,
        "project_id": run.project_id,
        "film_id": run.film_id,
        "digest": digest,
        "basis": {member.value: value for member, value in child.basis.items()},
        "run": run.run,
        "job_id": job.job_id,
        "scene_id": request.scene_id,
    }
    if not insert_new(db, film_outputs, row):
        again = (*of_film(film_outputs, run.project_id, run.film_id), film_outputs.c.digest == digest)
        db.execute(film_outputs.update().where(*again).values(run=run.run))
    if known is None:
        db.execute(film_takes.insert().values(project_id=run.project_id, base=child.base, take=take))
    elif known != take:
        db.execute(film_takes.update().where(*key).values(take=take))
    return changes


def _usable(db: sa.Connection, project_id: str, request: str) -> bool:
    """Returns whether this request may still make a job, or has made one that is under way or has made its file."""
    query = sa.select(requests.c.job_id, jobs.c.state).select_from(
        requests.outerjoin(jobs, jobs.c.job_id == requests.c.job_id)
    )
    row = db.execute(query.where(requests.c.project_id == project_id, requests.c.request_id == request)).one_or_none()
    if row is None:
        return True
    # A job that is no longer kept has no state.
    return row.state is not None and (row.state == State.SUCCEEDED or State(row.state) not in FINAL)
