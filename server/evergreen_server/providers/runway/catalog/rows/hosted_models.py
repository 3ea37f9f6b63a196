"""The rows of models that the provider hosts for others: MiniMax, HappyHorse, Wan, Gemini, Grok and Kling."""

from collections.abc import Iterator

from evergreen_server.providers.runway.catalog.rows import cross_field_rules as cross
from evergreen_server.providers.runway.catalog.rows import vocabulary as v
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
from evergreen_server.providers.runway.catalog.rules import Duration, Number, OneOf, Text
from evergreen_server.providers.runway.catalog.shapes import Frames

__all__ = ["hosted_rows"]


def hosted_rows() -> Iterator[Row]:
    """Yields every row of this module."""
    for family in (_minimax, _happyhorse_and_wan, _gemini, _grok, _kling):
        yield from family()


def _minimax() -> Iterator[Row]:
    shared: Fields = {
        "promptText!": Text(6000),
        "duration": Duration(5, 15),
        "ratio": OneOf(v.HL),
    }
    shared |= {
        "resolution": OneOf(("768P", "2K", "768p", "2k")),
        "referenceAudio": sounds(3),
    }
    yield row(FROM_IMAGE, "hailuo3", {"promptImage!": Frames("modes", 9), **shared}, closed=True)
    text: Fields = {"references": pictures(9), "referenceVideos": videos(3), **shared}
    yield row(FROM_TEXT, "hailuo3", text, cross.adaptive_needs_references, closed=True)
    video: Fields = {
        "promptVideo!": v.VIDEO,
        "references": pictures(9),
        "referenceVideos": videos(2),
        **shared,
    }
    yield row(FROM_VIDEO, "hailuo3", video, closed=True)
    h3: Fields = {
        "promptText!": Text(6000), "duration": Duration(5, 15), "resolution": OneOf(("480p", "768p")),
        "promptExpansionMode": OneOf(("disabled", "balanced", "quality")), **WITH_SEED,
    }  # fmt: skip
    yield row(FROM_IMAGE, "h3_max", {"promptImage!": FIRST_LAST, **h3})
    yield row(FROM_TEXT, "h3_max", h3 | {"promptText!": Text()})


def _happyhorse_and_wan() -> Iterator[Row]:
    horse: Fields = {"promptText": Text(2500, 2), "duration": Duration(3, 15)}
    sizes = OneOf(("720P", "1080P", "720p", "1080p"))
    yield row(
        FROM_IMAGE,
        "happyhorse_1_0",
        {"promptImage!": FIRST, "resolution": sizes, **horse},
        closed=True,
    )
    yield row(
        FROM_TEXT,
        "happyhorse_1_0",
        {
            "promptText!": Text(2500, 2),
            "duration": Duration(3, 15),
            "ratio": OneOf(v.HAPPYHORSE),
        },
        closed=True,
    )
    for model in ("wan3", "wan3_prime"):
        wan: Fields = {
            "promptText!": Text(20_000),
            "duration": Duration(2, 30),
            "ratio": OneOf(v.W15 + v.WA),
            **WITH_AUDIO,
        }
        image: Fields = {
            "promptImage!": Frames("modes", 10), "referenceAudio": sounds(5), "referenceVideos": videos(5)
        }  # fmt: skip
        text: Fields = {
            "references": pictures(10), "referenceAudio": sounds(None), "referenceVideos": videos(None)
        }  # fmt: skip
        yield row(FROM_IMAGE, model, wan | image, cross.auto_ratio_with_frames, closed=True)
        yield row(FROM_TEXT, model, wan | text, closed=True)


def _gemini() -> Iterator[Row]:
    flash: Fields = {
        "promptText": Text(4000),
        "duration": Duration(3, 10),
        "ratio": OneOf(v.WIDE_AND_TALL),
    }
    yield row(FROM_IMAGE, "gemini_omni_flash", {"promptImage!": FIRST, **flash})
    del flash["promptText"]
    yield row(FROM_TEXT, "gemini_omni_flash", {"promptText!": Text(4000), **flash})
    yield row(
        FROM_VIDEO,
        "gemini_omni_flash",
        {"videoUri!": v.VIDEO, "promptText!": Text(4000), "references": pictures(5)},
        closed=True,
    )
    newer: Fields = {"duration": Duration(3, 10, auto=True), "ratio": OneOf(v.G11)}
    references: Fields = {"promptText!": Text(), "references": pictures(None)}
    yield row(
        FROM_IMAGE,
        "gemini_omni_flash_1.1",
        {"promptImage!": FIRST_LAST, "promptText!": Text(4000), **newer},
    )
    yield row(
        FROM_TEXT,
        "gemini_omni_flash_1.1",
        newer | references | {"referenceVideos": v.plain_videos()},
    )
    edit: Fields = {
        "videoUri!": v.VIDEO,
        "mode": v.MODE,
        "duration": Duration(1, v.LONGEST_SECONDS, auto=True),
    }
    yield row(FROM_VIDEO, "gemini_omni_flash_1.1", newer | references | edit)


