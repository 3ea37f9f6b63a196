"""`scene.json` as a document: its values, its shape, and the changes that may be made to it.

A document is kept as plain JSON, so that members which somebody else added survive every change. All changes are
idempotent: they are keyed by the job's id or the asset's path. Members that this service owns:

    schemaVersion  id  projectId  createdAt  updatedAt  status
    assets      {images, audio, videos, exports}: [{path, contentType, sizeBytes, crc32c, width, height,
                durationSeconds, createdAt, jobId where a job made it}]
    generation  {videoRequests, completedVideos}: [job id]

`crc32c` is text, 8 lower-case hexadecimal digits; what is not known is null; times are RFC 3339 in UTC.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NoReturn, TypeAlias

from .keys import FOLDERS, path_fault
from .storage import Json, StorageError
from .values import Asset, Scene

Document: TypeAlias = dict[str, Json]

SCHEMA_VERSION: Final = 1
ASSET_FOLDERS: Final = tuple(folder for folder in FOLDERS if folder != "metadata")

_CRC32C: Final = re.compile(r"[0-9a-fA-F]{8}")


class UnsupportedSchema(StorageError):
    """The document was written by a newer version of this service, and is left as it is."""


class Corrupt(Exception):
    """The bytes are no document of ours."""


def new_document(project_id: str, scene_id: str, *, created_at: datetime, updated_at: datetime) -> Document:
    """Makes the document of an empty scene."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "id": scene_id,
        "projectId": project_id,
        "createdAt": _time(created_at),
        "updatedAt": _time(updated_at),
        "status": "ACTIVE",
        "assets": {folder: [] for folder in ASSET_FOLDERS},
        "generation": {"videoRequests": [], "completedVideos": []},
    }


def decode(data: bytes, *, project_id: str, scene_id: str) -> Document:
    """Reads a document and checks its whole shape. Raises Corrupt, UnsupportedSchema."""
    document = decode_object(data)
    version = _integer(document.get("schemaVersion"), "schemaVersion")
    if version > SCHEMA_VERSION:
        raise UnsupportedSchema(
            f"the scene.json of {project_id}/{scene_id} has schemaVersion {version}, and this version of the service "
            f"knows {SCHEMA_VERSION}: it is left as it is; use a newer version"
        )
    scene = scene_of(document)
    if (scene.project_id, scene.id) != (project_id, scene_id):
        raise Corrupt("it belongs to another scene")
    return document


def decode_object(data: bytes) -> Document:
    """Reads a JSON object that can be written again. Raises Corrupt."""
    try:
        document = json.loads(data, parse_constant=_refuse_number, parse_float=_finite)
        if not isinstance(document, dict):
            raise Corrupt("it is no JSON object")
        fingerprint(document)
    except (ValueError, RecursionError) as fault:
        raise Corrupt(f"it is not JSON: {fault}") from fault
    return document


def encode(document: Mapping[str, Json], *, sort_keys: bool = False) -> bytes:
    """Writes JSON for people and programs, the same bytes for the same document. Raises ValueError."""
    try:
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, sort_keys=sort_keys)
        return text.encode() + b"\n"
    except (UnicodeEncodeError, RecursionError):
        # Half of a surrogate pair can only be written escaped, and what is nested absurdly deep only in one line.
        return json.dumps(document, allow_nan=False, sort_keys=sort_keys).encode() + b"\n"


def fingerprint(document: Document) -> str:
    """Makes a text that differs where documents differ; many times quicker than `encode`. Raises ValueError."""
    return json.dumps(document, allow_nan=False, separators=(",", ":"))


def scene_of(document: Document) -> Scene:
    """Makes the value of a document. Raises Corrupt."""
    assets = _object(document.get("assets"), "assets")
    generation = _object(document.get("generation"), "generation")
    return Scene(
        project_id=_text(document.get("projectId"), "projectId"),
        id=_text(document.get("id"), "id"),
        status=_text(document.get("status"), "status"),
        created_at=_datetime(document.get("createdAt"), "createdAt"),
        updated_at=_datetime(document.get("updatedAt"), "updatedAt"),
        images=_assets(assets, "images"),
        audio=_assets(assets, "audio"),
        videos=_assets(assets, "videos"),
        exports=_assets(assets, "exports"),
        video_requests=tuple(_texts(generation, "videoRequests")),
        completed_videos=tuple(_texts(generation, "completedVideos")),
    )


