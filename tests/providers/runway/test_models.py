"""The table of models: what it refuses on the wire and at the caller's fields, what it quotes and lists."""

from dataclasses import replace

import pytest

from evergreen_server.ports.catalog import PictureRule, PriceInfo, PriceUnit
from evergreen_server.ports.specs import FieldError, GenerationSpec, Json, Media, Role
from evergreen_server.providers.runway.catalog.models import (
    CLIPS,
    DATA_URI_LIMIT,
    Operation,
    RunwayModels,
    aspect_limits,
    check_body,
    default_duration,
    duration_bounds,
    model_names,
    output_size,
    price_bound,
)

IMAGE, TEXT, VIDEO = Operation.IMAGE_TO_VIDEO, Operation.TEXT_TO_VIDEO, Operation.VIDEO_TO_VIDEO
PICTURE = "https://example.org/a.png"
FIRST: Json = {"uri": PICTURE, "position": "first"}
LAST: Json = {"uri": PICTURE, "position": "last"}
LOOSE: Json = {"uri": PICTURE}
GEN45: dict[str, Json] = {
    "model": "gen4.5",
    "promptImage": PICTURE,
    "promptText": "x",
    "ratio": "1280:720",
    "duration": 5,
}


def media(*roles: Role) -> tuple[Media, ...]:
    return tuple(
        Media(role=role, uri="https://example.org/x", at_seconds=1.5 if role is Role.KEYFRAME else None)
        for role in roles
    )


def spec(model: str, *roles: Role, **fields: object) -> GenerationSpec:
    return GenerationSpec(model=model, media=media(*roles), **fields)  # type: ignore[arg-type]  # a table of test cases


def second(condition: str, millicredits: int) -> PriceInfo:
    return PriceInfo(condition=condition, unit=PriceUnit.SECOND, millicredits=millicredits)


def fields_of(field_errors: list[FieldError]) -> set[str]:
    return {error.field for error in field_errors}


def test_every_operation_lists_the_models_of_the_api() -> None:
    assert len(model_names(IMAGE)) == 25
    assert set(model_names(IMAGE)) - set(model_names(TEXT)) == {"gen4_turbo"}
    assert len(model_names(VIDEO)) == 12
    assert len(model_names()) == 26


MINIMAL: list[tuple[Operation, dict[str, Json]]] = [
    (IMAGE, GEN45),
    (TEXT, {"model": "gen4.5", "promptText": "x", "ratio": "720:1280", "duration": 2}),
    (IMAGE, {"model": "gen4_turbo", "promptImage": [FIRST], "ratio": "1584:672"}),
    (IMAGE, {"model": "veo3.1", "promptImage": [FIRST, LAST], "ratio": "1080:1920", "duration": 8, "audio": False}),
    (TEXT, {"model": "veo3.1_fast", "promptText": "x", "ratio": "1280:720", "negativePrompt": "y", "seed": 0}),
    (IMAGE, {"model": "seedance2", "promptImage": [LOOSE] * 12, "duration": "auto", "ratio": "3840:2160"}),
    (IMAGE, {"model": "seedance2", "promptImage": [LAST]}),
    (TEXT, {"model": "seedance2_fast", "promptText": "x", "references": [LOOSE] * 9}),
    (VIDEO, {"model": "seedance2_mini", "promptVideo": "runway://a-video"}),
    (TEXT, {"model": "seedance2_5"}),
    (TEXT, {"model": "seedance2_5", "draftTaskId": "3f0c2f6e-6a0b-4c57-9a0e-0d8d9f1f6b11"}),
    (VIDEO, {"model": "seedance2_5", "promptVideo": "runway://a-video", "mode": "edit", "promptText": "x",
             "duration": "auto"}),
    (VIDEO, {"model": "aleph2", "videoUri": "runway://a-video", "keyframes": [{"uri": PICTURE, "seconds": 3.5}]}),
    (IMAGE, {"model": "hailuo3", "promptImage": PICTURE, "promptText": "x", "resolution": "768p", "ratio": "21:9"}),
    (IMAGE, {"model": "wan3", "promptImage": [LOOSE], "promptText": "x", "ratio": "1280:720"}),
    (TEXT, {"model": "grok_imagine_1_5", "promptText": "x", "ratio": "3:2", "resolution": "1080p"}),
    (IMAGE, {"model": "kling_4", "promptImage": [{"uri": PICTURE, "somewhere": "middle"}]}),
    (VIDEO, {"model": "klingO3_pro", "promptVideo": "runway://a-video", "promptText": "xy", "references": PICTURE}),
    (TEXT, {"model": "gemini_omni_flash_1.1", "promptText": "x", "referenceVideos": [{"uri": PICTURE}]}),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "body"), MINIMAL)
