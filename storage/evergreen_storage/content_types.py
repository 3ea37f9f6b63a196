"""Content types by file name, for engines that keep none; the same on every machine. And which are dangerous."""

import re
from typing import Final

UNKNOWN_TYPE: Final = "application/octet-stream"

# Whatever a browser may run scripts from, under any of its many names: any XML, for one.
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
    """Returns the content type for the ending of a file's name."""
    return _BY_SUFFIX.get(name.rpartition(".")[2].lower(), UNKNOWN_TYPE)


def is_run(content_type: str) -> bool:
    """Returns whether browsers run content of this type."""
    return _RUNS.search(content_type) is not None


def harmless(content_type: str) -> str:
    """Returns a content type, or UNKNOWN_TYPE in place of one that browsers run."""
    return UNKNOWN_TYPE if is_run(content_type) else content_type


def headers_of(content_type: str) -> dict[str, str]:
    """Returns the headers of a stored object: browsers show pictures, sound and video, and save all else as a file."""
    headers = {"Content-Type": harmless(content_type)}
    if not _SHOWN.match(headers["Content-Type"]):
        headers["Content-Disposition"] = "attachment"
    return headers
