"""Converts between an asset and its entry in a document. An entry holds what the API can carry."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from evergreen_storage.content_types import harmless
from evergreen_storage.keys import id_error, path_error
from evergreen_storage.scenes.bounded import Corrupt
from evergreen_storage.scenes.values import Asset
from evergreen_storage.storage import Json

T = TypeVar("T")

_CRC32C: Final = re.compile(r"[0-9a-fA-F]{8}")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_MAX_TEXT: Final = 1000
_MAX_SIZE: Final = (1 << 63) - 1
_MAX_PIXELS: Final = (1 << 31) - 1
_MAX_SECONDS: Final = 1e9


def asset_of(value: Json, *, lenient: bool = False) -> Asset:
    """Returns the asset of one entry; with `lenient`, optional members that cannot be right are left out.

    Raises Corrupt.
    """
    entry = object_of(value, "asset")

    def known(name: str, read: Callable[[Json, str], T]) -> T | None:
        try:
            return None if entry.get(name) is None else read(entry[name], name)
        except Corrupt:
            if lenient:
                return None
            raise

    path = text_of(entry.get("path"), "path")
    if path_error(path):
        raise Corrupt("an asset's path is not allowed")
    crc32c = text_of(entry.get("crc32c"), "crc32c")
    if not _CRC32C.fullmatch(crc32c):
        raise Corrupt("an asset's crc32c is not 8 hexadecimal digits")
    return Asset(
        path=path,
        content_type=harmless(text_of(entry.get("contentType"), "contentType")),
        size_bytes=whole_of(entry.get("sizeBytes"), "sizeBytes"),
        crc32c=int(crc32c, 16),
        width=known("width", _pixels),
        height=known("height", _pixels),
        duration_seconds=known("durationSeconds", _seconds),
        job_id=known("jobId", job_id_of),
        created_at=time_of(entry.get("createdAt"), "createdAt"),
    )


def entry_of(asset: Asset) -> dict[str, Json]:
    """Returns the entry of one asset."""
    entry: dict[str, Json] = {
        "path": asset.path,
        "contentType": asset.content_type,
        "sizeBytes": asset.size_bytes,
        "crc32c": f"{asset.crc32c:08x}",
        "width": asset.width,
        "height": asset.height,
        "durationSeconds": asset.duration_seconds,
        "createdAt": time_text(asset.created_at),
    }
    return entry if asset.job_id is None else entry | {"jobId": asset.job_id}


def time_text(value: datetime) -> str:
    """Returns a time as RFC 3339 text in UTC."""
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def object_of(value: Json, name: str) -> dict[str, Json]:
    """Returns a value that must be an object. Raises Corrupt."""
    if not isinstance(value, dict):
        raise Corrupt(f"{name} is no object")
    return value


def list_of(value: Json, name: str) -> list[Json]:
    """Returns a value that must be a list. Raises Corrupt."""
    if not isinstance(value, list):
        raise Corrupt(f"{name} is no list")
    return value


def text_of(value: Json, name: str) -> str:
    """Returns a value that must be a text of at most 1,000 characters that UTF-8 can encode. Raises Corrupt."""
    if not isinstance(value, str) or len(value) > _MAX_TEXT or _SURROGATE.search(value):
        raise Corrupt(f"{name} is no text of at most {_MAX_TEXT} characters")
    return value


def job_id_of(value: Json, name: str) -> str:
    """Returns a value that must be the id of a job. Raises Corrupt."""
    text = text_of(value, name)
    if id_error("job", text):
        raise Corrupt(f"{name} is no id of a job")
    return text


def whole_of(value: Json, name: str, *, most: int = _MAX_SIZE) -> int:
    """Returns a value that must be a whole number from 0 to `most`. Raises Corrupt."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise Corrupt(f"{name} is no whole number from 0 to {most}")
    return value


def time_of(value: Json, name: str) -> datetime:
    """Returns a value that must be a time, in UTC. Raises Corrupt."""
    try:
        time = datetime.fromisoformat(text_of(value, name))
        if time.tzinfo is None:
            raise Corrupt(f"{name} has no time zone")
        return time.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise Corrupt(f"{name} is no time") from exc


def _pixels(value: Json, name: str) -> int:
    return whole_of(value, name, most=_MAX_PIXELS)


def _seconds(value: Json, name: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _MAX_SECONDS:
        raise Corrupt(f"{name} is no number from 0 to {_MAX_SECONDS:g}")
    return float(value)