def test_a_body_that_the_api_takes_has_no_issues(operation: Operation, body: dict[str, Json]) -> None:
    assert check_body(operation, body) == []


@pytest.mark.parametrize("operation", [IMAGE, TEXT, VIDEO])
def test_every_row_names_all_its_required_fields_at_once(operation: Operation) -> None:
    for model in model_names(operation):
        issues = check_body(operation, {"model": model})
        assert all(issue.code in ("invalid_type", "invalid_value") for issue in issues)
        if operation is not TEXT:
            assert issues


BROKEN: list[tuple[Operation, dict[str, Json], tuple[str | int, ...], str, str]] = [
    (IMAGE, GEN45 | {"promptText": ""}, ("promptText",), "too_small", ">=1 characters"),
    (IMAGE, GEN45 | {"promptText": "x" * 1001}, ("promptText",), "too_big",
     "Too big: expected string to have <=1000 characters"),
    (IMAGE, GEN45 | {"promptText": "🎬" * 501}, ("promptText",), "too_big", "<=1000"),
    (IMAGE, GEN45 | {"promptText": 5}, ("promptText",), "invalid_type", "expected string, received number"),
    (IMAGE, GEN45 | {"duration": 1}, ("duration",), "too_small", "Too small: expected number to be >=2"),
    (IMAGE, GEN45 | {"duration": 11}, ("duration",), "too_big", "<=10"),
    (IMAGE, GEN45 | {"duration": 2.5}, ("duration",), "invalid_type", "expected int"),
    (IMAGE, GEN45 | {"duration": "auto"}, ("duration",), "invalid_type", "received string"),
    (IMAGE, GEN45 | {"ratio": "16:9"}, ("ratio",), "invalid_value",
     'Invalid option: expected one of "1280:720"|"720:1280"|"1104:832"|"832:1104"|"960:960"|"1584:672"'),
    (TEXT, {"model": "gen4.5", "promptText": "x", "ratio": "960:960", "duration": 5}, ("ratio",), "invalid_value",
     'expected one of "1280:720"|"720:1280"'),
    (IMAGE, GEN45 | {"seed": 4_294_967_296}, ("seed",), "too_big", "4294967295"),
    (IMAGE, GEN45 | {"seed": True}, ("seed",), "invalid_type", "received boolean"),
    (IMAGE, GEN45 | {"contentModeration": {"publicFigureThreshold": "high"}},
     ("contentModeration", "publicFigureThreshold"), "invalid_value", '"auto"|"low"'),
    (IMAGE, GEN45 | {"watermark": 1, "audio": True}, (), "unrecognized_keys",
     'Unrecognized keys: "watermark", "audio"'),
    (IMAGE, GEN45 | {"proresProfile": "422"}, ("proresProfile",), "custom", "ProRes"),
    (IMAGE, GEN45 | {"proresProfile": "422 LT", "outputFormat": "hdr_prores"}, ("proresProfile",), "custom", "422 HQ"),
    (IMAGE, {"model": "hailuo3", "promptText": "x", "promptImage": [LOOSE] * 10}, ("promptImage",), "too_big",
     "<=9 items"),
    (IMAGE, GEN45 | {"promptImage": []}, ("promptImage",), "too_small", ">=1 items"),
    (IMAGE, GEN45 | {"promptImage": [LOOSE]}, ("promptImage", 0, "position"), "invalid_value", '"first"'),
    (IMAGE, GEN45 | {"promptImage": 5}, ("promptImage",), "invalid_union", "Invalid input"),
    (IMAGE, {"model": "veo3.1", "promptImage": [LAST], "ratio": "1280:720"}, ("promptImage", 0, "position"), "custom",
     "You must specify a frame in position `first`."),
    (IMAGE, {"model": "veo3.1", "promptImage": [FIRST, FIRST], "ratio": "1280:720"}, ("promptImage", 1, "position"),
     "custom", "once"),
    (IMAGE, {"model": "veo3.1", "promptImage": PICTURE, "ratio": "1280:720", "duration": 5}, ("duration",),
     "invalid_value", "expected one of 4|6|8"),
    (IMAGE, {"model": "seedance2", "promptImage": [FIRST, LOOSE]}, ("promptImage",), "custom", "mixed"),
    (TEXT, {"model": "seedance2", "promptText": "x", "references": [LOOSE] * 10}, ("references",), "too_big", "<=9"),
    (TEXT, {"model": "seedance2", "promptText": "x", "referenceVideos": [LOOSE]}, ("referenceVideos", 0, "type"),
     "invalid_value", '"video"'),
    (TEXT, {"model": "seedance2_5", "draftTaskId": "x", "promptText": "y"}, ("promptText",), "custom", "alone"),
    (VIDEO, {"model": "seedance2_5", "promptVideo": "runway://a-video", "mode": "extend", "ratio": "1280:720",
             "promptText": "x"}, ("ratio",), "custom", "extend"),
    (VIDEO, {"model": "aleph2", "videoUri": "runway://a-video", "keyframes": [{"uri": PICTURE}]},
     ("keyframes", 0, "seconds"), "custom", "seconds or at"),
    (VIDEO, {"model": "aleph2", "videoUri": "runway://a-video", "keyframes": [{"uri": PICTURE, "at": 2}]},
     ("keyframes", 0, "at"), "too_big", "<=1"),
    (IMAGE, {"model": "wan3", "promptImage": PICTURE, "promptText": "x", "ratio": "1280:720"}, ("ratio",), "custom",
     "auto_480p"),
    (TEXT, {"model": "hailuo3", "promptText": "x", "ratio": "adaptive"}, ("ratio",), "custom", "references"),
    (TEXT, {"model": "grok_imagine_1_5", "promptText": "x", "references": [LOOSE], "resolution": "1080p"},
     ("resolution",), "custom", "720p"),
    (TEXT, {"model": "kling3.0_pro", "ratio": "1920:1080",
            "providerSettings": {"multiPrompt": [{"prompt": "xyz", "duration": 2}]}},
     ("providerSettings", "multiPrompt"), "custom", "3 to 15"),
    (TEXT, {"model": "kling3.0_pro", "ratio": "1920:1080",
            "providerSettings": {"multiPrompt": [{"prompt": "xy", "duration": 5}]}},
     ("providerSettings", "multiPrompt", 0, "prompt"), "too_small", ">=3"),
    (TEXT, {"model": "kling3.0_4k", "ratio": "3840:2160", "duration": 2}, ("duration",), "too_small", ">=3"),
    (TEXT, {"model": "klingO3_pro", "ratio": "1920:1080", "duration": 16}, ("duration",), "too_big", "<=15"),
    (TEXT, {"model": "klingO3_pro", "ratio": "1920:1080", "promptText": "x"}, ("promptText",), "too_small", ">=2"),
    (TEXT, {"model": "kling3.0_pro", "ratio": "1920:1080", "promptText": "x" * 2501}, ("promptText",), "too_big",
     "<=2500"),
    (TEXT, {"model": "kling_4", "promptText": "x", "duration": 0}, ("duration",), "too_small", ">=3"),
    (TEXT, {"model": "kling_4", "promptText": "x", "duration": 1_000_000_000}, ("duration",), "too_big", "<=30"),
    (TEXT, {"model": "kling2.5_turbo_pro", "promptText": "x"}, ("promptText",), "too_small", ">=2"),
    (TEXT, {"model": "grok_imagine_1_5_lite", "promptText": "x", "duration": 16}, ("duration",), "too_big", "<=15"),
    (TEXT, {"model": "grok_imagine_1_5_lite", "promptText": "x" * 2501}, ("promptText",), "too_big", "<=2500"),
    (VIDEO, {"model": "gemini_omni_flash_1.1", "videoUri": "runway://video", "promptText": "x", "duration": -1},
     ("duration",), "too_small", ">=1"),
    (TEXT, {"model": "kling3.0_pro", "ratio": "1920:1080", "cfgScale": 1.5}, ("cfgScale",), "too_big", "<=1"),
    (TEXT, {"model": "kling3.0_pro", "ratio": "1920:1080", "cfgScale": float("nan")}, ("cfgScale",), "invalid_type",
     "received NaN"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "body", "path", "code", "text"), BROKEN)
