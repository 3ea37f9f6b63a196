"""The project's row, locked before every change that makes an event, and marks of scenes that are being deleted."""

from datetime import datetime

import sqlalchemy as sa

from evergreen_server.jobs.db.database import insert_new
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.queries import FIND_MARK, LOCK_PROJECT
from evergreen_server.jobs.db.schema import projects, scene_deletions
from evergreen_server.jobs.model.errors import JobError
from evergreen_server.jobs.store.audit import from_json, record, to_json
from evergreen_server.ports.audit import Note


class SceneBusy(JobError):
    """The scene is in use, or being deleted. `job_id` names a job that prevents the call."""

    def __init__(self, message: str, *, job_id: str = "") -> None:
        super().__init__(message)
        self.job_id = job_id


def lock_project(db: sa.Connection, project_id: str, now: datetime) -> int:
    """Locks the project's row, which is created if needed, and returns its revision."""
    key = {"of_project": project_id}
    revision = LOCK_PROJECT.scalar(db, key)
    if revision is None:
        # Another transaction may create it at the same time; then its row is locked.
        insert_new(db, projects, {"project_id": project_id, "revision": 0, "created_at": to_micros(now)})
        revision = LOCK_PROJECT.scalar(db, key)
    return int(revision)


def is_marked(db: sa.Connection, project_id: str, scene_id: str) -> bool:
    """Returns whether a scene is being deleted, or its deletion was interrupted."""
    return FIND_MARK.first(db, {"of_project": project_id, "of_scene": scene_id}) is not None


def refuse_marked(db: sa.Connection, project_id: str, scene_id: str) -> None:
    """Raises SceneBusy for a scene that is being deleted, or whose deletion was interrupted."""
    if is_marked(db, project_id, scene_id):
        text = f"the scene {project_id}/{scene_id} is being deleted; call DeleteScene to see its deletion to the end"
        raise SceneBusy(text)


def mark(
    db: sa.Connection, project_id: str, scene_id: str, replica_id: str, now: datetime, note: Note | None = None
) -> None:
    """Marks a scene as being deleted by a replica; the project must be locked, so that no job slips in.

    The note of who asked for it stays with the mark; one that is there already is left as it is.
    """
    key = {"project_id": project_id, "scene_id": scene_id, "replica": replica_id}
    row = {**key, "created_at": to_micros(now), "note": None if note is None else to_json(note)}
    if not insert_new(db, scene_deletions, row):
        db.execute(scene_deletions.update().where(*_of(project_id, scene_id)).values(replica=replica_id))


def marked_by(db: sa.Connection, project_id: str, scene_id: str) -> str:
    """Returns the replica that is deleting a scene; empty if there is no mark, or no replica owns it."""
    return db.execute(sa.select(scene_deletions.c.replica).where(*_of(project_id, scene_id))).scalar() or ""


def disown(db: sa.Connection, project_id: str, scene_id: str, replica_id: str) -> None:
    """Gives up the mark, so that any replica may finish the deletion."""
    mine = scene_deletions.c.replica == replica_id
    db.execute(scene_deletions.update().where(*_of(project_id, scene_id), mine).values(replica=""))


def finish_mark(db: sa.Connection, project_id: str, scene_id: str, replica_id: str, now: datetime) -> Note | None:
    """Removes the mark of a scene that is deleted by now, records who asked for that, and returns it.

    Does nothing if another replica has set the mark since.
    """
    mine = (*_of(project_id, scene_id), scene_deletions.c.replica == replica_id)
    kept = db.execute(sa.select(scene_deletions.c.note).where(*mine)).scalar()
    note = None if kept is None else from_json(kept)
    record(db, now, note, project_id=project_id, scene_id=scene_id)
    unmark(db, project_id, scene_id, replica_id)
    return note


def unmark(db: sa.Connection, project_id: str, scene_id: str, replica_id: str) -> None:
    """Removes the mark, unless another replica has set it since."""
    db.execute(scene_deletions.delete().where(*_of(project_id, scene_id), scene_deletions.c.replica == replica_id))


def _of(project_id: str, scene_id: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return scene_deletions.c.project_id == project_id, scene_deletions.c.scene_id == scene_id
