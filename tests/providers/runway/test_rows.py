"""The rows of everything that is no clip: what each takes on the wire, and what it refuses there."""

import pytest

from evergreen_server.ports.specs import Json
from evergreen_server.providers.runway.catalog.models import (
    CLIPS,
    PRESET_VOICES,
    RECIPES,
    Operation,
    check_body,
    model_names,
    path_of,
)

PICTURES, UPSCALE, SPEECH = Operation.TEXT_TO_IMAGE, Operation.IMAGE_UPSCALE, Operation.TEXT_TO_SPEECH
SOUND, FILM_SOUND, CHANGE = Operation.SOUND_EFFECT, Operation.VIDEO_TO_AUDIO, Operation.SPEECH_TO_SPEECH
DUBBING, ISOLATION, ACTING = Operation.VOICE_DUBBING, Operation.VOICE_ISOLATION, Operation.CHARACTER_PERFORMANCE
ENLARGE, HDR, AVATAR = Operation.VIDEO_UPSCALE, Operation.VIDEO_TO_HDR, Operation.AVATAR_VIDEOS
SHOTS, AD, SWAP, UGC = (
    Operation.MULTI_SHOT_VIDEO, Operation.PRODUCT_AD, Operation.PRODUCT_SWAP, Operation.PRODUCT_UGC
)  # fmt: skip
ABROAD, STOCK, CAMPAIGN = (
    Operation.AD_LOCALIZATION, Operation.MARKETING_STOCK_IMAGE, Operation.PRODUCT_CAMPAIGN_IMAGE
)  # fmt: skip

PICTURE: Json = {"uri": "https://example.org/a.png"}
CLIP, TRACK = "runway://a-video", "runway://a-sound"
MAYA: Json = {"type": "runway-preset", "presetId": "Maya"}
CAT: Json = {"type": "runway-preset", "presetId": "cat-character"}
THREE: list[Json] = [{"prompt": "a door", "duration": 3}] * 2 + [{"prompt": "a street", "duration": 4}]


def picture(model: str, ratio: str | None = None, **more: Json) -> tuple[Operation, dict[str, Json]]:
    sized: dict[str, Json] = {} if ratio is None else {"ratio": ratio}
    return PICTURES, {"model": model, "promptText": "a lamp", **sized, **more}


def recipe(operation: Operation, **fields: Json) -> tuple[Operation, dict[str, Json]]:
    return operation, {"version": "2026-06", **fields}