def test_one_broken_field_gives_one_issue(
    operation: Operation, body: dict[str, Json], path: tuple[str | int, ...], code: str, text: str
) -> None:
    [issue] = check_body(operation, body)

    assert (issue.path, issue.code) == (path, code)
    assert text in issue.message


URIS: list[tuple[str, str]] = [
    ("http://example.org/a.png", "Only HTTPS URLs are allowed."),
    ("https://127.0.0.1/a.png", "URLs must be hosted on a domain."),
    ("https://[::1]/a.png", "URLs must be hosted on a domain."),
    ("https:///a/long/path", "Invalid URL"),
    ("https://[broken/a.png", "Invalid URL"),
    ("ftp://example.org/a.png", "Invalid URL"),
    ("just words, no scheme", "Invalid URL"),
    ("https://e.org/" + "a" * 2048, "Too big: expected string to have <=2048 characters"),
    ("runway://" + "a" * 5000, "Too big: expected string to have <=5000 characters"),
    ("runway://a", "Too small: expected string to have >=13 characters"),
    ("data:image/png;base64,", "Invalid data URI."),
    ("data:image/png,AAAAAAAA", "Invalid data URI."),
    ("data:;base64,AAAAAAAAAA", "Unsupported asset type."),
    ("data:image/gif;base64,AAAA", "Unsupported asset type."),
    ("data:video/mp4;base64,AAAA", "Unsupported asset type."),
    ("data:image/png;base64," + "A" * DATA_URI_LIMIT, "Too big: expected string to have <=5242880 characters"),
]


