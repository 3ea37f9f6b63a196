"""Requests for everything that is no clip: the bodies they become, what is refused and where, quotes and lists."""

from dataclasses import replace

import pytest

from evergreen_server.ports.catalog import MediaRule, PictureRule, PriceInfo, PriceUnit
from evergreen_server.ports.specs import GenerationSpec, Json, Media, Operation, PreparedMedia, Role
from evergreen_server.providers.runway.catalog.composing.layouts import LAYOUTS
from evergreen_server.providers.runway.catalog.models import (
    PRESET_VOICES,
    RunwayModels,
    check_body,
    model_names,
    price_bound,
)
from evergreen_server.providers.runway.http.wire import request_for

PICTURE, UPSCALE, SPEECH = Operation.TEXT_TO_IMAGE, Operation.IMAGE_UPSCALE, Operation.TEXT_TO_SPEECH
SOUND, FILM_SOUND, CHANGE = Operation.SOUND_EFFECT, Operation.VIDEO_TO_AUDIO, Operation.SPEECH_TO_SPEECH
DUBBING, ISOLATION, ACTING = Operation.VOICE_DUBBING, Operation.VOICE_ISOLATION, Operation.CHARACTER_PERFORMANCE
ENLARGE, HDR, AVATAR = Operation.VIDEO_UPSCALE, Operation.VIDEO_TO_HDR, Operation.AVATAR_VIDEOS
SHOTS = Operation.MULTI_SHOT_VIDEO
REFERENCE, SOURCE, TRACK = Role.REFERENCE, Role.SOURCE_VIDEO, Role.REFERENCE_AUDIO
MAYA: Json = {"type": "runway-preset", "presetId": "Maya"}
SHOT: Json = {"prompt_text": "a door", "duration_seconds": 5.0}
USUAL = {SHOTS: "multi_shot_video", AVATAR: "gwm1_avatars", HDR: "ruby", ACTING: "act_two"}
NAMED = {DUBBING: "eleven_voice_dubbing", ISOLATION: "eleven_voice_isolation", CHANGE: "eleven_multilingual_sts_v2"}
RATE, MAGNIFIC = "enhance_frame_rate", "magnific_video_upscaler_creative"
ELEVEN, MIRELO = "eleven_text_to_sound_v2", "mirelo_sfx_2_0"


def spec(operation: Operation, *roles: Role, model: str = "", **fields: object) -> GenerationSpec:
    media = tuple(Media(role=role, uri="https://example.org/x") for role in roles)
    name = model or {**USUAL, **NAMED}.get(operation, "")
    return GenerationSpec(operation=operation, model=name, media=media, **fields)  # type: ignore[arg-type]  # test cases


def sent(request: GenerationSpec) -> tuple[str, dict[str, Json]]:
    media = [
        PreparedMedia(role=one.role, uri=f"runway://made-{number}", tag=one.tag, subject=one.subject)
        for number, one in enumerate(request.media)
    ]
    path, composed = request_for(request, media)
    return path, composed.body


def faults(request: GenerationSpec) -> dict[str, str]:
    return {
        error.field: " ".join(one.description for one in found if one.field == error.field)
        for found in [RunwayModels().field_errors(request)]
        for error in found
    }


HERO = Media(role=REFERENCE, uri="https://example.org/x", tag="hero", subject="human")