def asset_of(value: Json) -> Asset:
    """Makes the value of one entry. Raises Corrupt."""
    entry = _object(value, "asset")
    path = _text(entry.get("path"), "path")
    if path_fault(path):
        raise Corrupt("an asset's path is not allowed")
    crc32c = _text(entry.get("crc32c"), "crc32c")
    if not _CRC32C.fullmatch(crc32c):
        raise Corrupt("an asset's crc32c is not 8 hexadecimal digits")
    width, height, duration = entry.get("width"), entry.get("height"), entry.get("durationSeconds")
    job_id = entry.get("jobId")
    return Asset(
        path=path,
        content_type=_text(entry.get("contentType"), "contentType"),
        size_bytes=_integer(entry.get("sizeBytes"), "sizeBytes"),
        crc32c=int(crc32c, 16),
        width=None if width is None else _integer(width, "width"),
        height=None if height is None else _integer(height, "height"),
        duration_seconds=None if duration is None else _number(duration, "durationSeconds"),
        job_id=None if job_id is None else _text(job_id, "jobId"),
        created_at=_datetime(entry.get("createdAt"), "createdAt"),
    )


def entry_of(asset: Asset) -> dict[str, Json]:
    """Makes the entry of one asset."""
    entry: dict[str, Json] = {
        "path": asset.path,
        "contentType": asset.content_type,
        "sizeBytes": asset.size_bytes,
        "crc32c": f"{asset.crc32c:08x}",
        "width": asset.width,
        "height": asset.height,
        "durationSeconds": asset.duration_seconds,
        "createdAt": _time(asset.created_at),
    }
    return entry if asset.job_id is None else entry | {"jobId": asset.job_id}


def add_assets(document: Document, assets: Iterable[Asset]) -> None:
    """Enters assets, or brings their entries up to date."""
    for asset in assets:
        entries = _list(_object(document["assets"], "assets"), asset.path.partition("/")[0])
        new = entry_of(asset)
        for old in entries:
            if isinstance(old, dict) and old.get("path") == asset.path:
                if (old.get("sizeBytes"), old.get("crc32c")) == (new["sizeBytes"], new["crc32c"]):
                    # The same content: its first time stays, and what is known is not forgotten.
                    del new["createdAt"]
                    new = {name: value for name, value in new.items() if value is not None}
                old.update(new)
                break
        else:
            entries.append(new)


def remove_asset(document: Document, path: str) -> None:
    """Removes the entry of an asset, if it is there."""
    entries = _list(_object(document["assets"], "assets"), path.partition("/")[0])
    entries[:] = [entry for entry in entries if not (isinstance(entry, dict) and entry.get("path") == path)]


def add_job(document: Document, job_id: str, *, completed: bool) -> None:
    """Enters a job's id among the requests and, if it is completed, among the completed."""
    generation = _object(document["generation"], "generation")
    for name in ("videoRequests", "completedVideos") if completed else ("videoRequests",):
        entries = _list(generation, name)
        if job_id not in entries:
            entries.append(job_id)


def touch(document: Document, now: datetime) -> None:
    """Sets the time of the last change."""
    document["updatedAt"] = _time(now)


def encode_sidecar(job_id: str, assets: Sequence[Asset], members: Mapping[str, Json]) -> bytes:
    """Writes what is known of one job's clip: the caller's members, and ours, which win."""
    ours: Document = {"schemaVersion": SCHEMA_VERSION, "jobId": job_id, "assets": [entry_of(asset) for asset in assets]}
    return encode({**members, **ours}, sort_keys=True)


def decode_sidecar(data: bytes, *, job_id: str) -> list[Asset]:
    """Reads which assets a sidecar names. Raises Corrupt."""
    document = decode_object(data)
    if document.get("jobId") != job_id:
        raise Corrupt("it belongs to another job")
    return [asset_of(entry) for entry in _list(document, "assets")]


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _object(value: Json, name: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise Corrupt(f"{name} is no object")
    return value


def _list(owner: dict[str, Json], name: str) -> list[Json]:
    value = owner.get(name)
    if not isinstance(value, list):
        raise Corrupt(f"{name} is no list")
    return value


def _text(value: Json, name: str) -> str:
    if not isinstance(value, str):
        raise Corrupt(f"{name} is no text")
    return value


def _integer(value: Json, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Corrupt(f"{name} is no whole number")
    return value


def _number(value: Json, name: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Corrupt(f"{name} is no number")
    return float(value)


def _datetime(value: Json, name: str) -> datetime:
    try:
        time = datetime.fromisoformat(_text(value, name))
    except ValueError as fault:
        raise Corrupt(f"{name} is no time") from fault
    if time.tzinfo is None:
        raise Corrupt(f"{name} has no time zone")
    return time


def _texts(owner: dict[str, Json], name: str) -> list[str]:
    return [_text(value, name) for value in _list(owner, name)]


def _assets(owner: dict[str, Json], folder: str) -> tuple[Asset, ...]:
    found = tuple(asset_of(entry) for entry in _list(owner, folder))
    if any(asset.path.partition("/")[0] != folder for asset in found):
        raise Corrupt(f"{folder} names an asset of another folder")
    return found