@pytest.mark.parametrize(("uri", "text"), URIS, ids=range(len(URIS)))
def test_an_asset_uri_out_of_form_is_refused(uri: str, text: str) -> None:
    [issue] = check_body(IMAGE, GEN45 | {"promptImage": uri})

    assert issue.path == ("promptImage",)
    assert text in issue.message


@pytest.mark.parametrize(
    "uri", ["runway://abcd", "data:image/jpg;base64,A", "https://a.b/c", "DATA:image/PNG;BASE64,A"]
)
def test_an_asset_uri_in_form_is_taken(uri: str) -> None:
    assert check_body(IMAGE, GEN45 | {"promptImage": uri}) == []


def test_no_model_and_an_unknown_one_give_the_records_of_the_api() -> None:
    union: Json = {
        "code": "invalid_union", "errors": [], "note": "No matching discriminator", "discriminator": "model",
        "path": ["model"], "message": "Invalid input",
    }  # fmt: skip
    absent: Json = {
        "expected": "string", "code": "invalid_type", "path": ["model"],
        "message": "Invalid input: expected string, received undefined",
    }  # fmt: skip

    assert [issue.record() for issue in check_body(IMAGE, {})] == [absent, union]
    [listed] = [issue.record() for issue in check_body(VIDEO, {"model": "gen3"})]
    assert (listed["code"], listed["path"], listed["values"]) == ("invalid_value", ["model"], [*model_names(VIDEO)])
    assert str(listed["message"]).startswith('Invalid option: expected one of "aleph2"|')


def test_without_strictness_only_models_with_a_closed_schema_refuse_unknown_fields() -> None:
    lax = GEN45 | {"watermark": 1}
    closed: dict[str, Json] = {"model": "veo3.1", "promptImage": PICTURE, "ratio": "1280:720", "watermark": 1}

    assert check_body(IMAGE, lax, strict=False) == []
    assert [issue.code for issue in check_body(IMAGE, closed, strict=False)] == ["unrecognized_keys"]