MINIMAL: list[tuple[Operation, dict[str, Json]]] = [
    picture("gen4_image", "1920:1080"),
    picture("gen4_image_turbo", "720:720", referenceImages=[PICTURE]),
    picture("gpt_image_2", "auto"),
    picture("gpt_image_2_5_flare", "3840:2160"),
    picture("gpt_image_2_5_sunburst", "auto", background="transparent", quality="max"),
    picture("gemini_2.5_flash", "1344:768"),
    (PICTURES, {"model": "gemini_image3_pro", "promptText": "owl", "ratio": "6336:2688", "outputCount": 4}),
    picture("gemini_image3.1_flash", "1408:11264"),
    picture("gemini_image3.1_flash_lite", "1584:672"),
    picture("nano_banana_2.1", "11712:1408", thinkingLevel="minimal"),
    picture("seedream5_pro", "auto_2k"),
    picture("seedream5_lite", "1920:1920", outputCount=4),
    picture("seedream5_flash", "auto_1k"),
    picture("muse_image", "auto", outputCount=10),
    picture("grok_imagine_image_2", "auto_1k", edit=True, referenceImages=[PICTURE]),
    picture("bria_fibo_1_5", "2048:2048", referenceImages=[PICTURE]),
    picture("bria_fibo_edit_1_5", referenceImages=[PICTURE]),
    picture("ideogram_4_0"),
    picture("ideogram_4_5", quality="very_low", ratio="1024:576", referenceImages=[PICTURE]),
    picture("ideogram_4_5", ratio="1280:720"),
    picture("recraft_v4_1_flash", "1024:1024", colors=["#FF8800"]),
    picture("recraft_v4_1_vector", backgroundColor="#00ffAA"),
    (UPSCALE, {"model": "magnific_precision_upscaler_v2", "imageUri": "runway://a-picture"}),
    (SPEECH, {"model": "eleven_multilingual_v2", "promptText": "Hello", "voice": MAYA}),
    (SPEECH, {"model": "eleven_v3", "promptText": "Hello", "voice": MAYA, "speed": 0.7, "languageCode": "en"}),
    (SPEECH, {"model": "eleven_v4", "promptText": "Hello", "voice": MAYA, "previousText": ""}),
    (SPEECH, {"model": "seed_audio", "promptText": "Hello"}),
    (SPEECH, {"model": "seed_audio", "promptText": "x", "voice": {"type": "reference-audio", "audioUri": TRACK}}),
    (SOUND, {"model": "eleven_text_to_sound_v2", "promptText": "rain", "duration": 0.5, "loop": True}),
    (SOUND, {"model": "seed_audio", "promptText": "rain", "referenceAudios": [TRACK], "sampleRate": 8000}),
    (SOUND, {"model": "mirelo_sfx_2_0", "promptText": "rain", "duration": 0.1}),
    (FILM_SOUND, {"model": "mirelo_sfx_2_0", "videoUri": CLIP, "duration": 1}),
    (CHANGE, {"model": "eleven_multilingual_sts_v2", "media": {"type": "video", "uri": CLIP}, "voice": MAYA}),
    (DUBBING, {"model": "eleven_voice_dubbing", "audioUri": TRACK, "targetLang": "fil"}),
    (ISOLATION, {"model": "eleven_voice_isolation", "audioUri": TRACK}),
    (ACTING, {"model": "act_two", "character": {"type": "image", "uri": "runway://a-face"},
              "reference": {"type": "video", "uri": CLIP}}),
    (ENLARGE, {"model": "magnific_video_upscaler_creative", "videoUri": CLIP}),
    (ENLARGE, {"model": "enhance_frame_rate", "videoUri": CLIP, "targetFramerate": "29_97"}),
    (HDR, {"model": "ruby", "videoUri": CLIP, "outputFormat": "hdr_prores", "proresProfile": "422 HQ"}),
    (AVATAR, {"model": "gwm1_avatars", "avatar": CAT, "speech": {"type": "audio", "audio": TRACK}}),
    (AVATAR, {"model": "gwm1_avatars", "avatar": {"type": "custom", "avatarId": "mine"},
              "speech": {"type": "text", "text": "Hi", "voice": {"type": "preset", "presetId": "luna"}}}),
    recipe(SHOTS, mode="auto", prompt="a chase", ratio="1440:1440"),
    recipe(SHOTS, mode="custom", shots=THREE),
    recipe(SHOTS, mode="custom", shots=[{"prompt": "a door", "duration": 5}] * 3, duration=15),
    (AD, {"version": "2026-07", "productImages": [PICTURE]}),
    recipe(SWAP, referenceVideo={"uri": CLIP}, originalProductImage=PICTURE, newProductImages=[PICTURE]),
    recipe(UGC, characterImage=PICTURE, productImage=PICTURE, ratio="720:1280"),
    recipe(ABROAD, referenceImage=PICTURE, targetLanguage="zh-Hant"),
    recipe(STOCK, prompt="people at work"),
    recipe(CAMPAIGN, image=PICTURE, prompt="x"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "body"), MINIMAL)
def test_a_body_that_the_api_takes_has_no_issues(operation: Operation, body: dict[str, Json]) -> None:
    assert check_body(operation, body) == []


def test_every_row_has_a_body_that_it_takes() -> None:
    taken = {(operation, body.get("model", str(operation))) for operation, body in MINIMAL}

    assert taken == {(one, model) for one in Operation if one not in CLIPS for model in model_names(one)}
    assert len(model_names(PICTURES)) == 21
    assert len(PRESET_VOICES) == 49