SENT: list[tuple[GenerationSpec, str, dict[str, Json]]] = [
    (
        GenerationSpec(operation=PICTURE, model="gemini_image3_pro", prompt_text="an owl", ratio="1024:1024",
                       media=(HERO, Media(role=REFERENCE, uri="x")), parameters={"output_count": 4}),
        "/v1/text_to_image",
        {"model": "gemini_image3_pro", "promptText": "an owl", "ratio": "1024:1024", "outputCount": 4,
         "referenceImages": [{"uri": "runway://made-0", "tag": "hero", "subject": "human"},
                             {"uri": "runway://made-1"}]},
    ),
    (spec(PICTURE, model="gpt_image_2", prompt_text="x", ratio="auto", options={"quality": "low"}),
     "/v1/text_to_image", {"model": "gpt_image_2", "promptText": "x", "ratio": "auto", "quality": "low"}),
    (spec(UPSCALE, REFERENCE, model="magnific_precision_upscaler_v2", parameters={"scale_factor": 4}),
     "/v1/image_upscale",
     {"model": "magnific_precision_upscaler_v2", "imageUri": "runway://made-0", "scaleFactor": 4}),
    (spec(SPEECH, model="eleven_v3", prompt_text="Hi", parameters={"voice": "Maya", "language": "en"}, seed=7,
          options={"speed": 1.0}),
     "/v1/text_to_speech",
     {"model": "eleven_v3", "promptText": "Hi", "voice": MAYA, "languageCode": "en", "seed": 7, "speed": 1}),
    (spec(SPEECH, TRACK, model="seed_audio", prompt_text="Hi"), "/v1/text_to_speech",
     {"model": "seed_audio", "promptText": "Hi", "voice": {"type": "reference-audio", "audioUri": "runway://made-0"}}),
    (spec(SOUND, model=ELEVEN, prompt_text="rain", duration_seconds=2.5, parameters={"loop": True}),
     "/v1/sound_effect", {"model": ELEVEN, "promptText": "rain", "duration": 2.5, "loop": True}),
    (spec(SOUND, TRACK, TRACK, model="seed_audio", prompt_text="x"), "/v1/sound_effect",
     {"model": "seed_audio", "promptText": "x", "referenceAudios": ["runway://made-0", "runway://made-1"]}),
    (spec(FILM_SOUND, SOURCE, model=MIRELO, duration_seconds=3.0, parameters={"output_count": 2}),
     "/v1/video_to_audio", {"model": MIRELO, "videoUri": "runway://made-0", "duration": 3, "numVariants": 2}),
    (spec(CHANGE, TRACK, parameters={"voice": "Maya", "max_source_seconds": 9}), "/v1/speech_to_speech",
     {"model": NAMED[CHANGE], "media": {"type": "audio", "uri": "runway://made-0"}, "voice": MAYA}),
    (spec(CHANGE, SOURCE, parameters={"voice": "Maya"}), "/v1/speech_to_speech",
     {"model": NAMED[CHANGE], "media": {"type": "video", "uri": "runway://made-0"}, "voice": MAYA}),
    (spec(DUBBING, TRACK, parameters={"target_language": "de"}), "/v1/voice_dubbing",
     {"model": NAMED[DUBBING], "audioUri": "runway://made-0", "targetLang": "de"}),
    (spec(ISOLATION, TRACK), "/v1/voice_isolation", {"model": NAMED[ISOLATION], "audioUri": "runway://made-0"}),
    (spec(ACTING, REFERENCE, SOURCE, ratio="960:960"), "/v1/character_performance",
     {"model": "act_two", "ratio": "960:960", "character": {"type": "image", "uri": "runway://made-0"},
      "reference": {"type": "video", "uri": "runway://made-1"}}),
    (spec(ACTING, Role.REFERENCE_VIDEO, SOURCE), "/v1/character_performance",
     {"model": "act_two", "character": {"type": "video", "uri": "runway://made-0"},
      "reference": {"type": "video", "uri": "runway://made-1"}}),
    (spec(ENLARGE, SOURCE, model=RATE, parameters={"target_frame_rate": "29.97"}), "/v1/video_upscale",
     {"model": RATE, "videoUri": "runway://made-0", "targetFramerate": "29_97"}),
    (spec(ENLARGE, SOURCE, model=MAGNIFIC, resolution="4k"), "/v1/video_upscale",
     {"model": MAGNIFIC, "videoUri": "runway://made-0", "resolution": "4k"}),
    (spec(HDR, SOURCE, options={"outputFormat": "hdr_prores", "proresProfile": "4444"}), "/v1/video_to_hdr",
     {"model": "ruby", "videoUri": "runway://made-0", "outputFormat": "hdr_prores", "proresProfile": "4444"}),
    (spec(SHOTS, Role.FIRST_FRAME, prompt_text="a chase", ratio="960:960", duration_seconds=5.0,
          parameters={"audio": False}),
     "/v1/recipes/multi_shot_video",
     {"version": "2026-06", "mode": "auto", "prompt": "a chase", "ratio": "960:960", "duration": 5, "audio": False,
      "firstFrame": {"uri": "runway://made-0"}}),
    (spec(SHOTS, duration_seconds=15, parameters={"shots": [SHOT] * 3}, options={"version": "unsafe-latest"}),
     "/v1/recipes/multi_shot_video",
     {"version": "unsafe-latest", "mode": "custom", "duration": 15,
      "shots": [{"prompt": "a door", "duration": 5}] * 3}),
    (spec(AVATAR, prompt_text="Hi", parameters={"avatar": "cat-character", "voice": "luna"}), "/v1/avatar_videos",
     {"model": "gwm1_avatars", "avatar": {"type": "runway-preset", "presetId": "cat-character"},
      "speech": {"type": "text", "text": "Hi", "voice": {"type": "preset", "presetId": "luna"}}}),
    (spec(AVATAR, TRACK, parameters={"avatar_id": "mine"}), "/v1/avatar_videos",
     {"model": "gwm1_avatars", "avatar": {"type": "custom", "avatarId": "mine"},
      "speech": {"type": "audio", "audio": "runway://made-0"}}),
    (spec(AVATAR, prompt_text="Hi", parameters={"avatar_id": "mine", "voice_id": "own"}), "/v1/avatar_videos",
     {"model": "gwm1_avatars", "avatar": {"type": "custom", "avatarId": "mine"},
      "speech": {"type": "text", "text": "Hi", "voice": {"type": "custom", "id": "own"}}}),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "path", "body"), SENT)
