"""Clips that a request makes: how long and how large they become where it leaves that open."""

import re
from collections.abc import Mapping, Sequence

from evergreen_server.providers.runway.catalog.models import (
    Json,
    Operation,
    default_duration,
    duration_bounds,
    output_size,
)
from evergreen_server.providers.runway.rendering.job import Form
from evergreen_server.providers.runway.sandbox.generation.assets import Asset
from evergreen_server.providers.runway.sandbox.generation.product import SECONDS_MOST, Product, source_of

_USUAL_SECONDS = 10
_AUTO_SECONDS = 5
_LONGEST_SECONDS = 30.0
_SHORT_SIDES = {"480p": 480, "720p": 720, "768p": 768, "1080p": 1080, "2k": 1440, "4k": 2160}
_LARGEST_SIDE = 4096
_PROFILES = {
    "422 Proxy": "proxy", "422 LT": "lt", "422": "standard", "422 HQ": "hq", "4444": "4444", "4444 XQ": "4444xq"
}  # fmt: skip
DRAFT, DONE = 854 * 480, 1920 * 1080
"""Pixels of a draft, and of the clip that it is enhanced to."""


def clip(operation: Operation, body: Mapping[str, Json], media: Sequence[Asset]) -> Product:
    """Returns what the three video operations make; a draft is small."""
    first = next((asset for asset in media if asset.kind in {"image", "video"}), None)
    video = next((asset for asset in media if asset.kind == "video"), None)
    if operation is Operation.VIDEO_TO_VIDEO:
        first = video or first
    width, height = clip_size(operation, body, first)
    if body.get("draft") is True:
        width, height = sized(width, height, DRAFT)
    form = form_of(str(body.get("outputFormat")))
    profile = str(body.get("proresProfile", "422 HQ" if body.get("outputFormat") == "hdr_prores" else "4444"))
    return Product(
        form=form,
        width=width,
        height=height,
        seconds=min(clip_seconds(operation, body, video), SECONDS_MOST),
        # A sequence of pictures keeps the sound of the video that it is made from, as a file of its own.
        sound=has_sound(body) or (form == "frames" and video is not None and video.sound),
        source=source_of(first),
        making={"profile": prores_profile(profile)} if form == "prores" else {},
    )


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
    return even(width), even(height)


def form_of(output_format: str) -> Form:
    """Returns the format of a clip's file by the provider's word."""
    match output_format:
        case "mov" | "hdr10" | "hlg":
            return output_format
        case "sdr_rec709_10bit":
            return "sdr10"
        case "prores" | "hdr_prores" | "hdr_pq_12bit_master":
            return "prores"
        case _ if "exr_" in output_format:
            return "exr"
        case _ if "sequence" in output_format:
            return "frames"
        case _:
            return "mp4"


def prores_profile(name: str) -> str:
    """Returns the renderer's name of a profile of ProRes."""
    return _PROFILES.get(name, "hq")


def has_sound(body: Mapping[str, Json]) -> bool:
    """Returns whether the clip has sound: as asked, else where that is the documented default."""
    default = str(body.get("model")).startswith(("veo3.1", "seedance2"))
    return body.get("audio", default) is True


def sized(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Returns sides of the same aspect, of about so many pixels together."""
    scale = (pixels / (width * height)) ** 0.5
    return even(width * scale), even(height * scale)


def _aspect(ratio: str) -> float | None:
    found = re.fullmatch(r"(\d{1,2}):(\d{1,2})", ratio)
    return int(found[1]) / int(found[2]) if found and int(found[2]) else None


def even(side: float) -> int:
    """Returns a side as encoders take it."""
    return max(2, min(_LARGEST_SIDE, round(side)) // 2 * 2)
