"""The rows of the models that make clips from text, pictures or a video: Runway's own, Veo and Seedance."""

from collections.abc import Iterator

from evergreen_server.providers.runway.catalog.rows import cross_field_rules as cross
from evergreen_server.providers.runway.catalog.rows import vocabulary as v
from evergreen_server.providers.runway.catalog.rows.hosted_models import hosted_rows
from evergreen_server.providers.runway.catalog.rows.vocabulary import (
    FIRST,
    FIRST_LAST,
    FROM_IMAGE,
    FROM_TEXT,
    FROM_VIDEO,
    WITH_AUDIO,
    WITH_SEED,
    Fields,
    Row,
    pictures,
    row,
    sounds,
    videos,
)
from evergreen_server.providers.runway.catalog.rules import Duration, Flag, OneOf, Text
from evergreen_server.providers.runway.catalog.shapes import Frames

__all__ = ["video_rows"]


def video_rows() -> Iterator[Row]:
    """Yields every row of this module, and of the models that the provider hosts for others."""
    for family in (_gen4, _veo, _seedance, hosted_rows):
        yield from family()


def _gen4() -> Iterator[Row]:
    shared: Fields = {**WITH_SEED, "contentModeration": v.MODERATION}
    formats: Fields = {"outputFormat": v.GEN45_FORMATS, "proresProfile": v.PRORES}
    gen45: Fields = {
        "promptText!": Text(1000),
        "duration!": Duration(2, 10),
        **shared,
        **formats,
    }
    turbo: Fields = {"promptText": Text(1000), "duration": Duration(2, 10), **shared}
    yield row(
        FROM_IMAGE,
        "gen4.5",
        {"promptImage!": FIRST, "ratio!": OneOf(v.V6), **gen45},
        cross.prores_profile,
    )
    yield row(
        FROM_TEXT,
        "gen4.5",
        {"ratio!": OneOf(v.WIDE_AND_TALL), **gen45},
        cross.prores_profile,
    )
    yield row(FROM_IMAGE, "gen4_turbo", {"promptImage!": FIRST, "ratio!": OneOf(v.V6), **turbo})
    aleph: Fields = {
        "videoUri!": v.VIDEO, "promptText": Text(1000), "keyframes": v.keyframes(),
        "targetAspectRatio": v.ALEPH_ASPECTS, "ratio": Text(minimum=0), "outputFormat": v.ALEPH_FORMATS,
        "proresProfile": v.PRORES, **shared,
    }  # fmt: skip
    yield row(FROM_VIDEO, "aleph2", aleph, cross.prores_profile, cross.keyframe_times, closed=True)


def _veo() -> Iterator[Row]:
    shared: Fields = {
        "duration": OneOf((4, 6, 8)),
        "ratio!": OneOf(v.V4),
        "negativePrompt": Text(1000),
    }
    shared |= WITH_AUDIO | WITH_SEED
    for model in ("veo3.1", "veo3.1_fast"):
        yield row(
            FROM_IMAGE,
            model,
            {"promptImage!": FIRST_LAST, "promptText": Text(1000), **shared},
            closed=True,
        )
        yield row(FROM_TEXT, model, {"promptText!": Text(1000), **shared}, closed=True)


def _seedance() -> Iterator[Row]:
    low = v.S480 + v.S720
    for model, ratios in {
        "seedance2": low + v.S1080 + v.S4K,
        "seedance2_fast": low,
        "seedance2_mini": low,
    }.items():
        common: Fields = {
            "duration": Duration(4, 15, auto=True),
            "ratio": OneOf(ratios),
            **WITH_AUDIO,
            **WITH_SEED,
        }
        common |= {"referenceAudio": sounds(3)}
        more: Fields = {
            "references": pictures(9),
            "referenceVideos": videos(3),
            **common,
        }
        optional: Fields = {"promptText": Text(3500)}
        yield row(
            FROM_IMAGE,
            model,
            {"promptImage!": Frames("modes"), **optional, **common},
            closed=True,
        )
        yield row(FROM_TEXT, model, {"promptText!": Text(3500), **more}, closed=True)
        yield row(FROM_VIDEO, model, {"promptVideo!": v.VIDEO, **optional, **more}, closed=True)
    newest: Fields = {
        "promptText": Text(15_000), "duration": Duration(4, 30, auto=True),
        "ratio": OneOf(v.S480B + v.S720 + v.S1080), "referenceAudio": sounds(10), "draft": Flag(),
        "outputFormat": OneOf(("mp4", "mov")), **WITH_AUDIO, **WITH_SEED,
    }  # fmt: skip
    text: Fields = {
        "references": pictures(30),
        "referenceVideos": videos(10),
        "draftTaskId": Text(),
    }
    video: Fields = {
        "promptVideo!": v.VIDEO, "mode": v.MODE, "references": pictures(30), "referenceVideos": videos(9)
    }  # fmt: skip
    yield row(FROM_IMAGE, "seedance2_5", {"promptImage!": Frames("modes"), **newest}, cross.draft_is_mp4, closed=True)
    yield row(FROM_TEXT, "seedance2_5", newest | text, cross.draft_task_alone, cross.draft_is_mp4, closed=True)
    yield row(FROM_VIDEO, "seedance2_5", newest | video, cross.seedance_mode, cross.draft_is_mp4, closed=True)
