"""The rows of models that make speech and sounds, or change them."""

from collections.abc import Iterator

from evergreen_server.providers.runway.catalog.rows.vocabulary import (
    AUDIO,
    LONGEST_SECONDS,
    LONGEST_SOURCE_SECONDS,
    MOST_OUTPUTS,
    VIDEO,
    WITH_SEED,
    Fields,
    Row,
    row,
)
from evergreen_server.providers.runway.catalog.rows.voices import DUBBING_LANGUAGES, PRESET_VOICES
from evergreen_server.providers.runway.catalog.rules import Flag, Number, OneOf, Operation, Text, Whole
from evergreen_server.providers.runway.catalog.shapes import Items, Tagged, tagged

__all__ = ["sound_rows"]

PRESET: Tagged = tagged({"runway-preset": {"presetId!": OneOf(PRESET_VOICES)}})
SEED_AUDIO: Fields = {
    "promptText!": Text(2048), "speechRate": Whole(-50, 100), "loudnessRate": Whole(-50, 100),
    "pitchRate": Whole(-12, 12), "sampleRate": OneOf((8000, 16_000, 24_000, 32_000, 44_100, 48_000)),
    "outputFormat": OneOf(("wav", "mp3", "ogg_opus")),
}  # fmt: skip
MIRELO: Fields = {
    "format": OneOf(("mp3", "wav", "flac")), "negativePrompt": Text(), "numVariants": Whole(1, MOST_OUTPUTS),
    "seed": Whole(0),
}  # fmt: skip


def sound_rows() -> Iterator[Row]:
    """Yields every row of this module."""
    for family in (_speech, _effects, _changes):
        yield from family()


def _speech() -> Iterator[Row]:
    speak = Operation.TEXT_TO_SPEECH
    yield row(speak, "eleven_multilingual_v2", {"promptText!": Text(1000), "voice!": PRESET})
    part = Number(0, 1)
    third: Fields = {
        "promptText!": Text(5000), "voice!": PRESET, "stability": part, "similarityBoost": part, "style": part,
        "speed": Number(0.7, 1.2), "useSpeakerBoost": Flag(), "languageCode": Text(5, 2),
        "applyTextNormalization": OneOf(("auto", "on", "off")), **WITH_SEED,
    }  # fmt: skip
    yield row(speak, "eleven_v3", third)
    fourth: Fields = {
        "promptText!": Text(), "voice!": PRESET, "stability": Number(0), "similarityBoost": Number(0),
        "style": Number(0), "speed": Number(0.7), "useSpeakerBoost": Flag(), "languageCode": Text(minimum=2),
        "previousText": Text(minimum=0), "nextText": Text(minimum=0), "seed": Whole(0),
    }  # fmt: skip
    yield row(speak, "eleven_v4", fourth)
    reference = tagged({"reference-audio": {"audioUri!": AUDIO}})
    yield row(speak, "seed_audio", {**SEED_AUDIO, "voice": reference}, closed=True)


def _effects() -> Iterator[Row]:
    sound = Operation.SOUND_EFFECT
    eleven: Fields = {"promptText!": Text(3000), "duration": Number(0.5, 30), "loop": Flag()}
    yield row(sound, "eleven_text_to_sound_v2", eleven)
    yield row(sound, "seed_audio", {**SEED_AUDIO, "referenceAudios": Items(AUDIO, 3)}, closed=True)
    yield row(sound, "mirelo_sfx_2_0", {"promptText!": Text(), "duration!": Number(0.1, LONGEST_SECONDS), **MIRELO})
    film: Fields = {
        "videoUri!": VIDEO, "duration!": Number(1, LONGEST_SOURCE_SECONDS), "promptText": Text(),
        "preserveSpeech": Flag(), **MIRELO,
    }  # fmt: skip
    yield row(Operation.VIDEO_TO_AUDIO, "mirelo_sfx_2_0", film)


def _changes() -> Iterator[Row]:
    change: Fields = {
        "media!": tagged({"audio": {"uri!": AUDIO}, "video": {"uri!": VIDEO}}), "voice!": PRESET,
        "removeBackgroundNoise": Flag(),
    }  # fmt: skip
    yield row(Operation.SPEECH_TO_SPEECH, "eleven_multilingual_sts_v2", change)
    dubbing: Fields = {
        "audioUri!": AUDIO, "targetLang!": OneOf(DUBBING_LANGUAGES), "disableVoiceCloning": Flag(),
        "dropBackgroundAudio": Flag(), "numSpeakers": Whole(1),
    }  # fmt: skip
    yield row(Operation.VOICE_DUBBING, "eleven_voice_dubbing", dubbing)
    yield row(Operation.VOICE_ISOLATION, "eleven_voice_isolation", {"audioUri!": AUDIO})
