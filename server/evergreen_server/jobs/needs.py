"""What jobs need of their scene, and who takes it away: under the project's lock, so that the two never cross.

Whoever is about to delete or replace a file claims it first, which is refused where a job that is not final needs the
file; and a request that names a claimed file is refused until whoever claimed it is through.
"""

import sqlalchemy as sa

from evergreen_server.jobs.database import asset_claims, jobs
from evergreen_server.jobs.leases import live_replicas
from evergreen_server.jobs.model import UNFINISHED
from evergreen_server.jobs.names import job_of
from evergreen_server.jobs.projects import SceneBusy

_STATES = [state.value for state in UNFINISHED]
_NAMING = (jobs.c.spec, jobs.c.inputs)


def refuse_needed(db: sa.Connection, project_id: str, scene_id: str, path: str) -> None:
    """Raises SceneBusy where a job of the scene that is not final has made this file, or its request names it."""
    unfinished = sa.select(jobs.c.job_id).where(
        jobs.c.project_id == project_id, jobs.c.scene_id == scene_id, jobs.c.state.in_(_STATES)
    )
    # As the text of the column has it, in which nothing of a path is escaped; some disks do not tell `A` from `a`.
    named = f'"asset": "{path.lower()}"'
    needs = sa.or_(
        jobs.c.job_id == job_of(path),
        *(sa.func.lower(sa.cast(column, sa.Text)).contains(named, autoescape=True) for column in _NAMING),
    )
    if job_id := db.execute(unfinished.where(needs).limit(1)).scalar():
        raise SceneBusy(f"job {job_id}, which is not final, needs {path!r}; wait for it or cancel it", job_id=job_id)


def refuse_claimed(db: sa.Connection, project_id: str, scene_id: str, path: str) -> None:
    """Raises SceneBusy where a writer of a living replica has claimed a file."""
    query = sa.select(asset_claims.c.path).where(
        asset_claims.c.project_id == project_id,
        asset_claims.c.scene_id == scene_id,
        asset_claims.c.path == path.lower(),
        asset_claims.c.replica_id.in_(live_replicas()),
    )
    if db.execute(query).first():
        raise claimed(path)


def claimed(path: str) -> SceneBusy:
    """Returns the refusal of a request that names a claimed file."""
    return SceneBusy(f"{path!r} is being replaced or deleted at this moment; call again")