PRICES: list[tuple[Operation, dict[str, Json], int | None]] = [
    (IMAGE, {"model": "gen4.5", "duration": 5}, 60_000),
    (IMAGE, {"model": "gen4.5", "duration": 5, "outputFormat": "prores"}, 85_000),
    (IMAGE, {"model": "gen4.5", "duration": 5, "outputFormat": "hdr10"}, 160_000),
    (IMAGE, {"model": "gen4_turbo"}, 50_000),
    (IMAGE, {"model": "veo3.1", "duration": 8}, 320_000),
    (IMAGE, {"model": "veo3.1", "duration": 8, "audio": False}, 160_000),
    (TEXT, {"model": "veo3.1_fast", "duration": 4, "audio": True}, 60_000),
    (VIDEO, {"model": "aleph2"}, 840_000),
    (TEXT, {"model": "seedance2", "duration": 4, "ratio": "1280:720"}, 144_000),
    (TEXT, {"model": "seedance2", "duration": 4, "ratio": "1920:1080"}, 160_000),
    (TEXT, {"model": "seedance2", "duration": 4, "ratio": "3840:1646"}, 600_000),
    (TEXT, {"model": "seedance2", "duration": 4}, 600_000),
    (TEXT, {"model": "seedance2", "duration": "auto", "ratio": "640:640"}, 540_000),
    (TEXT, {"model": "seedance2_mini", "duration": 4}, 64_000),
    (IMAGE, {"model": "seedance2_5"}, 150_000),
    (TEXT, {"model": "seedance2_5", "duration": 4, "ratio": "640:640"}, 80_000),
    (VIDEO, {"model": "seedance2_5", "duration": 10, "ratio": "1280:720", "promptVideo": "x"}, 750_000),
    (TEXT, {"model": "hailuo3", "duration": 5, "resolution": "768P", "references": [LOOSE, LOOSE]}, 54_000),
    (TEXT, {"model": "wan3_prime", "duration": 2, "ratio": "auto_480p"}, 13_600),
    (VIDEO, {"model": "gemini_omni_flash", "references": [LOOSE]}, 111_000),
    (VIDEO, {"model": "aleph2", "outputFormat": "sdr_rec709_10bit"}, 2_040_000),
    (TEXT, {"model": "seedance2_5"}, 150_000),
    (TEXT, {"model": "seedance2_5", "draftTaskId": "x"}, 2_040_000),
    (VIDEO, {"model": "seedance2_5", "promptVideo": "x", "mode": "edit", "duration": "auto"}, 3_060_000),
    (TEXT, {"model": "hailuo3", "duration": 5, "resolution": "768p", "referenceVideos": [LOOSE]}, 200_000),
    (VIDEO, {"model": "hailuo3", "duration": 5, "resolution": "768p", "promptVideo": "x"}, 200_000),
    (TEXT, {"model": "grok_imagine_1_5", "duration": 5, "resolution": "720p", "references": [LOOSE],
            "referenceAudio": [LOOSE] * 3}, 84_000),
    (IMAGE, {"model": "grok_imagine_1_5_lite", "duration": 5, "ratio": "auto_480p", "promptImage": "x"}, 11_000),
    (IMAGE, {"model": "kling2.5_turbo_pro"}, 75_000),
    (TEXT, {"model": "kling2.5_turbo_pro", "duration": 10, "ratio": "720:720"}, 120_000),
    (TEXT, {"model": "kling3.0_standard"}, 195_000),
    (TEXT, {"model": "kling3.0_pro", "duration": 5}, None),
    (VIDEO, {"model": "gemini_omni_flash_1.1"}, None),
    (TEXT, {"model": "kling_4", "duration": 5}, None),
    (TEXT, {"model": "grok_imagine_1_5_lite", "duration": 5}, 70_000),
    (TEXT, {"model": "unheard-of", "duration": 5}, None),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "body", "price"), PRICES)
def test_the_price_bound_is_the_most_that_may_be_charged(
    operation: Operation, body: dict[str, Json], price: int | None
) -> None:
    assert price_bound(operation, body) == price


