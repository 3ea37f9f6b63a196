"""The rows of models that act, speak as an avatar, or finish a video that there is."""

from collections.abc import Iterator

from evergreen_server.providers.runway.catalog.rows.cross_field_rules import hdr_profile
from evergreen_server.providers.runway.catalog.rows.vocabulary import (
    AUDIO,
    MODERATION,
    PICTURE,
    V6,
    VIDEO,
    WITH_SEED,
    Fields,
    Row,
    row,
)
from evergreen_server.providers.runway.catalog.rows.voices import AVATARS, LIVE_VOICES
from evergreen_server.providers.runway.catalog.rules import Flag, OneOf, Operation, Text, Whole
from evergreen_server.providers.runway.catalog.shapes import part, tagged

__all__ = ["finishing_rows"]


def finishing_rows() -> Iterator[Row]:
    """Yields every row of this module."""
    for family in (_performance, _upscalers, _hdr, _avatars):
        yield from family()


def _performance() -> Iterator[Row]:
    fields: Fields = {
        "character!": tagged({"image": {"uri!": PICTURE}, "video": {"uri!": VIDEO}}),
        "reference!": part({"type!": OneOf(("video",)), "uri!": VIDEO}), "bodyControl": Flag(),
        "expressionIntensity": Whole(1, 5), "ratio": OneOf(V6), "contentModeration": MODERATION, **WITH_SEED,
    }  # fmt: skip
    yield row(Operation.CHARACTER_PERFORMANCE, "act_two", fields)


def _upscalers() -> Iterator[Row]:
    percent = Whole(0, 100)
    magnific: Fields = {
        "videoUri!": VIDEO, "resolution": OneOf(("720p", "1k", "2k", "4k")), "creativity": percent, "sharpen": percent,
        "smartGrain": percent, "flavor": OneOf(("vivid", "natural")), "fpsBoost": Flag(),
    }  # fmt: skip
    yield row(Operation.VIDEO_UPSCALE, "magnific_video_upscaler_creative", magnific, closed=True)
    rates = OneOf(("24", "25", "30", "48", "50", "60", "120", "23_98", "29_97", "59_94"))
    yield row(Operation.VIDEO_UPSCALE, "enhance_frame_rate", {"videoUri!": VIDEO, "targetFramerate!": rates})


def _hdr() -> Iterator[Row]:
    formats = OneOf((
        "hdr10", "hlg", "hdr_prores", "hdr_exr_sequence", "hdr_exr_acescg_sequence_1_3", "hdr_exr_acescg_sequence_2_0",
    ))  # fmt: skip
    fields: Fields = {"videoUri!": VIDEO, "outputFormat": formats, "proresProfile": OneOf(("422", "422 HQ", "4444"))}
    yield row(Operation.VIDEO_TO_HDR, "ruby", fields, hdr_profile)


def _avatars() -> Iterator[Row]:
    voice = tagged({"preset": {"presetId!": OneOf(LIVE_VOICES)}, "custom": {"id!": Text()}})
    fields: Fields = {
        "avatar!": tagged({"runway-preset": {"presetId!": OneOf(AVATARS)}, "custom": {"avatarId!": Text()}}),
        "speech!": tagged({"audio": {"audio!": AUDIO}, "text": {"text!": Text(5000), "voice": voice}}),
    }  # fmt: skip
    yield row(Operation.AVATAR_VIDEOS, "gwm1_avatars", fields, closed=True)