def test_a_request_is_sent_as_the_provider_takes_it(request_: GenerationSpec, path: str, body: dict[str, Json]) -> None:
    assert faults(request_) == {}
    assert sent(request_) == (path, body)
    assert check_body(request_.operation or PICTURE, body) == []


def test_every_operation_that_can_be_asked_for_is_sent() -> None:
    assert {request.operation for request, _, _ in SENT} == set(LAYOUTS)


TALK = {"avatar": "cat-character"}
FAULTY: list[tuple[GenerationSpec, dict[str, str]]] = [
    (
        spec(PICTURE, *[REFERENCE] * 4, model="gen4_image", prompt_text="x" * 1001, ratio="1:1", seed=-1,
             resolution="2k", parameters={"output_count": 2},
             options={"quality": "low", "promptText": "x", "maskUri": "y", "note": "s3://b", "ratio": "1:1"}),
        {"prompt_text": "it has 1001", "ratio": "1024:1024", "seed": "not -1", "resolution": "Use ratio, one of: 1024",
         "media": "at most 3 of them; there are 4", "parameters.output_count": "It is taken by gpt_image_2",
         "options.quality": "quality is taken by gpt_image_2", "options.promptText": "use prompt_text",
         "options.maskUri": "use references", "options.note": "URIs", "options.ratio": "use ratio"},
    ),
    (spec(PICTURE, *[REFERENCE] * 17, model="gpt_image_2_5_flare", ratio="auto", options={"background": "transparent"}),
     {"prompt_text": "Required by gpt_image_2_5_flare: prompt_text", "media": "there are 17",
      "options.background": "transparent is taken by gpt_image_2, gpt_image_2_5_sunburst"}),
    (GenerationSpec(operation=PICTURE, model="gpt_image_2", prompt_text="x", ratio="auto", media=(HERO, HERO)),
     {"media[0].subject": "no subject", "media[1].subject": "no subject", "media[1].tag": "same tag"}),
    (GenerationSpec(operation=PICTURE, model="muse_image", prompt_text="x", ratio="auto", media=(HERO,)),
     {"media[0].tag": "no tag", "media[0].subject": "no subject"}),
    (spec(PICTURE, REFERENCE, model="recraft_v4_1_vector", prompt_text="x"),
     {"model": "SVG", "media[0].role": "takes no references. It is taken by gen4_image"}),
    (spec(PICTURE, model="gen4.5", prompt_text="x", seed=-1), {"model": "one of: gen4_image", "seed": "not -1"}),
    (spec(PICTURE, prompt_text="x"), {"model": "one of: gen4_image"}),
    (spec(PICTURE, model="seedream5_lite", prompt_text="x", ratio="100:100"), {"ratio": "3686400 to 16777216 pixels"}),
    (spec(PICTURE, REFERENCE, model="ideogram_4_5", prompt_text="x", ratio="1024:1024", options={"preciseEdit": True}),
     {"ratio": "not available"}),
    (spec(SPEECH, model="eleven_v3", prompt_text="🎬" * 2600, parameters={"voice": "Nobody"}),
     {"prompt_text": "it has 5200", "parameters.voice": ", ".join(PRESET_VOICES)}),
    (spec(SPEECH, model="eleven_multilingual_v2", parameters={"language": "en"}),
     {"prompt_text": "text, 1 to 1000", "parameters.voice": f"voice, one of {', '.join(PRESET_VOICES)}",
      "parameters.language": "It is taken by eleven_v3, eleven_v4"}),
    (spec(SPEECH, TRACK, model="eleven_v3", prompt_text="x", parameters={"voice": "Maya"}),
     {"media[0].role": "Use voice. It is taken by seed_audio"}),
    (spec(SPEECH, model="seed_audio", prompt_text="x", parameters={"voice": "Maya"}),
     {"parameters.voice": "Use voice_reference"}),
    (spec(SPEECH, model="eleven_v3", prompt_text="x", parameters={"voice": "Maya", "max_source_seconds": 3},
          options={"voice": "x", "speed": 2}),
     {"options.voice": "use voice_reference or voice", "options.speed": "0.7 to 1.2",
      "parameters.max_source_seconds": "takes no max_source_seconds"}),
    (spec(SOUND, TRACK, model=ELEVEN, prompt_text="x", duration_seconds=30.5, parameters={"output_count": 2}),
     {"duration_seconds": "0.5 to 30", "media[0].role": "It is taken by seed_audio",
      "parameters.output_count": "It is taken by mirelo_sfx_2_0"}),
    (spec(SOUND, model=ELEVEN, prompt_text="x", duration_seconds=0.4), {"duration_seconds": "0.5 to 30"}),
    (spec(SOUND, model=ELEVEN, prompt_text="x", duration_seconds=float("nan")), {"duration_seconds": "NaN"}),
    (spec(SOUND, model=MIRELO, prompt_text="x"), {"duration_seconds": "Required by mirelo_sfx_2_0: duration_seconds"}),
    (spec(SOUND, *[TRACK] * 4, model="seed_audio", prompt_text="x"), {"media": "there are 4"}),
    (spec(FILM_SOUND, model=MIRELO, duration_seconds=1), {"media": "video, a video"}),
    (spec(FILM_SOUND, SOURCE, SOURCE, model=MIRELO, duration_seconds=1), {"media[1].role": "Only one video"}),
    (spec(CHANGE, parameters={"max_source_seconds": float("inf")}),
     {"media": "audio or video", "parameters.voice": "one of Maya",
      "parameters.max_source_seconds": "more than 0"}),
    (spec(CHANGE, TRACK, SOURCE, parameters={"voice": "Maya"}), {"media[1].role": "Give either video or audio"}),
    (spec(DUBBING, TRACK, parameters={"target_language": "tlh", "max_source_seconds": 0.0}),
     {"parameters.target_language": "one of en, hi", "parameters.max_source_seconds": "more than 0"}),
    (spec(ISOLATION, TRACK, parameters={"max_source_seconds": 4}),
     {"parameters.max_source_seconds": "at least 4.6 and at most 3600"}),
    (spec(ACTING, REFERENCE, Role.REFERENCE_VIDEO, parameters={"max_source_seconds": 31}),
     {"media": "performance, a video", "media[1].role": "either character_video or character_image",
      "parameters.max_source_seconds": "at most 30"}),
    (spec(ACTING, SOURCE), {"media": "character_image or character_video"}),
    (spec(ENLARGE, SOURCE, model=RATE, resolution="2k", parameters={"target_frame_rate": "27"}),
     {"resolution": "takes no resolution", "parameters.target_frame_rate": "29.97"}),
    (spec(ENLARGE, SOURCE, model=MAGNIFIC, resolution="8k", parameters={"target_frame_rate": "60"}),
     {"resolution": "4k, not 8k", "parameters.target_frame_rate": "It is taken by enhance_frame_rate"}),
    (spec(HDR, SOURCE, options={"outputFormat": "hdr_exr_sequence"}),
     {"options.outputFormat": "one of: hdr10, hlg, hdr_prores"}),
    (spec(HDR, SOURCE, options={"proresProfile": "422"}), {"options.proresProfile": "hdr_prores"}),
    (spec(UPSCALE, model="magnific_precision_upscaler_v2", parameters={"scale_factor": 3}),
     {"media": "image, a picture", "parameters.scale_factor": "2, 4, 8, 16, not 3"}),
    (spec(SHOTS, duration_seconds=7.5), {"prompt_text": "prompt_text or shots", "duration_seconds": "5, 10, 15, not"}),
    (spec(SHOTS, prompt_text="x", parameters={"shots": [{"prompt_text": "ab", "duration_seconds": 16}, {}, SHOT]},
          options={"mode": "auto", "version": "2020-01"}),
     {"prompt_text": "no prompt_text beside shots", "parameters.shots": "sum to the duration of 10 seconds, not 21",
      "parameters.shots[0].prompt_text": "it has 2", "parameters.shots[0].duration_seconds": "1 to 15",
      "parameters.shots[1].prompt_text": "Required", "parameters.shots[1].duration_seconds": "Required",
      "options.mode": "follows from prompt_text or shots", "options.version": "2026-06"}),
    (spec(SHOTS, parameters={"shots": [SHOT, SHOT]}), {"parameters.shots": "3 to 5 of them; there are 2"}),
    (spec(AVATAR), {"prompt_text": "text or audio", "parameters.avatar": "avatar or avatar_id"}),
    (spec(AVATAR, prompt_text="x" * 5001, parameters={"avatar": "dog", "voice": "Maya"}),
     {"prompt_text": "it has 5001", "parameters.avatar": "cat-character", "parameters.voice": "luna"}),
    (spec(AVATAR, parameters={**TALK, "voice": "luna"}), {"prompt_text": "text or audio"}),
    (spec(AVATAR, TRACK, parameters={**TALK, "voice": "luna"}), {"parameters.voice": "takes no voice here"}),
    (spec(AVATAR, TRACK, prompt_text="x", parameters={**TALK, "avatar_id": "x"}),
     {"media[0].role": "either audio or text", "parameters.avatar_id": "either avatar_id or avatar"}),
    (GenerationSpec(operation=HDR, model="ruby", media=(Media(role=SOURCE, uri="x", at_seconds=1.0),)),
     {"media[0].at_seconds": "KEYFRAME"}),
]  # fmt: skip