def test_sizes_lengths_and_aspects_come_from_the_table() -> None:
    assert output_size(IMAGE, GEN45) == (1280, 720)
    assert output_size(IMAGE, {"model": "hailuo3", "ratio": "16:9"}) is None
    assert output_size(TEXT, {"model": "wan3", "ratio": "auto_720p"}) is None
    assert duration_bounds(IMAGE, "veo3.1") == (4, 8)
    assert duration_bounds(IMAGE, "kling_4") == (3, 30)
    assert duration_bounds(VIDEO, "aleph2") == (2, 30)
    assert default_duration(IMAGE, "seedance2_5") == 5
    assert default_duration(IMAGE, "gen4_turbo") is None
    assert aspect_limits("gen4_turbo", IMAGE) == (0.5, 2.358)
    assert aspect_limits("gen4.5", IMAGE) == (0.5, 2.0)
    assert aspect_limits("hailuo3", TEXT) == (0.2, 4.0)
    assert aspect_limits("gen4.5", TEXT) is None


FIRST_FRAME, LAST_FRAME, REFERENCE = Role.FIRST_FRAME, Role.LAST_FRAME, Role.REFERENCE
SOURCE, KEYFRAME = Role.SOURCE_VIDEO, Role.KEYFRAME

ACCEPTED: list[GenerationSpec] = [
    spec("gen4.5", FIRST_FRAME, prompt_text="x", ratio="1280:720", duration_seconds=5, seed=1),
    spec("gen4.5", prompt_text="x", ratio="1280:720", duration_seconds=5, options={"outputFormat": "prores"}),
    spec("gen4_turbo", FIRST_FRAME, ratio="960:960"),
    spec("veo3.1", LAST_FRAME, FIRST_FRAME, ratio="1280:720", duration_seconds=8, options={"audio": False}),
    spec("seedance2", REFERENCE, REFERENCE, Role.REFERENCE_AUDIO, options={"duration": "auto"}),
    spec("seedance2", REFERENCE, Role.REFERENCE_VIDEO, prompt_text="x"),
    spec("seedance2", SOURCE, REFERENCE),
    spec("aleph2", SOURCE, KEYFRAME, prompt_text="x", options={"targetAspectRatio": "16:9"}),
    spec("hailuo3", FIRST_FRAME, prompt_text="x", resolution="768P", ratio="16:9", duration_seconds=5),
    spec("happyhorse_1_0", FIRST_FRAME, prompt_text="xy", resolution="720P"),
    spec("klingO3_pro", FIRST_FRAME, REFERENCE, options={
        "providerSettings": {"multiPrompt": [{"prompt": "xyz", "duration": 5.0}]}}),
]  # fmt: skip


@pytest.mark.parametrize("accepted", ACCEPTED)
def test_a_request_that_the_model_takes_has_no_faults(accepted: GenerationSpec) -> None:
    assert RunwayModels().field_errors(accepted) == []


