"""The smallest body of every call that makes a task."""

from collections.abc import Mapping

from tests.providers.runway.sandbox.driver import body, data_uri, picture
from tests.providers.runway.sandbox.made import clip, sound

PICTURE, VIDEO, SOUND = data_uri(picture(400, 400)), data_uri(clip(4), "video/mp4"), data_uri(sound(6.0), "audio/wav")
FILE = {"uri": PICTURE}
VOICE = {"type": "runway-preset", "presetId": "Maya"}
AVATAR = {"type": "runway-preset", "presetId": "influencer"}
TEXT = "a lighthouse"

BODIES: Mapping[str, Mapping[str, object]] = {
    "image_to_video": body(TEXT),
    "text_to_video": {"model": "gen4.5", "promptText": TEXT, "ratio": "1280:720", "duration": 2},
    "video_to_video": {"model": "aleph2", "promptText": TEXT, "videoUri": VIDEO},
    "text_to_image": {"model": "gen4_image", "promptText": TEXT, "ratio": "1280:720"},
    "image_upscale": {"model": "magnific_precision_upscaler_v2", "imageUri": PICTURE},
    "text_to_speech": {"model": "eleven_v3", "promptText": TEXT, "voice": VOICE},
    "sound_effect": {"model": "eleven_text_to_sound_v2", "promptText": TEXT},
    "video_to_audio": {"model": "mirelo_sfx_2_0", "promptText": TEXT, "videoUri": VIDEO, "duration": 4},
    "speech_to_speech": {
        "model": "eleven_multilingual_sts_v2", "media": {"type": "audio", "uri": SOUND}, "voice": VOICE
    },
    "voice_dubbing": {"model": "eleven_voice_dubbing", "audioUri": SOUND, "targetLang": "de"},
    "voice_isolation": {"model": "eleven_voice_isolation", "audioUri": SOUND},
    "character_performance": {
        "model": "act_two", "character": {"type": "image", "uri": PICTURE},
        "reference": {"type": "video", "uri": VIDEO},
    },
    "video_upscale": {"model": "magnific_video_upscaler_creative", "videoUri": VIDEO, "resolution": "720p"},
    "video_to_hdr": {"model": "ruby", "videoUri": VIDEO},
    "avatar_videos": {"model": "gwm1_avatars", "avatar": AVATAR, "speech": {"type": "text", "text": TEXT}},
    "recipes/multi_shot_video": {"version": "2026-06", "mode": "auto", "prompt": TEXT, "duration": 5},
    "recipes/product_ad": {"version": "2026-07", "productImages": [FILE], "userConcept": TEXT, "duration": 4},
    "recipes/product_swap": {
        "version": "2026-06", "referenceVideo": {"uri": VIDEO}, "originalProductImage": FILE,
        "newProductImages": [FILE], "duration": 4,
    },
    "recipes/product_ugc": {"version": "2026-06", "characterImage": FILE, "productImage": FILE, "duration": 4},
    "recipes/ad_localization": {"version": "2026-06", "referenceImage": FILE, "targetLanguage": "de"},
    "recipes/marketing_stock_image": {"version": "2026-06", "prompt": TEXT},
    "recipes/product_campaign_image": {"version": "2026-06", "prompt": TEXT, "image": FILE},
}  # fmt: skip
