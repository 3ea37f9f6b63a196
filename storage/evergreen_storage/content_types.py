"""Content types by file name, for engines that keep none, the same on every machine; and which are dangerous."""

import re
from typing import Final

UNKNOWN_TYPE: Final = "application/octet-stream"

# Whatever a browser may run a script of, in any of its many names: any XML, for one.
_RUNS: Final = re.compile(r"html|xml|svg|script|multipart/|message/|shockwave|/hta\b", re.IGNORECASE)
_SHOWN: Final = re.compile(r"(image|audio|video)/", re.IGNORECASE)

_BY_SUFFIX: Final = {
    "aac": "audio/aac",
    "avif": "image/avif",
    "flac": "audio/flac",
    "gif": "image/gif",
    "heic": "image/heic",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "m4a": "audio/mp4",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "png": "image/png",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webp": "image/webp",
}


def content_type_of(name: str) -> str:
    """Tells the content type that a file's name stands for."""
    return _BY_SUFFIX.get(name.rpartition(".")[2].lower(), UNKNOWN_TYPE)


def is_run(content_type: str) -> bool:
    """Tells whether a browser runs what has this content type."""
    return _RUNS.search(content_type) is not None


def harmless(content_type: str) -> str:
    """Gives a content type, or the one of unknown bytes in place of one that a browser runs."""
    return UNKNOWN_TYPE if is_run(content_type) else content_type


def headers_of(content_type: str) -> dict[str, str]:
    """Makes what an object store shall answer with: a browser saves to a file what is no picture, sound or film."""
    headers = {"Content-Type": harmless(content_type)}
    if not _SHOWN.match(headers["Content-Type"]):
        headers["Content-Disposition"] = "attachment"
    return headers