@pytest.mark.parametrize(("faulty", "expected"), FAULTY)
def test_every_fault_is_named_at_once_with_what_is_allowed(faulty: GenerationSpec, expected: dict[str, str]) -> None:
    found = faults(faulty)

    assert found.keys() == expected.keys()
    for field, text in expected.items():
        assert text in found[field]


def test_no_text_names_a_field_that_only_the_provider_knows() -> None:
    """A caller of ours has no `referenceImages` or `presetId`; the options alone go by the provider's names."""
    unknown = {name for layout in LAYOUTS.values() for place in layout.places() for name in (*place.path, place.member)}
    unknown -= {place.name for layout in LAYOUTS.values() for place in layout.places()} | {""}

    for faulty, _ in FAULTY:
        words = {word.strip('.,;:"') for text in faults(faulty).values() for word in text.split()}
        assert not words & (unknown - {"media", "type", "reference", "character", "prompt", "speech", "id", "uri"})


QUOTES: list[tuple[GenerationSpec, int | None]] = [
    (spec(PICTURE, model="gen4_image", ratio="1280:720"), 5000),
    (spec(PICTURE, model="gen4_image", ratio="1920:1080"), 8000),
    (spec(PICTURE, model="gen4_image_turbo", ratio="1920:1080"), 2000),
    (spec(PICTURE, model="gpt_image_2", ratio="auto"), 41_000),
    (spec(PICTURE, model="gpt_image_2", ratio="2560:2560", parameters={"output_count": 10}), 200_000),
    (spec(PICTURE, model="gpt_image_2", ratio="2912:1248", options={"quality": "auto"}), 20_000),
    (spec(PICTURE, model="gpt_image_2", ratio="3840:1648", options={"quality": "low"}), 2000),
    (spec(PICTURE, model="gpt_image_2", ratio="1920:1088", options={"quality": "medium"}), 5000),
    (spec(PICTURE, model="gemini_image3_pro", ratio="3168:1344"), 20_000),
    (spec(PICTURE, model="gemini_image3_pro", ratio="6336:2688", parameters={"output_count": 4}), 160_000),
    (spec(PICTURE, model="seedream5_pro", ratio="auto_1k"), 5000),
    (spec(PICTURE, model="seedream5_pro", ratio="2720:1530"), 9000),
    (spec(PICTURE, REFERENCE, REFERENCE, model="grok_imagine_image_2", ratio="auto_2k",
          parameters={"output_count": 4}), 34_000),
    (spec(PICTURE, model="grok_imagine_image_2", ratio="1024:1024", options={"quality": "low"}), 4000),
    (spec(PICTURE, model="bria_fibo_1_5", ratio="1152:2048"), 10_000),
    (spec(PICTURE, model="ideogram_4_0"), 11_000),
    (spec(PICTURE, model="ideogram_4_5"), 25_000),
    (spec(PICTURE, REFERENCE, model="ideogram_4_5"), 8000),
    (spec(PICTURE, REFERENCE, model="ideogram_4_5", options={"preciseEdit": True}), 25_000),
    (spec(PICTURE, model="gpt_image_2_5_flare", ratio="auto"), None),
    (spec(UPSCALE, REFERENCE, model="magnific_precision_upscaler_v2"), 150_000),
    (spec(SPEECH, model="eleven_v3", prompt_text="x" * 50), 1000),
    (spec(SPEECH, model="eleven_v3", prompt_text="x" * 51), 2000),
    (spec(SPEECH, model="eleven_multilingual_v2", prompt_text="🎬" * 26), 2000),
    (spec(SPEECH, model="eleven_v4", prompt_text="x"), None),
    (spec(SPEECH, model="seed_audio", prompt_text="x"), None),
    (spec(SOUND, model=ELEVEN, prompt_text="x"), 2000),
    (spec(SOUND, model=ELEVEN, prompt_text="x", duration_seconds=0.5), 1000),
    (spec(SOUND, model=ELEVEN, prompt_text="x", duration_seconds=29.1), 30_000),
    (spec(SOUND, model=MIRELO, prompt_text="x", duration_seconds=5), None),
    (spec(CHANGE, TRACK), None),
    (spec(CHANGE, TRACK, parameters={"max_source_seconds": 9.1}), 4000),
    (spec(DUBBING, TRACK), None),
    (spec(DUBBING, TRACK, parameters={"max_source_seconds": 59.9}), 30_000),
    # A container may claim a little more than its sound has.
    (spec(DUBBING, TRACK, parameters={"max_source_seconds": 60}), 31_000),
    (spec(ISOLATION, TRACK), 600_000),
    (spec(ISOLATION, TRACK, parameters={"max_source_seconds": 11.9}), 2000),
    (spec(ACTING, REFERENCE, SOURCE), 150_000),
    (spec(ACTING, REFERENCE, SOURCE, parameters={"max_source_seconds": 4.2}), 25_000),
    (spec(ENLARGE, SOURCE, model=RATE), 150_000),
    (spec(ENLARGE, SOURCE, model=MAGNIFIC), 1_622_000),
    (spec(ENLARGE, SOURCE, model=MAGNIFIC, resolution="4k", options={"fpsBoost": True},
          parameters={"max_source_seconds": 5}), 729_000),
    (spec(ENLARGE, SOURCE, model=MAGNIFIC, resolution="720p", parameters={"max_source_seconds": 0.001}), 3000),
    (spec(HDR, SOURCE, parameters={"max_source_seconds": 5}), 202_000),
    (spec(HDR, SOURCE), 1_200_000),
    (spec(SHOTS, prompt_text="x"), 130_000),
    (spec(SHOTS, prompt_text="x", ratio="1080:1920", duration_seconds=15.0), 255_000),
    (spec(AVATAR, prompt_text="x", parameters=TALK), None),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "price"), QUOTES)
