"""Content types by file name, for engines that keep none; the same on every machine, unlike the system's tables."""

from typing import Final

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
    return _BY_SUFFIX.get(name.rpartition(".")[2].lower(), "application/octet-stream")
