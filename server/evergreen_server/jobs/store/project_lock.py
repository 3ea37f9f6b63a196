"""The project's row, locked before anything changes that is told, and the marks of scenes that are being deleted."""

from datetime import datetime

import sqlalchemy as sa

from evergreen_server.jobs.db.database import insert_new
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.queries import FIND_MARK, LOCK_PROJECT
from evergreen_server.jobs.db.schema import projects, scene_deletions
from evergreen_server.jobs.model.errors import JobError


class SceneBusy(JobError):
    """The scene is in use, or it is being deleted. `job_id` names a job that is in the way."""

    def __init__(self, message: str, *, job_id: str = "") -> None:
        super().__init__(message)
        self.job_id = job_id


def lock_project(db: sa.Connection, project_id: str, now: datetime) -> int:
    """Locks the project's row, making it if need be, and gives its revision."""
    key = {"of_project": project_id}
    revision = db.execute(LOCK_PROJECT, key).scalar()
    if revision is None:
        # Another may make it at the same moment; then its row is the one that is locked.
        insert_new(db, projects, {"project_id": project_id, "revision": 0, "created_at": to_micros(now)})
        revision = db.execute(LOCK_PROJECT, key).scalar_one()
    return int(revision)


def is_marked(db: sa.Connection, project_id: str, scene_id: str) -> bool:
    """Tells whether a scene is being deleted, or its deletion broke off."""
    return db.execute(FIND_MARK, {"of_project": project_id, "of_scene": scene_id}).first() is not None


def refuse_marked(db: sa.Connection, project_id: str, scene_id: str) -> None:
    """Raises SceneBusy for a scene that is being deleted, or whose deletion broke off."""
    if is_marked(db, project_id, scene_id):
        text = f"the scene {project_id}/{scene_id} is being deleted; call DeleteScene to see its deletion to the end"
        raise SceneBusy(text)


def mark(db: sa.Connection, project_id: str, scene_id: str, replica_id: str, now: datetime) -> None:
    """Marks a scene as being deleted by a replica; the project must be locked, so that no job slips in."""
    row = {"project_id": project_id, "scene_id": scene_id, "replica": replica_id, "created_at": to_micros(now)}
    if not insert_new(db, scene_deletions, row):
        db.execute(scene_deletions.update().where(*_of(project_id, scene_id)).values(replica=replica_id))


def marked_by(db: sa.Connection, project_id: str, scene_id: str) -> str:
    """Gives the replica that marked a scene last; empty where it is not marked, or no longer by anybody."""
    return db.execute(sa.select(scene_deletions.c.replica).where(*_of(project_id, scene_id))).scalar() or ""


def disown(db: sa.Connection, project_id: str, scene_id: str, replica_id: str) -> None:
    """Leaves the mark to whoever sees the deletion to its end."""
    mine = scene_deletions.c.replica == replica_id
    db.execute(scene_deletions.update().where(*_of(project_id, scene_id), mine).values(replica=""))


def unmark(db: sa.Connection, project_id: str, scene_id: str, replica_id: str) -> None:
    """Opens a scene again, unless another than this replica has marked it since."""
    db.execute(scene_deletions.delete().where(*_of(project_id, scene_id), scene_deletions.c.replica == replica_id))


def _of(project_id: str, scene_id: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return scene_deletions.c.project_id == project_id, scene_deletions.c.scene_id == scene_id