def test_a_quote_is_the_most_that_may_be_charged(request_: GenerationSpec, price: int | None) -> None:
    assert RunwayModels().quote(request_) == price


@pytest.mark.parametrize(
    ("operation", "body", "price"),
    [
        (Operation.PRODUCT_AD, {"duration": 4, "ratio": "1280:720"}, 200_000),
        (Operation.PRODUCT_AD, {}, 456_000),
        (Operation.PRODUCT_SWAP, {"duration": 6}, 284_000),
        (Operation.PRODUCT_UGC, {"ratio": "720:1280"}, 588_000),
        (Operation.AD_LOCALIZATION, {}, 21_000),
        (Operation.MARKETING_STOCK_IMAGE, {}, 88_000),
        (Operation.PRODUCT_CAMPAIGN_IMAGE, {}, 144_000),
    ],
)
def test_a_recipe_of_the_provider_has_its_price(operation: Operation, body: dict[str, Json], price: int) -> None:
    assert price_bound(operation, body) == price


def test_a_source_is_as_the_model_takes_it_and_no_longer_than_was_quoted() -> None:
    models = RunwayModels()

    face = MediaRule(min_aspect=0.5, max_aspect=2.358)
    assert models.media_rule(spec(ACTING, REFERENCE, SOURCE), 1) == replace(face, min_seconds=3, max_seconds=30)
    bounded = spec(ACTING, Role.REFERENCE_VIDEO, SOURCE, parameters={"max_source_seconds": 5})
    assert models.media_rule(bounded, 1) == replace(face, min_seconds=3, max_seconds=5)
    assert models.media_rule(bounded, 0) == face
    assert models.media_rule(spec(ENLARGE, SOURCE, model=MAGNIFIC), 0).max_frame_rate == 60
    assert models.media_rule(spec(HDR, SOURCE), 0) == MediaRule(max_seconds=30, max_side=4095)
    assert models.media_rule(spec(DUBBING, TRACK), 0) == MediaRule()
    assert models.media_rule(spec(CHANGE, SOURCE, parameters={"max_source_seconds": 7}), 0).max_seconds == 7
    clip = GenerationSpec(model="hailuo3", media=(Media(role=SOURCE, uri="x"), Media(role=REFERENCE, uri="x")))
    assert models.media_rule(clip, 0) == MediaRule(max_seconds=15)


