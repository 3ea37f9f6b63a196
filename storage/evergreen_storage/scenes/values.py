"""What the scene tree holds, as values."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file of a scene. `path` is FOLDER/NAME; what is not known is None."""

    path: str
    content_type: str
    size_bytes: int
    crc32c: int
    created_at: datetime
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One scene, as its document describes it."""

    project_id: str
    id: str
    status: str
    created_at: datetime
    updated_at: datetime
    images: tuple[Asset, ...] = ()
    audio: tuple[Asset, ...] = ()
    videos: tuple[Asset, ...] = ()
    exports: tuple[Asset, ...] = ()
    video_requests: tuple[str, ...] = ()
    completed_videos: tuple[str, ...] = ()
    image_requests: tuple[str, ...] = ()
    completed_images: tuple[str, ...] = ()
    audio_requests: tuple[str, ...] = ()
    completed_audio: tuple[str, ...] = ()

    def asset(self, path: str) -> Asset | None:
        """Returns the asset with this path, or None."""
        folders = {"images": self.images, "audio": self.audio, "videos": self.videos, "exports": self.exports}
        return next((asset for asset in folders.get(path.partition("/")[0], ()) if asset.path == path), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSummary:
    """One scene in a list, with how many jobs of each kind it was asked for and has got.

    `status` is UNSUPPORTED where only a newer version of this service can read it. It is UNREADABLE, and the times are
    of 1970, where the files of this scene cannot be read.
    """

    project_id: str
    id: str
    status: str
    created_at: datetime
    updated_at: datetime
    video_requests: int = 0
    completed_videos: int = 0
    image_requests: int = 0
    completed_images: int = 0
    audio_requests: int = 0
    completed_audio: int = 0
