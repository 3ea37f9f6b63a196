"""Ephemeral uploads: a form to fill, a file received by it, and a `runway://` URI that lives for a day."""

import hashlib
from dataclasses import dataclass

MIN_BYTES = 512
MAX_BYTES = 200 * 1000 * 1000

_ENDINGS = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "mkv": "video/x-matroska",
    "webm": "video/webm",
    "3gp": "video/3gpp",
    "ogv": "video/ogg",
    "avi": "video/x-msvideo",
    "flv": "video/x-flv",
    "mpg": "video/mpeg",
    "mpeg": "video/mpeg",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "m4a": "audio/x-m4a",
    "aac": "audio/aac",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload. `digest` names the received file in the asset store; empty until it is received."""

    id: str
    filename: str
    created_at: float
    digest: str = ""
    content_type: str = ""

    @property
    def uri(self) -> str:
        return f"runway://{self.id}"

    def fields(self, secret: bytes) -> dict[str, str]:
        """Returns the form fields that must come back with the file."""
        signature = hashlib.blake2b(self.id.encode(), key=secret, digest_size=16).hexdigest()
        return {"key": f"uploads/{self.id}/{self.filename}", "x-amz-signature": signature}


def type_of(filename: str) -> str | None:
    """Returns the content type for the ending of a file name; None if it is not an accepted one."""
    return _ENDINGS.get(filename.rpartition(".")[2].lower())
