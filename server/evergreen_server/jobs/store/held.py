"""The money of a film's run in its row, which changes under the lock of the project alone."""

import sqlalchemy as sa

from evergreen_server.jobs.db.film_schema import film_runs
from evergreen_server.jobs.model.held import Held
from evergreen_server.jobs.model.job import JobRequest

__all__ = ["held_by", "keep"]

_run = sa.and_(
    film_runs.c.project_id == sa.bindparam("of_project"),
    film_runs.c.film_id == sa.bindparam("of_film"),
    film_runs.c.run == sa.bindparam("of_run"),
)
_READ = sa.select(
    film_runs.c.approved_millicredits,
    film_runs.c.held_millicredits,
    film_runs.c.reserved_millicredits,
    film_runs.c.spent_millicredits,
    film_runs.c.keeps,
).where(_run)
_WRITE = film_runs.update().where(_run)


def held_by(db: sa.Connection, request: JobRequest) -> Held | None:
    """Returns the money of the run that pays for a request; None if its caller does. The project must be locked."""
    row = db.execute(_READ, _key(request)).one_or_none() if request.film_id else None
    return None if row is None else Held(approved=row[0], held=row[1], reserved=row[2], spent=row[3], keeps=row[4])


def keep(db: sa.Connection, request: JobRequest, held: Held) -> None:
    """Records the money of the run that pays for a request."""
    values = {
        "approved_millicredits": held.approved,
        "held_millicredits": held.held,
        "reserved_millicredits": held.reserved,
        "spent_millicredits": held.spent,
        "keeps": held.keeps,
    }
    db.execute(_WRITE, {**_key(request), **values})


def _key(request: JobRequest) -> dict[str, object]:
    return {"of_project": request.project_id, "of_film": request.film_id, "of_run": request.film_run}
