"""Plans that are made by hand, for tests of what is done with one."""

from datetime import UTC, datetime

from evergreen_server.film.model import FilmSettings, Plan, PlannedScene, PlannedShot
from evergreen_server.film.planning.plan import Changes, Planned
from evergreen_server.film.plans.store import StoredPlan
from evergreen_server.film.runs.films import Film, FilmState
from evergreen_server.film.screenplay.script import ScriptFormat


def plan_of(film_id: str = "movie", *, scenes: int = 1, prefix: str = "scene", title: str = "T") -> Plan:
    """A plan of so many scenes, each of one shot."""
    ids = [f"{prefix}-{number}" for number in range(1, scenes + 1)]
    return Plan(
        film_id=film_id,
        title=title,
        settings=FilmSettings(scene_prefix=prefix),
        scenes=tuple(
            PlannedScene(
                scene_id=scene_id,
                shots=(
                    PlannedShot(shot_id=f"{scene_id}.1", picture_prompt="a door", motion_prompt="it opens", seconds=4),
                ),
            )
            for scene_id in ids
        ),
        script_format=ScriptFormat.PLAIN,
        script_asset="metadata/script-00000000.txt",
        numbers_used=scenes,
        numbers_used_in=dict.fromkeys(ids, 1),
    )


def planned_of(plan: Plan) -> Planned:
    return Planned(plan=plan, changes=Changes(added=tuple(scene.scene_id for scene in plan.scenes)))


def stored_of(plan: Plan) -> StoredPlan:
    """A plan as it is read from its rows."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    film = Film(
        project_id="film",
        film_id=plan.film_id,
        title=plan.title,
        state=FilmState.PLANNED,
        revision=0,
        plan_revision=1,
        created_at=now,
        updated_at=now,
    )
    return StoredPlan(film=film, plan_revision=1, planned=planned_of(plan))
