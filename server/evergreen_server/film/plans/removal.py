"""Deletes films: first the folders, if they are to go, and the film's rows last, so that a call can be repeated."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from evergreen_server.film.model import Plan
from evergreen_server.film.plans.store import FilmStore
from evergreen_server.ports.audit import Action, Origin, note_of
from evergreen_server.scenes.deletion import SceneDeletions
from evergreen_storage import SceneNotFound

MOST_LEFT: Final = 100


class FilmRemoval:
    """Deletes films with or without their folders."""

    def __init__(self, *, store: FilmStore, deletions: SceneDeletions) -> None:
        self._store = store
        self._deletions = deletions

    async def delete(
        self, project_id: str, film_id: str, *, scenes: bool, origin: Origin | None = None
    ) -> Sequence[str]:
        """Deletes a film; returns the paths, at most 100, of files in its folders that the storage cannot remove.

        Raises FilmNotFound; FilmBusy while a run is on; PlanChanged if it gets another plan meanwhile; SceneBusy, and
        nothing was deleted if it was busy from the first; StorageError.
        """
        stored = await self._store.get(project_id, film_id)
        stored.film.check_over()
        left: list[str] = []
        if scenes:
            folders = _folders(stored.planned.plan)
            await self._deletions.check_idle(project_id, folders)
            for scene_id in folders:
                with suppress(SceneNotFound):
                    found = await self._deletions.delete(project_id, scene_id, force=False, origin=origin)
                    left += (f"{scene_id}/{path}" for path in found)
        await self._store.delete(stored.film, note_of(origin, Action.DELETE_FILM))
        return left[:MOST_LEFT]


def _folders(plan: Plan) -> Sequence[str]:
    """Returns every scene that the film ever had, and its own folder last."""
    prefix = plan.settings.scene_prefix
    return [*(f"{prefix}-{number}" for number in range(1, plan.numbers_used + 1)), plan.film_id]
