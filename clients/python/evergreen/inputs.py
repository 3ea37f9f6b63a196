"""Inputs of requests: files, bytes, URLs and assets. What is too large for a request is uploaded to its scene first."""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from evergreen.errors import AssetNotFound, MediaTooLarge, SceneNotFound
from evergreen.transfers.sources import FileOrBytes, Supply
from evergreen.v1.video_pb2 import Media, MediaRole

if TYPE_CHECKING:
    from evergreen.scenes import Scenes

INLINE_LIMIT = 3 * 1024 * 1024
"""The maximum number of bytes of all inputs that are sent as bytes, together."""

Input: TypeAlias = "str | PathLike[str] | bytes | Media"
"""A file's path, an http(s) URL, `asset:PATH` for a file of the scene, bytes, or `Media`. A `Path` is always a file."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//)?")
# By the first bytes, since a name may be wrong or absent. All else is taken for a picture; the service tells its type.
_CLIP = re.compile(rb"....ftyp(?!M4A|avif|heic|mif1)|\x1aE\xdf\xa3", re.DOTALL)
_SOUND = re.compile(rb"ID3|\xff[\xe0-\xff]|fLaC|OggS|RIFF....WAVE|....ftypM4A", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Makes the inputs of one request, whose scene gets what is too large for it."""

    scenes: "Scenes"
    project_id: str
    scene_id: str

    async def read(self, source: Input, role: MediaRole.ValueType = MediaRole.MEDIA_ROLE_UNSPECIFIED) -> Media:
        """Returns an input. Raises CallError, OSError, TransferBroken, and TypeError or ValueError for what is none."""
        match source:
            case Media():
                media = Media()
                media.CopyFrom(source)
                media.role = media.role or role
                return media
            case bytes() | bytearray() | memoryview():
                return await self._sent(bytes(source), len(source), role)
            case str() if found := _SCHEME.match(source):
                return _named(source, found[1].lower(), bool(found[2]), role)
            case str() | PathLike():
                return await self._sent(source, await asyncio.to_thread(os.path.getsize, source), role)
            case _:
                raise TypeError(f"an input is a file, bytes, a URL or an asset, not {type(source).__name__}")

    async def fit(self, media: Iterable[Media]) -> None:
        """Uploads the largest of the inputs that are bytes, until the others fit in one request together."""
        inline = sorted((each for each in media if each.data), key=lambda each: len(each.data))
        total = sum(len(each.data) for each in inline)
        while total > INLINE_LIMIT:
            largest = inline.pop()
            total -= len(largest.data)
            largest.asset = await self._upload(largest.data)

    async def _sent(self, source: FileOrBytes, size: int, role: MediaRole.ValueType) -> Media:
        if size > INLINE_LIMIT:
            return Media(asset=await self._upload(source), role=role)
        data = source if isinstance(source, bytes) else await asyncio.to_thread(Path(source).read_bytes)
        return Media(data=data, role=role)

    async def _upload(self, source: FileOrBytes) -> str:
        """Returns the asset that has these bytes. Its name is their digest, so that a retry finds what is there."""
        digest, head = sha256(), b""
        async with Supply(source).open() as (_, blocks), aclosing(blocks):
            async for block in blocks:
                head = head or block[:16]
                await asyncio.to_thread(digest.update, block)
        path = f"{_folder(head)}/{digest.hexdigest()[:40]}{_suffix(source)}"
        if not await self._exists(path):
            await self.scenes.upload(self.project_id, self.scene_id, path, source)
        return path

    async def _exists(self, path: str) -> bool:
        beginning: AsyncGenerator[bytes, None] = self.scenes.read(self.project_id, self.scene_id, path, limit=1)
        try:
            async with aclosing(beginning):
                return await anext(beginning, None) is not None
        except (AssetNotFound, SceneNotFound):
            return False


def inline_media(
    source: FileOrBytes,
    role: MediaRole.ValueType = MediaRole.MEDIA_ROLE_UNSPECIFIED,
    *,
    at_seconds: float | None = None,
) -> Media:
    """Returns an input with the bytes of a file, or with the given bytes. Raises MediaTooLarge, OSError.

    Only inputs of clips need a role.
    """
    if isinstance(source, bytes):
        data, name = source, "the input"
    else:
        name = os.fspath(source)
        with open(source, "rb") as file:
            data = file.read(INLINE_LIMIT + 1)
    if len(data) > INLINE_LIMIT:
        raise MediaTooLarge(
            f"inputs sent as bytes may have 3 MiB ({INLINE_LIMIT:,} bytes) together, and {name} is larger than that; "
            "give the file itself to a call, which uploads it, an http(s) URL or a file that is already in the scene"
        )
    return Media(data=data, role=role, at_seconds=at_seconds)


def _named(source: str, scheme: str, slashes: bool, role: MediaRole.ValueType) -> Media:
    if scheme in ("http", "https") and slashes:
        return Media(uri=source, role=role)
    if scheme == "asset":
        return Media(asset=source.partition(":")[2], role=role)
    raise ValueError(
        f"an input is a file, an http(s) URL or asset:PATH, not {source[:80]!r}; a file of that name is Path(…)"
    )


def _folder(head: bytes) -> str:
    return "videos" if _CLIP.match(head) else "audio" if _SOUND.match(head) else "images"


def _suffix(source: FileOrBytes) -> str:
    suffix = "" if isinstance(source, bytes) else Path(source).suffix.lower()
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,5}", suffix) else ""
