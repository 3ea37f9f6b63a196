"""Deletes scenes: sets a mark that refuses new jobs and files, waits for those under way, then deletes the files.

The mark stays until the last file is gone. So a deletion that is interrupted at any point leaves a scene to which
nothing can be added, and repeating it finishes it.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime
from functools import partial
from typing import TypeAlias
from weakref import WeakValueDictionary

import sqlalchemy as sa

from evergreen_server.jobs import commands
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.replicas import other_live_replicas
from evergreen_server.jobs.db.schema import job_needs, jobs, scene_deletions
from evergreen_server.jobs.db.shared_schema import replicas
from evergreen_server.jobs.execution.context import still_owner
from evergreen_server.jobs.feed.hub import WatchHub
from evergreen_server.jobs.model.errors import WrongState
from evergreen_server.jobs.model.states import UNFINISHED, State
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.needs import refuse_needed
from evergreen_server.jobs.store.project_lock import (
    SceneBusy,
    disown,
    finish_mark,
    is_marked,
    lock_project,
    mark,
    marked_by,
    unmark,
)
from evergreen_server.ports.audit import Action, Note, Origin, note_of
from evergreen_server.scenes.writers import Claim, SceneWriters
from evergreen_storage import SceneNotFound, SceneStore, StorageError

WAIT_SECONDS = 60.0

logger = logging.getLogger(__name__)

_Key: TypeAlias = tuple[str, str]
_States: TypeAlias = Mapping[str, State]


class SceneDeletions:
    """Deletes scenes, and prevents writes during a deletion and deletions during a write."""

    def __init__(
        self,
        *,
        database: Database,
        store: JobStore,
        hub: WatchHub,
        scenes: SceneStore,
        clock: Callable[[], datetime],
        replica_id: str,
        writers: SceneWriters,
        lease_check: Callable[[], Callable[[], None]] = lambda: lambda: None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """`lease_check` is as in `StepContext`."""
        self._database = database
        self._store = store
        self._hub = hub
        self._scenes = scenes
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._replica_id = replica_id
        self._writers = writers
        self._lease_check = lease_check
        self._turns: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()

    def hold(self, project_id: str, scene_id: str) -> AbstractAsyncContextManager[Claim]:
        """Prevents the deletion of a scene while something is written to it. Raises SceneBusy if it is being deleted.

        Yields a function that claims a file, to be called before one is replaced or deleted.
        """
        return self._writers.hold(project_id, scene_id)

    async def check_free(self, project_id: str, scene_id: str, path: str) -> None:
        """Raises SceneBusy if a job that is not final needs this file now."""
        await self._database.read(lambda db: refuse_needed(db, project_id, scene_id, path))

    async def check_idle(self, project_id: str, scene_ids: Collection[str]) -> None:
        """Raises SceneBusy if one of several scenes, which are all to be deleted, could not be deleted now."""
        for scene_id in scene_ids:
            unfinished = await self._database.read(partial(under_way, project_id=project_id, scene_id=scene_id))
            if unfinished:
                raise _unfinished(project_id, scene_id, unfinished)
            if writers := await self._writers.count(project_id, scene_id):
                raise SceneBusy(f"{writers} files are being written to the scene {project_id}/{scene_id}")

    async def delete(
        self, project_id: str, scene_id: str, *, force: bool, origin: Origin | None = None
    ) -> Sequence[str]:
        """Deletes a scene with all its files; with `force` cancels its jobs first, and waits for them.

        Returns the paths of files that others put there and that the storage cannot remove.
        Raises SceneNotFound; SceneBusy before anything was deleted; StorageError if it must be repeated.
        """
        turn = self._turns.setdefault((project_id, scene_id), asyncio.Lock())
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn.acquire()
        except TimeoutError:
            raise SceneBusy(f"the scene {project_id}/{scene_id} is being deleted by another call") from None
        try:
            return await self._delete(project_id, scene_id, force, origin)
        finally:
            turn.release()

    async def finish(self) -> tuple[int, int]:
        """Finishes interrupted deletions; returns how many there were, and how many were finished.

        If a scene is in use after all, nothing of it was deleted, and its mark is removed.
        """
        await self._writers.tidy()
        left = [key for key in await self._database.read(self._left) if key not in self._turns]
        finished = 0
        for project_id, scene_id in left:
            try:
                await self.delete(project_id, scene_id, force=False)
            except (SceneBusy, SceneNotFound, StorageError) as exc:
                about = {"project_id": project_id, "scene_id": scene_id, "cause": str(exc)}
                logger.warning("deletion not finished", extra=about)
            else:
                logger.info("deletion finished", extra={"project_id": project_id, "scene_id": scene_id})
                finished += 1
        return len(left), finished

    def _left(self, db: sa.Connection) -> list[_Key]:
        """Returns the marked scenes that no other living replica is deleting."""
        others = other_live_replicas(self._replica_id)
        query = sa.select(scene_deletions.c.project_id, scene_deletions.c.scene_id)
        query = query.where(scene_deletions.c.replica.not_in(others))
        return [(row.project_id, row.scene_id) for row in db.execute(query)]

    async def _delete(self, project_id: str, scene_id: str, force: bool, origin: Origin | None) -> Sequence[str]:
        await self._check_known(project_id, scene_id)
        check = self._lease_check()
        note = note_of(origin, Action.DELETE_SCENE, force="true" if force else None)
        unfinished = await self._database.write(lambda db: self._mark(db, project_id, scene_id, force, note))
        if unfinished and not force:
            raise _unfinished(project_id, scene_id, unfinished)
        try:
            await self._empty(project_id, scene_id, unfinished, force, origin)
            if not still_owner(check):
                # Another replica may have finished the deletion meanwhile, and the files there may belong to new jobs.
                raise SceneBusy(f"this server was held up while it deleted {project_id}/{scene_id}; call again")
        except BaseException:
            # Nothing was deleted yet, so the scene may be used again.
            await asyncio.shield(self._database.write(lambda db: unmark(db, project_id, scene_id, self._replica_id)))
            raise
        left: Sequence[str] = ()
        try:
            with suppress(SceneNotFound):  # an earlier try came so far
                left = await self._scenes.delete(project_id, scene_id)
        except BaseException:
            # The mark stays, and any replica may finish the deletion.
            await asyncio.shield(self._database.write(lambda db: disown(db, project_id, scene_id, self._replica_id)))
            raise
        # Recorded here, by whichever server finishes a deletion that broke off: not before the files are gone.
        note = await self._database.write(
            lambda db: finish_mark(db, project_id, scene_id, self._replica_id, self._clock())
        )
        told = {} if note is None else {**note.details, **note.origin.facts()}
        logger.info("scene deleted", extra={"project_id": project_id, "scene_id": scene_id, **told})
        if left:
            about = {"project_id": project_id, "scene_id": scene_id, "left": len(left), "such_as": left[0]}
            logger.warning("files left of a deleted scene", extra=about)
        return left

    async def _check_known(self, project_id: str, scene_id: str) -> None:
        """Raises SceneNotFound if there is neither a scene, nor a job of it, nor the mark of an earlier try."""
        try:
            await self._scenes.get(project_id, scene_id)
        except SceneNotFound:
            known = await self._database.read(
                lambda db: is_marked(db, project_id, scene_id) or bool(under_way(db, project_id, scene_id))
            )
            if not known:
                raise

    def _mark(self, db: sa.Connection, project_id: str, scene_id: str, force: bool, note: Note | None) -> _States:
        now = self._clock()
        lock_project(db, project_id, now)
        other = marked_by(db, project_id, scene_id)
        lives = other_live_replicas(self._replica_id).where(replicas.c.replica_id == other)
        if other and db.execute(lives).first():
            raise SceneBusy(f"the scene {project_id}/{scene_id} is being deleted by another call")
        unfinished = under_way(db, project_id, scene_id)
        if force or not unfinished:
            mark(db, project_id, scene_id, self._replica_id, now, note)
        else:
            # A deletion that was interrupted while a job was still running had deleted nothing.
            unmark(db, project_id, scene_id, other)
        return unfinished

    async def _empty(
        self, project_id: str, scene_id: str, unfinished: _States, force: bool, origin: Origin | None
    ) -> None:
        """Waits until every job and every writer has ended. Raises SceneBusy."""
        writers = await self._writers.count(project_id, scene_id)
        if writers and not force:
            raise SceneBusy(f"{writers} files are being written to the scene {project_id}/{scene_id}")
        _check_attention(unfinished)
        try:
            async with asyncio.timeout(self._wait_seconds):
                for job_id in unfinished:
                    await self._cancel(job_id, origin)
                if unfinished:
                    await self._ended(project_id, scene_id, frozenset(unfinished))
                await self._writers.wait_until_idle(project_id, scene_id)
        except TimeoutError:
            text = f"what the scene {project_id}/{scene_id} has under way did not end in {self._wait_seconds:g} s"
            raise SceneBusy(f"{text}; try again", job_id=next(iter(unfinished), "")) from None

    async def _cancel(self, job_id: str, origin: Origin | None) -> None:
        try:
            await commands.cancel(self._store, job_id, origin)
        except WrongState as exc:
            raise SceneBusy(f"job {job_id}: {exc}", job_id=job_id) from exc

    async def _ended(self, project_id: str, scene_id: str, job_ids: frozenset[str]) -> None:
        async def check(_: bytes) -> None:
            # Only its caller can end such a job, so waiting is useless.
            _check_attention(await self._database.read(lambda db: under_way(db, project_id, scene_id)))

        await self._hub.watch(check, project_id=project_id, job_ids=job_ids, after=None, include_finished=False)


def under_way(db: sa.Connection, project_id: str, scene_id: str) -> _States:
    """Returns the unfinished jobs of a scene, and those of other scenes that need a file of this one."""
    query = sa.select(jobs.c.job_id, jobs.c.state).where(jobs.c.state.in_([state.value for state in UNFINISHED]))
    own = query.where(jobs.c.project_id == project_id, jobs.c.scene_id == scene_id)
    needing = query.join(job_needs, job_needs.c.job_id == jobs.c.job_id).where(
        job_needs.c.project_id == project_id, job_needs.c.scene_id == scene_id
    )
    return {row.job_id: State(row.state) for part in (own, needing) for row in db.execute(part)}


def _unfinished(project_id: str, scene_id: str, unfinished: _States) -> SceneBusy:
    job_id, count = next(iter(unfinished)), len(unfinished)
    text = f"{count} jobs of the scene {project_id}/{scene_id} are not final, such as {job_id}"
    return SceneBusy(text, job_id=job_id)


def _check_attention(unfinished: _States) -> None:
    for job_id, state in unfinished.items():
        if state is State.NEEDS_ATTENTION:
            text = f"nobody knows whether job {job_id} was submitted; resolve it by ResolveSubmission"
            raise SceneBusy(text, job_id=job_id)
