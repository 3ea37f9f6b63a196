"""How long and how large a clip becomes where the request leaves it open."""

import re
from collections.abc import Mapping

from evergreen_server.providers.runway.catalog.models import (
    Json,
    Operation,
    default_duration,
    duration_bounds,
    output_size,
)
from evergreen_server.providers.runway.sandbox.generation.assets import Asset
from evergreen_server.providers.runway.sandbox.state.tasks import Form

_USUAL_SECONDS = 10
_AUTO_SECONDS = 5
_LONGEST_SECONDS = 30.0
_SHORT_SIDES = {"480p": 480, "720p": 720, "768p": 768, "1080p": 1080, "2k": 1440, "4k": 2160}
_LARGEST_SIDE = 4096
DRAFT, DONE = 854 * 480, 1920 * 1080
"""Pixels of a draft, and of the clip that it is enhanced to."""


def clip_seconds(operation: Operation, body: Mapping[str, Json], video: Asset | None) -> float:
    """Returns the clip's length: as asked, else the source's, else a usual one within the model's bounds."""
    asked = body.get("duration")
    if isinstance(asked, int | float) and not isinstance(asked, bool):
        return float(asked)
    model = str(body.get("model"))
    usual: float = _AUTO_SECONDS if asked == "auto" else default_duration(operation, model) or _USUAL_SECONDS
    if operation is Operation.VIDEO_TO_VIDEO and video is not None and video.seconds > 0:
        usual = video.seconds
    low, high = duration_bounds(operation, model) or (usual, min(usual, _LONGEST_SECONDS))
    return float(min(max(usual, low), high))


def clip_size(operation: Operation, body: Mapping[str, Json], first: Asset | None) -> tuple[int, int]:
    """Returns the clip's width and height in pixels: as asked, else by the input's aspect and the resolution."""
    asked = output_size(operation, body)
    if asked is not None:
        return asked
    ratio = body.get("ratio") or body.get("targetAspectRatio")
    aspect = _aspect(ratio if isinstance(ratio, str) else "")
    if aspect is None:
        aspect = first.width / first.height if first is not None and first.height else 16 / 9
    resolution = body.get("resolution") or str(ratio or "").removeprefix("auto_")
    short = _SHORT_SIDES.get(str(resolution).lower(), 720)
    if operation is Operation.VIDEO_TO_VIDEO and first is not None and first.kind == "video" and not resolution:
        # Such models keep the source's resolution, up to 1080p.
        short = min(first.width, first.height, 1080)
    aspect = min(max(aspect, 0.2), 5.0)
    width, height = (short * aspect, float(short)) if aspect >= 1 else (float(short), short / aspect)
    return _even(width), _even(height)


def clip_form(body: Mapping[str, Json]) -> Form:
    """Returns the format of the clip's file; HDR is written as H.264 here too, in the same container."""
    match body.get("outputFormat"):
        case "mov":
            return "mov"
        case "prores" | "hdr_prores" | "hdr_pq_12bit_master":
            return "prores"
        case str(word) if "sequence" in word:
            return "frames"
        case _:
            return "mp4"


def has_sound(body: Mapping[str, Json]) -> bool:
    """Returns whether the clip has sound: as asked, else where that is the documented default."""
    default = str(body.get("model")).startswith(("veo3.1", "seedance2"))
    return body.get("audio", default) is True


def sized(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Returns sides of the same aspect, of about so many pixels together."""
    scale = (pixels / (width * height)) ** 0.5
    return _even(width * scale), _even(height * scale)


def _aspect(ratio: str) -> float | None:
    found = re.fullmatch(r"(\d{1,2}):(\d{1,2})", ratio)
    return int(found[1]) / int(found[2]) if found and int(found[2]) else None


def _even(side: float) -> int:
    return max(2, min(_LARGEST_SIDE, round(side)) // 2 * 2)