@pytest.mark.parametrize("operation", [one for one in Operation if one not in CLIPS])
def test_every_row_names_all_its_required_fields_at_once(operation: Operation) -> None:
    for model in model_names(operation):
        missing = check_body(operation, {} if operation in RECIPES else {"model": model})

        assert missing
        assert all(issue.code in ("invalid_type", "invalid_value") for issue in missing)


def test_recipes_are_posted_below_their_folder_and_all_else_by_its_word() -> None:
    assert path_of(SHOTS) == "recipes/multi_shot_video"
    assert path_of(CAMPAIGN) == "recipes/product_campaign_image"
    assert path_of(AVATAR) == "avatar_videos"
    assert path_of(Operation.TEXT_TO_VIDEO) == "text_to_video"


GPT = picture("gpt_image_2", "auto")[1]
LINE: dict[str, Json] = {"model": "eleven_v3", "promptText": "Hello", "voice": MAYA}
RAIN: dict[str, Json] = {"model": "eleven_text_to_sound_v2", "promptText": "rain"}
TALK: dict[str, Json] = {"model": "gwm1_avatars", "avatar": CAT, "speech": {"type": "text", "text": "Hi"}}
TAGGED: Json = {"uri": "https://example.org/a.png", "tag": "hero"}
PERSON: Json = {"uri": "https://example.org/a.png", "subject": "human"}