def test_a_picture_is_as_the_model_takes_it() -> None:
    models = RunwayModels()

    assert models.picture_rule(spec(ACTING, REFERENCE, SOURCE), REFERENCE) == PictureRule(
        min_aspect=0.5, max_aspect=2.358
    )
    assert models.picture_rule(spec(PICTURE, model="gemini_2.5_flash"), REFERENCE).max_aspect == 4.0
    enlarged = spec(UPSCALE, model="magnific_precision_upscaler_v2")
    larger = replace(enlarged, parameters={"scale_factor": 16})
    assert models.picture_rule(enlarged, REFERENCE) == PictureRule(
        min_side=300, max_side=8000, max_pixels=25_300_000 // 4
    )
    assert models.picture_rule(larger, REFERENCE).max_pixels == 25_300_000 // 256


def test_the_list_tells_of_every_operation_what_it_takes() -> None:
    listed = {(rules.operation, info.model): rules for info in RunwayModels().models() for rules in info.rules}

    assert {operation for operation, _ in listed} >= set(LAYOUTS)
    assert (PICTURE, "recraft_v4_1_vector") not in listed
    assert not {Operation.PRODUCT_AD, Operation.AD_LOCALIZATION} & {operation for operation, _ in listed}
    gpt, line = listed[PICTURE, "gpt_image_2"], listed[SPEECH, "eleven_v3"]
    assert (gpt.roles, gpt.references_max, gpt.outputs_max) == ((REFERENCE,), 16, 10)
    assert (gpt.prompt_required, gpt.prompt_max_utf16, gpt.options) == (True, 32_000, ("quality", "background"))
    assert gpt.prices[-1] == PriceInfo(condition="high, 4K", unit=PriceUnit.PICTURE, millicredits=41_000)
    assert (line.voices, line.roles) == (PRESET_VOICES, ())
    assert line.prices == (PriceInfo(condition="", unit=PriceUnit.CHARACTER, quantity=50, millicredits=1000),)
    effect, acting = listed[SOUND, ELEVEN], listed[ACTING, "act_two"]
    assert (effect.duration_min_seconds, effect.duration_max_seconds, effect.durations_seconds) == (0.5, 30, ())
    assert (acting.source_max_seconds, acting.ratios[0], acting.prompt_required) == (30, "1280:720", False)
    assert listed[DUBBING, NAMED[DUBBING]].languages[:2] == ("en", "hi")
    shots, avatar = listed[SHOTS, "multi_shot_video"], listed[AVATAR, "gwm1_avatars"]
    assert (shots.durations_seconds, shots.options, shots.prompt_required) == ((5, 10, 15), ("version",), False)
    assert (avatar.prompt_max_utf16, avatar.prompt_required, len(avatar.voices)) == (5000, False, 30)
    assert listed[PICTURE, "seedream5_lite"].ratios[0] == "2048:2048"


