"""Which scenes a film may have: none of another film, and none that had jobs of others before it."""

import re
from typing import Final

import sqlalchemy as sa

from evergreen_server.film.errors import SceneTaken
from evergreen_server.film.model import Plan
from evergreen_server.jobs.db.film_schema import films
from evergreen_server.jobs.db.schema import jobs

__all__ = ["is_scene_of", "refuse_taken"]

_NUMBERED: Final = re.compile(r"(.+)-[0-9]+")


def is_scene_of(prefix: str, scene_id: str) -> bool:
    """Returns whether a film with this prefix may once have this scene; some disks do not distinguish `A` from `a`."""
    found = _NUMBERED.fullmatch(scene_id)
    return found is not None and found[1].lower() == prefix.lower()


def refuse_taken(db: sa.Connection, plan: Plan, before: Plan | None, *, project_id: str) -> None:
    """Raises SceneTaken if a scene that the plan before did not have is of another film, or has jobs.

    To be called under the project's lock, or else as a hint.
    """
    known = frozenset(scene.scene_id for scene in before.scenes) if before else frozenset[str]()
    added = {scene.scene_id for scene in plan.scenes} - known
    ours = films.c.project_id == project_id, films.c.film_id != plan.film_id
    if before is None:
        _refuse_prefix(db, plan, ours)
        added.add(plan.film_id)
    if not added:
        return
    other = db.execute(sa.select(films.c.film_id).where(*ours, films.c.film_id.in_(added)).limit(1)).scalar()
    if other is not None:
        raise SceneTaken(other, "it is the folder of another film")
    query = sa.select(jobs.c.scene_id).where(jobs.c.project_id == project_id, jobs.c.scene_id.in_(added))
    # Those of the same film, which was deleted and is made again, are its own.
    foreign = sa.or_(jobs.c.film_id.is_(None), jobs.c.film_id != plan.film_id)
    if (used := db.execute(query.where(foreign).limit(1)).scalar()) is not None:
        raise SceneTaken(used, "it has jobs")


def _refuse_prefix(db: sa.Connection, plan: Plan, ours: "tuple[sa.ColumnElement[bool], ...]") -> None:
    prefix = plan.settings.scene_prefix
    found = _NUMBERED.fullmatch(plan.film_id)
    wanted = {prefix.lower()} | ({found[1].lower()} if found else set())
    query = sa.select(films.c.film_id, films.c.scene_prefix).where(*ours, films.c.scene_prefix.in_(wanted))
    for row in db.execute(query):
        if row.scene_prefix == prefix.lower():
            raise SceneTaken(f"{prefix}-1", f"the film {row.film_id} has this scene_prefix")
        raise SceneTaken(plan.film_id, f"it may be a scene of the film {row.film_id}")
