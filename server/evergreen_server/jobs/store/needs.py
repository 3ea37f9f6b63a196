"""Files of a scene that jobs need, and claims on them: both under the project's lock, so that they never conflict.

A writer that is about to delete or replace a file claims it first, which is refused if a job that is not final needs
the file; and a request that names a claimed file is refused until that writer is done. Paths are compared in lower
case, since some disks do not distinguish `A` from `a`.
"""

import sqlalchemy as sa

from evergreen_server.jobs.db.replicas import live_replicas
from evergreen_server.jobs.db.schema import job_needs, jobs
from evergreen_server.jobs.db.shared_schema import asset_claims
from evergreen_server.jobs.model.job import JobRequest
from evergreen_server.jobs.model.names import job_of
from evergreen_server.jobs.model.states import FINAL
from evergreen_server.jobs.store.project_lock import SceneBusy


def needs_of(job_id: str, request: JobRequest) -> list[dict[str, str]]:
    """Returns the rows for the files of its project that a request names."""
    row = {"project_id": request.project_id, "job_id": job_id}
    return [{**row, "scene_id": scene_id, "path": path} for scene_id, path in named_by(request)]


def named_by(request: JobRequest) -> list[tuple[str, str]]:
    """Returns the scene and path, in lower case, of each file that a request names."""
    media = request.spec.media
    return sorted({(item.scene_id or request.scene_id, item.asset.lower()) for item in media if item.asset})


def refuse_needed(db: sa.Connection, project_id: str, scene_id: str, path: str) -> None:
    """Raises SceneBusy if a job of the scene that is not final has made this file, or names it in its request."""
    # A replica of the previous release leaves the rows of jobs that it ends.
    unfinished = sa.select(jobs.c.job_id).where(jobs.c.state.not_in([state.value for state in FINAL])).limit(1)
    names = unfinished.join(job_needs, job_needs.c.job_id == jobs.c.job_id).where(
        job_needs.c.project_id == project_id, job_needs.c.scene_id == scene_id, job_needs.c.path == path.lower()
    )
    makes = unfinished.where(
        jobs.c.job_id == job_of(path), jobs.c.project_id == project_id, jobs.c.scene_id == scene_id
    )
    job_id = db.execute(names).scalar() or (job_of(path) and db.execute(makes).scalar())
    if job_id:
        text = f"job {job_id}, which is not final, needs {path!r}; wait for it or cancel it"
        raise SceneBusy(text, job_id=job_id)


def refuse_claimed(db: sa.Connection, project_id: str, scene_id: str, path: str) -> None:
    """Raises SceneBusy if a writer of a living replica has claimed a file."""
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
