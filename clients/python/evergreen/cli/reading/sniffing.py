"""Where a file belongs in a scene, by its name or its first bytes, and what its name may be there."""

import re
import unicodedata
from pathlib import Path

FOLDERS = ("images", "audio", "videos", "exports")
"""Those that callers may write to."""

_BY_SUFFIX = {
    **dict.fromkeys(("avif", "bmp", "gif", "heic", "jpeg", "jpg", "png", "tif", "tiff", "webp"), "images"),
    **dict.fromkeys(("aac", "aif", "aiff", "flac", "m4a", "mp3", "oga", "ogg", "opus", "wav"), "audio"),
    **dict.fromkeys(("avi", "m4v", "mkv", "mov", "mp4", "webm"), "videos"),
}
_BY_START = (
    (b"\xff\xd8\xff", "images"),
    (b"\x89PNG\r\n", "images"),
    (b"GIF8", "images"),
    (b"BM", "images"),
    (b"II*\0", "images"),
    (b"MM\0*", "images"),
    (b"ID3", "audio"),
    (b"\xff\xfb", "audio"),
    (b"fLaC", "audio"),
    (b"OggS", "audio"),
    (b"\x1aE\xdf\xa3", "videos"),
)
_IN_BOX = {b"WEBP": "images", b"WAVE": "audio", b"AVI ": "videos", b"AIFF": "audio"}
_BRANDS = {b"heic": "images", b"heix": "images", b"mif1": "images", b"avif": "images", b"M4A ": "audio"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def place(file: str, to: str | None) -> str:
    """Returns the path in the scene for a file: `to` names it or its folder, else its name or its bytes choose."""
    name = Path(file).name
    if to is None:
        return f"{folder_of(file)}/{name}"
    return f"{to.rstrip('/')}/{name}" if to.endswith("/") or to in FOLDERS else to


def folder_of(file: str) -> str:
    """Returns the folder for a file of this machine; `exports` if neither its name nor its bytes say one."""
    named = _BY_SUFFIX.get(Path(file).suffix.lower().removeprefix("."))
    if named:
        return named
    try:
        with open(file, "rb") as opened:
            start = opened.read(16)
    except OSError:
        return "exports"
    if start[:4] in (b"RIFF", b"FORM"):
        return _IN_BOX.get(start[8:12], "exports")
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "videos")
    return next((folder for bytes_, folder in _BY_START if start.startswith(bytes_)), "exports")


def fits(name: str) -> bool:
    """Returns whether a file of a scene may have this name."""
    return _NAME.fullmatch(name) is not None and not name.endswith(".")


def fitting(name: str) -> str:
    """Returns a name near to this one that a file of a scene may have: `my-hero-a.jpg` for `My Hero ä.jpg`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    stem, dot, suffix = plain.rpartition(".")
    parts = [re.sub(r"[^a-z0-9_-]+", "-", part).strip("-._") for part in ((stem, suffix) if dot else (plain, ""))]
    return (parts[0] or "file")[:100] + (f".{parts[1][:20]}" if parts[1] else "")