BROKEN: list[tuple[Operation, dict[str, Json], tuple[str | int, ...], str, str]] = [
    (PICTURES, GPT | {"promptText": ""}, ("promptText",), "too_small", ">=1"),
    (PICTURES, GPT | {"promptText": "x" * 32_001}, ("promptText",), "too_big", "<=32000"),
    (PICTURES, GPT | {"ratio": "1:1"}, ("ratio",), "invalid_value", '"auto"'),
    (PICTURES, GPT | {"referenceImages": [PICTURE] * 17}, ("referenceImages",), "too_big", "<=16 items"),
    (PICTURES, GPT | {"referenceImages": [TAGGED, TAGGED]}, ("referenceImages", 1, "tag"), "custom", "same tag"),
    (PICTURES, GPT | {"referenceImages": [{**TAGGED, "tag": "1st"}]}, ("referenceImages", 0, "tag"),
     "invalid_format", "must match pattern"),
    (PICTURES, GPT | {"referenceImages": [{**TAGGED, "tag": "hero\n"}]}, ("referenceImages", 0, "tag"),
     "invalid_format", "must match pattern"),
    (PICTURES, GPT | {"referenceImages": ["https://example.org/a.png"]}, ("referenceImages", 0), "invalid_type",
     "expected object"),
    (PICTURES, GPT | {"outputCount": 11}, ("outputCount",), "too_big", "<=10"),
    (PICTURES, GPT | {"outputCount": 1.5}, ("outputCount",), "invalid_type", "expected int"),
    (PICTURES, GPT | {"background": "clear"}, ("background",), "invalid_value", '"transparent"'),
    (PICTURES, GPT | {"seed": 1}, (), "unrecognized_keys", '"seed"'),
    (*picture("gpt_image_2_5_flare", "auto", background="transparent"), ("background",), "invalid_value",
     '"opaque"|"auto"'),
    (*picture("gen4_image_turbo", "720:720", referenceImages=[]), ("referenceImages",), "too_small", ">=1 items"),
    (*picture("gemini_image3_pro", "1024:1024", outputCount=2), ("outputCount",), "invalid_value", "1|4"),
    (*picture("gemini_image3_pro", "1024:1024", referenceImages=[PERSON] * 6), ("referenceImages",), "custom",
     "At most 5"),
    (*picture("gemini_image3.1_flash", "1024:1024", referenceImages=[PICTURE] * 10), ("referenceImages",), "custom",
     "At most 9"),
    (*picture("seedream5_lite", "1919:1920"), ("ratio",), "custom", "3686400 to 16777216 pixels"),
    (*picture("seedream5_lite", "9" * 400 + ":1"), ("ratio",), "custom", "3686400"),
    (*picture("nano_banana_2.1", "1024:1024", outputCount=1_000_000_000), ("outputCount",), "too_big", "<=10"),
    (*picture("grok_imagine_image_2", "auto_1k", edit=True), ("edit",), "custom", "at least one"),
    (*picture("bria_fibo_edit_1_5", "1024:1024", referenceImages=[PICTURE]), ("ratio",), "custom", "at least 2"),
    (*picture("ideogram_4_5", "1024:1024", preciseEdit=True, referenceImages=[PICTURE]), ("ratio",), "custom",
     "not available"),
    (*picture("ideogram_4_5", preciseEdit=True), ("preciseEdit",), "custom", "at least one"),
    (*picture("ideogram_4_5", maskUri="runway://a-mask"), ("maskUri",), "custom", "at least one"),
    (*picture("ideogram_4_5", quality="very_low"), ("quality",), "custom", "very_low"),
    (*picture("ideogram_4_5", "1280:720", referenceImages=[PICTURE]), ("ratio",), "custom", "use 1024:576"),
    (*picture("ideogram_4_5", "704:1408"), ("ratio",), "custom", "use 720:1440"),
    (*picture("recraft_v4_1_flash", "1024:1024", colors=["#FF88001"]), ("colors", 0), "invalid_format", "pattern"),
    (*picture("recraft_v4_1_flash", "1024:1024", colors=["orange!"]), ("colors", 0), "invalid_format", "pattern"),
    (UPSCALE, {"model": "magnific_precision_upscaler_v2", "imageUri": "runway://a-picture", "scaleFactor": 3},
     ("scaleFactor",), "invalid_value", "2|4|8|16"),
    (SPEECH, LINE | {"promptText": "x" * 5001}, ("promptText",), "too_big", "<=5000"),
    (SPEECH, LINE | {"promptText": "🎬" * 2501}, ("promptText",), "too_big", "<=5000"),
    (SPEECH, LINE | {"voice": {"type": "runway-preset", "presetId": "Nobody"}}, ("voice", "presetId"),
     "invalid_value", '"Maya"|"Arjun"'),
    (SPEECH, LINE | {"voice": {"type": "custom", "id": "x"}}, ("voice", "type"), "invalid_union", "Invalid input"),
    (SPEECH, LINE | {"voice": "Maya"}, ("voice",), "invalid_type", "expected object, received string"),
    (SPEECH, LINE | {"voice": {"type": []}}, ("voice", "type"), "invalid_union", "Invalid input"),
    (SPEECH, LINE | {"speed": 1.3}, ("speed",), "too_big", "<=1.2"),
    (SPEECH, LINE | {"languageCode": "e"}, ("languageCode",), "too_small", ">=2"),
    (SPEECH, LINE | {"seed": 2**32}, ("seed",), "too_big", "4294967295"),
    (SPEECH, {"model": "seed_audio", "promptText": "x", "pitchRate": 13}, ("pitchRate",), "too_big", "<=12"),
    (SOUND, RAIN | {"duration": 0.4}, ("duration",), "too_small", ">=0.5"),
    (SOUND, RAIN | {"duration": 30.5}, ("duration",), "too_big", "<=30"),
    (SOUND, RAIN | {"duration": float("nan")}, ("duration",), "invalid_type", "NaN"),
    (SOUND, RAIN | {"loop": "yes"}, ("loop",), "invalid_type", "expected boolean"),
    (SOUND, {"model": "seed_audio", "promptText": "x", "referenceAudios": [TRACK] * 4}, ("referenceAudios",),
     "too_big", "<=3"),
    (SOUND, {"model": "mirelo_sfx_2_0", "promptText": "x"}, ("duration",), "invalid_type", "received undefined"),
    (FILM_SOUND, {"model": "mirelo_sfx_2_0", "videoUri": CLIP, "duration": 1e9}, ("duration",), "too_big", "<=300"),
    (CHANGE, {"model": "eleven_multilingual_sts_v2", "media": {"type": "image", "uri": CLIP}, "voice": MAYA},
     ("media", "type"), "invalid_union", "Invalid input"),
    (DUBBING, {"model": "eleven_voice_dubbing", "audioUri": TRACK, "targetLang": "tlh"}, ("targetLang",),
     "invalid_value", '"en"|"hi"'),
    (DUBBING, {"model": "eleven_voice_dubbing", "audioUri": TRACK, "targetLang": "en", "numSpeakers": 0},
     ("numSpeakers",), "too_small", ">=1"),
    (ACTING, {"model": "act_two", "character": {"type": "image"}, "reference": {"type": "video", "uri": CLIP}},
     ("character", "uri"), "invalid_type", "received undefined"),
    (ENLARGE, {"model": "enhance_frame_rate", "videoUri": CLIP, "targetFramerate": 60}, ("targetFramerate",),
     "invalid_value", '"60"'),
    (ENLARGE, {"model": "magnific_video_upscaler_creative", "videoUri": CLIP, "creativity": 101}, ("creativity",),
     "too_big", "<=100"),
    (HDR, {"model": "ruby", "videoUri": CLIP, "proresProfile": "422"}, ("proresProfile",), "custom", "hdr_prores"),
    (AVATAR, TALK | {"avatar": {"type": "runway-preset", "presetId": "dog"}}, ("avatar", "presetId"),
     "invalid_value", '"cat-character"'),
    (AVATAR, TALK | {"speech": {"type": "text", "text": "x" * 5001}}, ("speech", "text"), "too_big", "<=5000"),
    (*recipe(SHOTS, mode="auto"), ("prompt",), "invalid_type", "expected string"),
    (*recipe(SHOTS, mode="custom"), ("shots",), "invalid_type", "expected array"),
    (*recipe(SHOTS, mode="custom", shots=THREE, prompt="x"), (), "unrecognized_keys", '"prompt"'),
    (*recipe(SHOTS, mode="custom", shots=THREE, duration=15), ("shots",), "custom", "15 seconds, not 10"),
    (*recipe(SHOTS, mode="auto", prompt="x", duration=7), ("duration",), "invalid_value", "5|10|15"),
    (*recipe(SHOTS, mode="auto", prompt="x", model="gen4.5"), (), "unrecognized_keys", '"model"'),
    (SHOTS, {"mode": "auto", "prompt": "x"}, ("version",), "invalid_value", '"2026-06"'),
    (*recipe(AD, productImages=[]), ("productImages",), "too_small", ">=1"),
    (*recipe(SWAP, referenceVideo=CLIP, originalProductImage=PICTURE, newProductImages=[PICTURE]),
     ("referenceVideo",), "invalid_type", "expected object"),
    (*recipe(STOCK, prompt="x", outputCount=5), ("outputCount",), "too_big", "<=4"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "body", "path", "code", "text"), BROKEN)
