"""Checks ids, names and keys against an allow-list that is safe on every disk and object store."""

import re
from typing import Final, Literal

from evergreen_storage.storage import InvalidKey

__all__ = ["FOLDERS", "Kind", "check_folder", "check_key", "id_error", "is_name", "path_error"]

Kind = Literal["project", "scene", "job", "asset"]

FOLDERS: Final = ("images", "audio", "videos", "metadata", "exports")

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_DEVICES: Final = frozenset(
    {"CON", "PRN", "AUX", "NUL"} | {f"{port}{digit}" for port in ("COM", "LPT") for digit in range(1, 10)}
)


def id_error(kind: Kind, value: str) -> str | None:
    """Returns which rule an id or asset name breaks, in words for the caller who sent it; None if none."""
    what = "asset name" if kind == "asset" else f"{kind} id"
    if not value:
        return f"the {what} must not be empty"
    if kind == "asset":
        if not _NAME.fullmatch(value):
            return (
                f"the {what} must be 1 to 128 of the characters A-Z, a-z, 0-9, '.', '_' and '-', "
                "and start with a letter or digit"
            )
        if value.endswith("."):
            return f"the {what} must not end in '.'"
    elif not _ID.fullmatch(value):
        return (
            f"the {what} must be 1 to 63 of the characters A-Z, a-z, 0-9, '_' and '-', and start with a letter or digit"
        )
    if kind == "job" and value.lower() == "scene":
        return "the job id must not be 'scene', which names the scene's own document"
    # Windows takes CON.txt and con.tar.gz for the device as well.
    if value.partition(".")[0].upper() in _DEVICES:
        return f"the {what} must not be a Windows device name (CON, PRN, AUX, NUL, COM1-9, LPT1-9)"
    return None


def path_error(path: str) -> str | None:
    """Returns which rule the path of an asset in its scene (such as `videos/clip.mp4`) breaks; None if none."""
    folder, slash, name = path.partition("/")
    if not slash or folder not in FOLDERS:
        return f"the asset path must be FOLDER/NAME with one of the folders {', '.join(FOLDERS)}"
    return id_error("asset", name)


def is_name(part: str) -> bool:
    """Returns whether a key may have this part."""
    return id_error("asset", part) is None


def check_key(key: str) -> tuple[str, ...]:
    """Splits a key into its parts. Raises InvalidKey."""
    parts = tuple(key.split("/"))
    for part in parts:
        if not is_name(part):
            # The key may come from anybody and be of any length and content.
            raise InvalidKey(f"the key {key[:200]!r} is not allowed: {id_error('asset', part)}")
    return parts


def check_folder(prefix: str) -> tuple[str, ...]:
    """Splits a folder ("" or ending in "/") into its parts. Raises InvalidKey."""
    if not prefix:
        return ()
    if not prefix.endswith("/"):
        raise InvalidKey(f"the folder {prefix[:200]!r} must end in '/'")
    return check_key(prefix[:-1])
