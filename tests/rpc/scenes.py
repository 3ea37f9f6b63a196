"""Moving files to and from a running server, and the files to move."""

import io
from collections.abc import AsyncIterator, Iterable
from fractions import Fraction
from pathlib import Path

import av
import google_crc32c
import numpy as np

from evergreen.v1 import scene_pb2
from tests.serving import Api

CHUNK = 512 * 1024


def info(**fields: object) -> scene_pb2.UploadAssetRequest:
    """The first message of an upload."""
    usual = {"project_id": "film", "scene_id": "one", "path": "images/a.bin"}
    return scene_pb2.UploadAssetRequest(info=scene_pb2.UploadInfo(**{**usual, **fields}))


async def body(data: bytes, **fields: object) -> AsyncIterator[scene_pb2.UploadAssetRequest]:
    yield info(**fields)
    for start in range(0, len(data), CHUNK):
        yield scene_pb2.UploadAssetRequest(chunk=data[start : start + CHUNK])


async def upload(api: Api, data: bytes, **fields: object) -> scene_pb2.Asset:
    return (await api.scene.UploadAsset(body(data, **fields))).asset


async def download(
    api: Api, path: str, *, scene_id: str = "one", offset: int = 0, limit: int = 0
) -> tuple[scene_pb2.Asset, list[bytes]]:
    """Gives the first message and the chunks."""
    call = api.scene.DownloadAsset(
        scene_pb2.DownloadAssetRequest(project_id="film", scene_id=scene_id, path=path, offset=offset, limit=limit)
    )
    first, *rest = [message async for message in call]
    assert first.WhichOneof("body") == "info"
    assert all(message.WhichOneof("body") == "chunk" for message in rest)
    return first.info, [message.chunk for message in rest]


async def scene_of(api: Api, scene_id: str = "one") -> scene_pb2.Scene:
    return (await api.scene.GetScene(scene_pb2.GetSceneRequest(project_id="film", scene_id=scene_id))).scene


def paths_of(scene: scene_pb2.Scene, *, metadata: bool = False) -> list[str]:
    """The paths of the assets; with `metadata` of what the service keeps about them too."""
    folders = [folder for folder in scene.folders if metadata or folder.name != "metadata"]
    return [asset.path for folder in folders for asset in folder.assets]


def crc32c(data: bytes) -> int:
    return int(google_crc32c.value(data))


def video(width: int = 320, height: int = 192, seconds: int = 2) -> bytes:
    """A small real MP4."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(12))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(12 * seconds):
            picture = np.full((height, width, 3), number * 4, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return target.getvalue()


def files_of(folder: Path, under: Iterable[str] = ("images", "audio", "videos", "exports")) -> list[str]:
    """Every file in the folders for assets, half-written and hidden ones too, but for the lock files."""
    found = (path for name in under for path in (folder / name).glob("*") if path.name != ".lock")
    return sorted(str(path.relative_to(folder)) for path in found)