def _grok() -> Iterator[Row]:
    shared: Fields = {
        "resolution": OneOf(("480p", "720p", "1080p")),
        "duration": Duration(1, 15),
    }
    aspects = OneOf(("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3"))
    text: Fields = {
        "promptText!": Text(2500), "ratio": aspects, "references": pictures(7), "referenceAudio": sounds(3)
    }  # fmt: skip
    yield row(
        FROM_IMAGE,
        "grok_imagine_1_5",
        {"promptImage!": FIRST, "promptText": Text(2500), **shared},
        closed=True,
    )
    yield row(FROM_TEXT, "grok_imagine_1_5", text | shared, cross.grok_references, closed=True)
    lite: Fields = {"duration": Duration(1, 15)}
    yield row(
        FROM_IMAGE,
        "grok_imagine_1_5_lite",
        {"promptImage!": FIRST, "promptText": Text(2500), "ratio": OneOf(v.WA), **lite},
    )
    yield row(
        FROM_TEXT,
        "grok_imagine_1_5_lite",
        {"promptText!": Text(2500), "ratio": OneOf(v.GROK_LITE), **lite},
    )


def _kling() -> Iterator[Row]:
    turbo: Fields = {
        "promptText!": Text(minimum=2),
        "duration": OneOf((5, 10)),
        "cfgScale": Number(0, 1),
    }
    yield row(FROM_IMAGE, "kling2.5_turbo_pro", {"promptImage!": FIRST_LAST, **turbo})
    yield row(FROM_TEXT, "kling2.5_turbo_pro", {"ratio": OneOf(v.KLING_25), **turbo})
    for size, ratios in {"standard": v.KS, "pro": v.KP, "4k": v.K4}.items():
        shared: Fields = {"promptText": Text(2500, 2), "duration": Duration(3, 15), **WITH_AUDIO}
        shared |= {"providerSettings": v.provider_settings(sound=False)}
        third: Fields = shared | {"cfgScale": Number(0, 1)}
        yield row(
            FROM_IMAGE,
            f"kling3.0_{size}",
            {"promptImage!": FIRST_LAST, "ratio": OneOf(ratios), **third},
            cross.multi_shot,
        )
        yield row(
            FROM_TEXT,
            f"kling3.0_{size}",
            {"ratio!": OneOf(ratios), **third},
            cross.multi_shot,
        )
        omni: Fields = {
            "promptImage!": FIRST_LAST,
            "ratio": OneOf(ratios),
            "references": v.positioned(7),
            **shared,
        }
        yield row(FROM_IMAGE, f"klingO3_{size}", omni, cross.multi_shot)
        yield row(
            FROM_TEXT,
            f"klingO3_{size}",
            {"ratio!": OneOf(ratios), **shared},
            cross.multi_shot,
        )
        edit: Fields = {
            "promptVideo!": v.VIDEO,
            "promptText!": Text(2500, 2),
            "references": v.positioned(4),
        }
        edit |= {"providerSettings": v.provider_settings(sound=True)}
        yield row(FROM_VIDEO, f"klingO3_{size}", edit, cross.multi_shot)
    fourth: Fields = {
        "references": pictures(10),
        "referenceVideos": v.plain_videos(5),
        "duration": Duration(3, v.LONGEST_SECONDS),
    }
    framed = OneOf(("auto_720p", "auto_1080p"))
    yield row(
        FROM_IMAGE,
        "kling_4",
        {
            "promptImage!": Frames("untyped", 10),
            "promptText": Text(),
            "ratio": framed,
            **fourth,
        },
        cross.kling_pictures,
    )
    yield row(
        FROM_TEXT,
        "kling_4",
        {"promptText!": Text(), "ratio": OneOf(v.KLING_4), **fourth},
        cross.kling_pictures,
    )
    edit4: Fields = {
        "videoUri!": v.VIDEO,
        "promptText!": Text(),
        "ratio": framed,
        "references": pictures(10),
    }
    yield row(FROM_VIDEO, "kling_4", edit4)