FAULTY: list[tuple[GenerationSpec, dict[str, str]]] = [
    (
        spec("gen4.5", FIRST_FRAME, LAST_FRAME, ratio="16:9", duration_seconds=55, seed=-1, resolution="720p",
             options={"audio": True, "promptText": "x", "imageUri": "y", "note": "see https://x.org",
                      "outputFormat": "png_sequence"}),
        {"prompt_text": "1 to 1000", "media[1].role": "FIRST_FRAME", "ratio": "1280:720", "seed": "0 to 4294967295",
         "duration_seconds": "2 to 10", "resolution": "ratio", "options.audio": "contentModeration",
         "options.promptText": "prompt_text", "options.imageUri": "media", "options.note": "URI",
         "options.outputFormat": "mp4, prores"},
    ),
    (spec("nonsense", FIRST_FRAME, seed=-1, options={"promptImage": "x"}),
     {"model": "gen4.5", "seed": "from 0 to 4294967295, not -1", "options.promptImage": "media"}),
    (spec("gen4_turbo", prompt_text="x" * 1001, ratio="1:1"),
     {"media": "image_to_video from FIRST_FRAME", "prompt_text": "1 to 1000 UTF-16 code", "ratio": "1280:720"}),
    (spec("aleph2", FIRST_FRAME), {"media": "video_to_video from SOURCE_VIDEO, KEYFRAME"}),
    (spec("veo3.1", LAST_FRAME, ratio="1280:720", duration_seconds=5),
     {"media[0].role": "position `first`", "duration_seconds": "one of 4, 6, 8, not 5"}),
    (spec("seedance2", FIRST_FRAME, REFERENCE), {"media": "mixed"}),
    (spec("seedance2", FIRST_FRAME, FIRST_FRAME), {"media[1].role": "once"}),
    (spec("seedance2", FIRST_FRAME, duration_seconds=5, options={"duration": "auto"}),
     {"options.duration": "not both"}),
    (spec("seedance2", FIRST_FRAME, options={"duration": 5}), {"options.duration": "duration_seconds"}),
    (spec("aleph2", SOURCE, SOURCE, ratio="16:9", duration_seconds=4),
     {"media[1].role": "Only one", "ratio": "targetAspectRatio", "duration_seconds": "takes no"}),
    (spec("hailuo3", FIRST_FRAME, prompt_text="x", ratio="1280:720", resolution="4k"),
     {"ratio": "16:9, 4:3", "resolution": "768P, 2K"}),
    (spec("happyhorse_1_0", FIRST_FRAME, ratio="1280:720"), {"ratio": "Use resolution, one of: 720P"}),
    (spec("gen4.5", Role.REFERENCE_AUDIO, prompt_text="x", ratio="1280:720", duration_seconds=5),
     {"media[0].role": "no media"}),
    (spec("seedance2", *[REFERENCE] * 10, Role.REFERENCE_VIDEO, prompt_text="x"), {"media": "at most 9 of them"}),
    (spec("kling3.0_pro", FIRST_FRAME, options={"providerSettings": {"shotType": "odd"}, "cfgScale": "x"}),
     {"options.providerSettings.shotType": "intelligence", "options.cfgScale": "0 to 1"}),
    (spec("seedance2_5", prompt_text="x", options={"draftTaskId": "x"}), {"options.draftTaskId": "draft"}),
    (spec("kling_4", prompt_text="x", duration_seconds=0), {"duration_seconds": "from 3 to 30, not 0"}),
    (spec("kling_4", prompt_text="x", duration_seconds=1_000_000_000), {"duration_seconds": "not 1000000000"}),
    (spec("grok_imagine_1_5_lite", prompt_text="x", duration_seconds=-1), {"duration_seconds": "from 1 to 15"}),
]  # fmt: skip


@pytest.mark.parametrize(("faulty", "expected"), FAULTY)
def test_every_fault_is_named_at_once_with_what_is_allowed(faulty: GenerationSpec, expected: dict[str, str]) -> None:
    field_errors = RunwayModels().field_errors(faulty)

    assert fields_of(field_errors) == set(expected)
    for field, text in expected.items():
        assert text in " ".join(error.description for error in field_errors if error.field == field)


def test_a_keyframe_needs_its_time_and_nothing_else_has_one() -> None:
    keyless = GenerationSpec(
        model="aleph2",
        media=(Media(role=SOURCE, uri="x", at_seconds=1.0), Media(role=KEYFRAME, uri="x")),
    )

    assert fields_of(RunwayModels().field_errors(keyless)) == {"media[0].at_seconds", "media[1].at_seconds"}


@pytest.mark.parametrize("value", ["data:image/png;base64,AAAA", ["x", {"y": "s3://b/k"}], {"https://x.org": 1}])
def test_no_option_carries_a_uri(value: Json) -> None:
    found = RunwayModels().field_errors(
        spec("veo3.1", FIRST_FRAME, ratio="1280:720", options={"negativePrompt": value})
    )

    assert "Options hold no URIs; give media instead." in {error.description for error in found}


def test_a_quote_is_the_price_of_the_composed_request() -> None:
    models = RunwayModels()

    assert models.quote(ACCEPTED[0]) == 60_000
    assert models.quote(spec("veo3.1", FIRST_FRAME, duration_seconds=8, options={"audio": False})) == 160_000
    assert models.quote(spec("hailuo3", REFERENCE, REFERENCE, prompt_text="x", duration_seconds=5)) == 79_000
    assert models.quote(spec("kling_4", FIRST_FRAME, duration_seconds=5)) is None
    assert models.quote(spec("nonsense")) is None


def test_a_picture_rule_is_that_of_model_operation_and_role() -> None:
    models = RunwayModels()

    assert models.picture_rule(ACCEPTED[0], FIRST_FRAME) == PictureRule(min_aspect=0.5, max_aspect=2.0)
    assert models.picture_rule(spec("h3_max", FIRST_FRAME), FIRST_FRAME) == PictureRule(min_side=256)
    assert models.picture_rule(spec("happyhorse_1_0", FIRST_FRAME), FIRST_FRAME) == PictureRule(
        min_aspect=0.55, max_aspect=1.8, min_side=300
    )
    assert models.picture_rule(ACCEPTED[7], KEYFRAME) == PictureRule()


