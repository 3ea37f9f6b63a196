"""Looks at the files of scenes that a request names before it is accepted, to refuse at once what can never be used.

A look is one short read, in turns of the projects. Where the storage fails or takes its time, the request is accepted
unseen, and its job finds out.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from evergreen_server.ports.media import HEAD_BYTES
from evergreen_server.ports.specs import FieldError, InvalidRequest, Kind, Media, kind_of
from evergreen_server.runtime.shield import ProtectedTasks
from evergreen_server.runtime.turns import Place, Turns
from evergreen_storage import InvalidKey, NotFound, SceneStore, StorageError

AT_ONCE: Final = 16
"""Files that are looked at at a time; one project alone gets half of them."""
SECONDS: Final = 1.0
"""How long a request waits for the look at its files, and for its turn."""


class AssetsMissing(InvalidRequest):
    """The scenes do not have files that the request names, and nothing else is wrong with it."""


class HeadCheck(Protocol):
    """The part of the media tools that knows files by their first bytes."""

    def misfit(self, head: bytes, kind: Kind) -> str: ...


@dataclass(frozen=True, slots=True)
class _Finding:
    error: FieldError
    missing: bool


class AssetCheck:
    """Looks at the files that requests name. Reads that outlast their request end as the shield's tasks."""

    def __init__(
        self, *, scenes: SceneStore, heads: HeadCheck, shield: ProtectedTasks, seconds: float = SECONDS
    ) -> None:
        self._scenes = scenes
        self._heads = heads
        self._shield = shield
        self._seconds = seconds
        self._turns = Turns(AT_ONCE)

    async def check(self, project_id: str, scene_id: str, media: Sequence[Media]) -> None:
        """Looks at the files among a request's media, within `seconds`.

        Raises AssetsMissing if that is all that is wrong with them, else InvalidRequest; both name every such field.
        """
        async with asyncio.TaskGroup() as group:
            looks = [
                group.create_task(self._look(number, project_id, one.scene_id or scene_id, one), name="asset look")
                for number, one in enumerate(media)
                if one.asset is not None
            ]
        found = [finding for look in looks if (finding := look.result()) is not None]
        if found:
            refusal = AssetsMissing if all(finding.missing for finding in found) else InvalidRequest
            raise refusal([finding.error for finding in found])

    async def _look(self, number: int, project_id: str, scene_id: str, media: Media) -> _Finding | None:
        try:
            async with asyncio.timeout(self._seconds):
                place = self._turns.ask(project_id)
                try:
                    await place
                except asyncio.CancelledError:
                    self._turns.give_back(project_id, place)
                    raise
                # A read that hangs keeps its place, so that no more of them begin than there are places.
                read = self._read(f"media[{number}].asset", project_id, scene_id, media, place)
                return await self._shield.run(read, name="asset read")
        except TimeoutError:
            return None

    async def _read(self, field: str, project_id: str, scene_id: str, media: Media, place: Place) -> _Finding | None:
        path = media.asset or ""
        try:
            async with aclosing(self._scenes.open(project_id, scene_id, path, end=HEAD_BYTES)) as chunks:
                head = b"".join([chunk async for chunk in chunks])
        except NotFound:
            text = f"the scene {project_id}/{scene_id} has no {path}"
            return _Finding(FieldError(field=field, description=text), missing=True)
        except InvalidKey as exc:
            return _Finding(FieldError(field=field, description=str(exc)), missing=False)
        except StorageError:
            return None
        finally:
            self._turns.give_back(project_id, place)
        text = self._heads.misfit(head, kind_of(media.role))
        return _Finding(FieldError(field=field, description=text), missing=False) if text else None
