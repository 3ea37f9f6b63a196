"""Who changed a file: noted before the storage is asked, and settled after, since no transaction holds both.

A server that dies in between leaves an entry whose outcome is unknown: what was done may be missing in the storage, but
never in the record.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Protocol

from evergreen_server.jobs.db.database import TRANSIENT_ERRORS, Database
from evergreen_server.jobs.db.schema import audit
from evergreen_server.jobs.store.audit import forget, row_of, settle
from evergreen_server.jobs.store.project_lock import SceneBusy
from evergreen_server.ports.audit import Action, Note
from evergreen_storage import AssetConflict, BodyMismatch, InvalidKey, NotFound, TooLarge

NOTHING_DONE = (AssetConflict, BodyMismatch, InvalidKey, NotFound, SceneBusy, TooLarge)
"""With these the storage is as it was."""

_EVENTS = {Action.UPLOAD_ASSET: "asset uploaded", Action.DELETE_ASSET: "asset deleted"}

logger = logging.getLogger(__name__)


class Begin(Protocol):
    """Notes what is about to be done, with what is known of it by then; to be called once at most."""

    def __call__(self, **details: object) -> Awaitable[None]: ...


class FileNotes:
    """Records who changes files of scenes."""

    def __init__(self, *, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    @asynccontextmanager
    async def about(self, note: Note, project_id: str, scene_id: str, path: str) -> AsyncIterator[Begin]:
        """Yields a function that notes a change before it is made; it is settled with the end of the context.

        What ends with an error that leaves the storage as it was is forgotten; any other leaves an unknown outcome.
        """
        begun: list[str] = []
        known: dict[str, object] = {}

        async def begin(**details: object) -> None:
            row = row_of(
                self._clock(),
                note,
                project_id=project_id,
                scene_id=scene_id,
                subject=path,
                **{**details, "outcome": "UNKNOWN"},
            )
            known.update(details)
            begun.append(str(row["entry_id"]))
            await self._database.write(lambda db: db.execute(audit.insert(), row))

        try:
            yield begin
        except NOTHING_DONE:
            if begun:
                await self._database.write(lambda db: forget(db, begun[0]))
            raise
        if begun:
            where = {"project_id": project_id, "scene_id": scene_id, "path": path}
            logger.info(_EVENTS[note.action], extra={**where, **known, **note.origin.facts()})
            try:
                await self._database.write(lambda db: settle(db, begun[0]))
            except TRANSIENT_ERRORS as exc:
                logger.warning("outcome not recorded", extra={"cause": type(exc).__name__})
