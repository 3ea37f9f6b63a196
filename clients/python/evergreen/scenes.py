"""Scenes: the folders that receive the clips, and the files in them."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from os import PathLike
from typing import TYPE_CHECKING

from evergreen.calls import Calls
from evergreen.fields import checked
from evergreen.transfers import Moved, download, ignore, read, upload
from evergreen.transfers.sources import Source
from evergreen.v1.scene_pb2 import (
    Asset,
    CreateSceneRequest,
    DeleteAssetRequest,
    DeleteSceneRequest,
    DownloadAssetRequest,
    GetAssetUrlRequest,
    GetAssetUrlResponse,
    GetSceneRequest,
    ListScenesRequest,
    Scene,
    UploadInfo,
)
from evergreen.watch import Reconnect

if TYPE_CHECKING:
    # Exists only in the stubs' type information.
    from evergreen.v1.scene_pb2_grpc import SceneServiceAsyncStub


class Scenes:
    """The calls for scenes, available as `Client.scenes`. A file's path is relative to its scene: `images/a.png`."""

    def __init__(self, stub: "SceneServiceAsyncStub", *, calls: Calls, reconnect: Reconnect) -> None:
        self._stub = stub
        self._calls = calls
        self._reconnect = reconnect

    @checked
    async def create(self, project_id: str, scene_id: str) -> Scene:
        """Creates a scene, and its project if needed, and returns it. Returns an existing scene unchanged."""
        request = CreateSceneRequest(project_id=project_id, scene_id=scene_id)
        return (await self._calls.unary(self._stub.CreateScene, request)).scene

    @checked
    async def show(self, project_id: str, scene_id: str) -> Scene:
        """Returns a scene with all its assets."""
        request = GetSceneRequest(project_id=project_id, scene_id=scene_id)
        return (await self._calls.unary(self._stub.GetScene, request)).scene

    @checked
    async def list(self, project_id: str, *, page_size: int = 0) -> AsyncIterator[Scene]:
        """Yields a project's scenes in the order of their ids, without their assets."""
        request = ListScenesRequest(project_id=project_id, page_size=page_size)
        while True:
            page = await self._calls.unary(self._stub.ListScenes, request)
            for scene in page.scenes:
                yield scene
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    @checked
    async def delete(self, project_id: str, scene_id: str, *, force: bool = False) -> tuple[str, ...]:
        """Deletes a scene with all its files; `force` cancels its jobs first, which may take a minute.

        Returns the paths in the scene of files that others put there and that the storage cannot remove.
        """
        request = DeleteSceneRequest(project_id=project_id, scene_id=scene_id, force=force)
        return tuple((await self._calls.unary(self._stub.DeleteScene, request)).left)

    @checked
    async def upload(
        self,
        project_id: str,
        scene_id: str,
        path: str,
        source: Source,
        *,
        content_type: str = "",
        overwrite: bool = False,
        moved: Moved = ignore,
    ) -> Asset:
        """Writes a file, bytes or a stream to a scene. Files and bytes are sent again if the connection is lost.

        Raises CallError, TransferBroken, OSError, and what the stream raises.
        """
        info = UploadInfo(
            project_id=project_id, scene_id=scene_id, path=path, content_type=content_type, overwrite=overwrite
        )
        return await upload(self._stub, info, source, calls=self._calls, reconnect=self._reconnect, moved=moved)

    @checked
    async def download(
        self,
        project_id: str,
        scene_id: str,
        path: str,
        target: "str | PathLike[str]",
        *,
        overwrite: bool = False,
        moved: Moved = ignore,
    ) -> Asset:
        """Reads an asset into a file, which appears when it is complete; goes on with what an earlier try left.

        Compares the CRC32C. Raises CallError, TransferBroken, FileExistsError without `overwrite`, OSError.
        """
        request = DownloadAssetRequest(project_id=project_id, scene_id=scene_id, path=path)
        return await download(
            self._stub,
            request,
            target,
            calls=self._calls,
            reconnect=self._reconnect,
            overwrite=overwrite,
            moved=moved,
        )

    @checked
    async def read(
        self, project_id: str, scene_id: str, path: str, *, offset: int = 0, limit: int = 0
    ) -> AsyncGenerator[bytes, None]:
        """Yields an asset's bytes, and resumes after a lost connection. A `limit` of 0 means no limit.

        If you leave the loop early, wrap it in `contextlib.aclosing` to end the transfer at once. Raises
        CallError, TransferBroken.
        """
        request = DownloadAssetRequest(project_id=project_id, scene_id=scene_id, path=path, offset=offset, limit=limit)
        async with aclosing(read(self._stub, request, calls=self._calls, reconnect=self._reconnect)) as messages:
            async for message in messages:
                if message.chunk:
                    yield message.chunk

    @checked
    async def delete_asset(self, project_id: str, scene_id: str, path: str) -> None:
        """Deletes a file of a scene. This cannot be undone."""
        request = DeleteAssetRequest(project_id=project_id, scene_id=scene_id, path=path)
        await self._calls.unary(self._stub.DeleteAsset, request)

    @checked
    async def asset_url(
        self, project_id: str, scene_id: str, path: str, *, lifetime: timedelta | None = None
    ) -> GetAssetUrlResponse:
        """Returns a URL that reads an asset until it expires, by default after 15 minutes. Keep it out of logs."""
        request = GetAssetUrlRequest(project_id=project_id, scene_id=scene_id, path=path)
        if lifetime is not None:
            request.lifetime.FromTimedelta(lifetime)
        return await self._calls.unary(self._stub.GetAssetUrl, request)