def test_one_broken_field_gives_one_issue(
    operation: Operation, body: dict[str, Json], path: tuple[str | int, ...], code: str, text: str
) -> None:
    [issue] = check_body(operation, body)

    assert (issue.path, issue.code) == (path, code)
    assert text in issue.message


def test_an_unknown_model_is_answered_with_those_of_the_operation() -> None:
    [issue] = check_body(SPEECH, {"model": "gen4_image", "promptText": "x"})

    assert issue.path == ("model",)
    assert issue.details["values"] == [*model_names(SPEECH)]


def test_a_schema_that_is_not_declared_closed_takes_unknown_fields_without_strictness() -> None:
    assert check_body(SPEECH, LINE | {"mood": "calm"}, strict=False) == []
    assert [issue.code for issue in check_body(PICTURES, GPT | {"mood": "calm"}, strict=False)] == ["unrecognized_keys"]


@pytest.mark.parametrize("value", [None, True, 0, -1, 1e308, "\ud800", [], [[]], {}, {"uri": None}, [{"uri": []}]])
def test_no_value_of_any_field_breaks_the_check(value: Json) -> None:
    for operation, body in MINIMAL:
        for name in (*body, "mode", "shots", "outputFormat", "quality", "referenceImages", "ratio", "duration"):
            for issue in check_body(operation, body | {name: value}):
                assert issue.record()["message"]