def test_the_list_tells_what_the_table_holds() -> None:
    listed = {info.model: info for info in RunwayModels().models()}

    assert {model for model, info in listed.items() if CLIPS.intersection(info.operations)} == set(model_names())
    veo = listed["veo3.1"]
    assert veo.operations == ("image_to_video", "text_to_video")
    assert veo.roles == (FIRST_FRAME, LAST_FRAME)
    assert veo.ratios == ("1280:720", "720:1280", "1920:1080", "1080:1920")
    assert veo.durations_seconds == (4, 6, 8)
    assert (veo.prompt_max_utf16, veo.prompt_required) == (1000, False)
    assert veo.options == ("negativePrompt", "audio")
    assert veo.prices == (second("with audio", 40_000), second("without audio", 20_000))
    assert listed["hailuo3"].resolutions == ("768P", "2K", "768p", "2k")
    assert listed["kling_4"].prices == ()
    assert listed["kling_4"].prompt_max_utf16 is None
    assert listed["gen4.5"].prompt_required


def test_the_list_tells_of_each_operation_by_itself() -> None:
    """What is true of one operation alone must not be read as true of the other."""
    listed = {info.model: {rules.operation: rules for rules in info.rules} for info in RunwayModels().models()}

    gen45, lite, omni = listed["gen4.5"], listed["grok_imagine_1_5_lite"], listed["gemini_omni_flash"]
    assert len(gen45["image_to_video"].ratios) == 6
    assert gen45["text_to_video"].ratios == ("1280:720", "720:1280")
    assert lite["image_to_video"].ratios == ("auto_480p", "auto_720p", "auto_1080p")
    assert "auto_480p" not in lite["text_to_video"].ratios
    assert lite["text_to_video"].durations_seconds == tuple(range(1, 16))
    for model in ("veo3.1", "seedance2", "grok_imagine_1_5", "kling_4"):
        assert (listed[model]["image_to_video"].prompt_required, listed[model]["text_to_video"].prompt_required) == (
            False,
            True,
        )
    assert omni["video_to_video"].prices == (second("", 11_000),)
    assert omni["text_to_video"].prices == (second("", 10_000),)
    assert omni["video_to_video"].durations_seconds == ()
    assert listed["aleph2"]["video_to_video"].roles == (Role.SOURCE_VIDEO, Role.KEYFRAME)


@pytest.mark.parametrize(
    ("operation", "model"), [(row, model) for row in (IMAGE, TEXT, VIDEO) for model in model_names(row)]
)
def test_whatever_the_list_tells_of_an_operation_is_taken_by_it(operation: Operation, model: str) -> None:
    [rules] = [one for info in RunwayModels().models() if info.model == model for one in info.rules
               if one.operation == operation]  # fmt: skip
    roles = {Operation.IMAGE_TO_VIDEO: FIRST_FRAME, Operation.VIDEO_TO_VIDEO: Role.SOURCE_VIDEO}
    plain = spec(model, *([roles[operation]] if operation in roles else []), prompt_text="a wish")
    fields = fields_of(RunwayModels().field_errors(plain))

    # Auto ratios alone go with frames, and an adaptive one with references.
    for ratio in rules.ratios:
        if ratio != "adaptive" and not (model.startswith("wan3") and operation is Operation.IMAGE_TO_VIDEO):
            assert "ratio" not in fields_of(RunwayModels().field_errors(replace(plain, ratio=ratio)))
    for resolution in rules.resolutions:
        assert "resolution" not in fields_of(RunwayModels().field_errors(replace(plain, resolution=resolution)))
    for seconds in rules.durations_seconds:
        assert "duration_seconds" not in fields_of(
            RunwayModels().field_errors(replace(plain, duration_seconds=seconds))
        )
    assert (
        "prompt_text" in fields_of(RunwayModels().field_errors(replace(plain, prompt_text="")))
    ) is rules.prompt_required
    assert "prompt_text" not in fields