STAND_INS = {
    # Sizes that only go with references, and those that only go without.
    ("ideogram_4_5", ratio) for ratio in ("1024:576", "576:1024", "1408:704", "704:1408")
}  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "model"),
    [(row, model) for row in LAYOUTS for model in model_names(row) if model != "recraft_v4_1_vector"],
)
def test_whatever_the_list_tells_of_an_operation_is_taken_by_it(operation: Operation, model: str) -> None:
    [rules] = [one for info in RunwayModels().models() if info.model == model for one in info.rules
               if one.operation == operation]  # fmt: skip
    plain = spec(operation, *rules.roles[:1] * (operation is not PICTURE), model=model, prompt_text="a lamp")

    def refused(field: str, **changes: object) -> bool:
        return field in faults(replace(plain, **changes))  # type: ignore[arg-type]  # a table of fields

    for ratio in rules.ratios:
        if model != "bria_fibo_edit_1_5":
            assert refused("ratio", ratio=ratio) is ((model, ratio) in STAND_INS)
    assert not any(refused("resolution", resolution=one) for one in rules.resolutions)
    assert not any(refused("duration_seconds", duration_seconds=one) for one in rules.durations_seconds)
    for seconds in (rules.duration_min_seconds, rules.duration_max_seconds):
        assert seconds is None or not refused("duration_seconds", duration_seconds=seconds)
    assert not any(refused("parameters.voice", parameters={"voice": one}) for one in rules.voices)
    for language in rules.languages:
        assert not refused("parameters.target_language", parameters={"target_language": language})
    if rules.outputs_max is not None:
        assert not refused("parameters.output_count", parameters={"output_count": rules.outputs_max})
    if rules.source_max_seconds is not None:
        assert not refused("parameters.max_source_seconds", parameters={"max_source_seconds": rules.source_max_seconds})
        over = rules.source_max_seconds + 1
        assert refused("parameters.max_source_seconds", parameters={"max_source_seconds": over})
    told = " ".join(faults(replace(plain, options=dict.fromkeys(rules.options))).values())
    assert "Not an option" not in told
    assert refused("prompt_text", prompt_text="") is (rules.prompt_required or operation is SHOTS)


def test_what_a_model_with_no_clips_says_of_clips_is_empty() -> None:
    [info] = [one for one in RunwayModels().models() if one.model == "eleven_v3"]

    assert (info.operations, info.ratios, info.options, info.prices) == (("text_to_speech",), (), (), ())
    assert (info.prompt_max_utf16, info.prompt_required) == (None, False)


@pytest.mark.parametrize("value", [None, True, -1, 1e308, float("nan"), "\ud800", "", [], [[]], {}, [{"x": None}]])
def test_no_parameter_or_option_of_any_kind_breaks_the_check_or_the_quote(value: Json) -> None:
    models = RunwayModels()
    for request, _, _ in SENT:
        for name in (
            "voice",
            "shots",
            "avatar",
            "audio",
            "output_count",
            "max_source_seconds",
            "target_frame_rate",
            "x",
        ):
            broken = spec(request.operation or PICTURE, model=request.model, parameters={name: value},
                          options={"quality": value, "version": value, "x": value})  # fmt: skip
            assert models.field_errors(broken)
            models.quote(broken)
