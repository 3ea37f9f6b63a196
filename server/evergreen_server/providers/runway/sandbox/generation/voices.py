"""Speech and sounds that a request makes: how long, in which format, and in which voice."""

import hashlib
from collections.abc import Mapping, Sequence

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.rendering.job import Form
from evergreen_server.providers.runway.rendering.spoken import spoken_seconds
from evergreen_server.providers.runway.sandbox.generation.asked import inside, number_in, outputs_of, text_of, word_in
from evergreen_server.providers.runway.sandbox.generation.assets import Asset
from evergreen_server.providers.runway.sandbox.generation.product import SECONDS_MOST, Product, source_of

__all__ = ["conversion", "effect", "pitch_of", "speech"]

_FORMS: Mapping[str, Form] = {"mp3": "mp3", "wav": "wav", "flac": "flac", "ogg_opus": "ogg"}
_LOWEST, _SPAN = 85, 170
"""Hertz of the deepest voice, and how far the highest lies above it."""


def speech(body: Mapping[str, Json], media: Sequence[Asset]) -> Product:
    """Returns what text_to_speech makes: longer the longer the text and the slower the voice."""
    voice = inside(body, "voice")
    name = next((asset.digest for asset in media), "") or word_in(voice, "presetId")
    speed = number_in(body, "speed", 1 + number_in(body, "speechRate") / 100)
    speed = min(max(speed, 0.25), 4.0)
    return Product(
        form=_form(body),
        seconds=spoken_seconds(text_of(body), speed),
        making={
            "work": "speech",
            "speed": speed,
            "pitch": pitch_of(name) * 2 ** (number_in(body, "pitchRate") / 12),
            "loudness": 1 + number_in(body, "loudnessRate") / 100,
            **_sample_rate(body),
        },
    )


def effect(operation: str, body: Mapping[str, Json]) -> Product:
    """Returns what sound_effect and video_to_audio make: as long as asked, else two to six seconds by the prompt."""
    chosen = 2 + _digest(text_of(body)) % 5
    return Product(
        form=_form(body),
        seconds=min(number_in(body, "duration") or float(chosen), SECONDS_MOST),
        outputs=outputs_of(operation, body),
        making={"work": "effect", "loop": body.get("loop") is True, **_sample_rate(body)},
    )


def conversion(operation: str, body: Mapping[str, Json], media: Sequence[Asset]) -> Product:
    """Returns what speech_to_speech, voice_dubbing and voice_isolation make: as long as the input."""
    source = media[0]
    name = word_in(inside(body, "voice"), "presetId") or word_in(body, "targetLang")
    return Product(
        form="mp3",
        seconds=min(source.seconds, SECONDS_MOST),
        source=source_of(source),
        making={"work": "voice", "gate": operation == "voice_isolation", "pitch": pitch_of(name)},
    )


def pitch_of(name: str) -> float:
    """Returns the height of a voice in hertz, the same for the same name."""
    return float(_LOWEST + _digest(name) % _SPAN)


def _digest(text: str) -> int:
    return int(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8], 16)


def _form(body: Mapping[str, Json]) -> Form:
    return _FORMS.get(word_in(body, "outputFormat") or word_in(body, "format"), "mp3")


def _sample_rate(body: Mapping[str, Json]) -> dict[str, Json]:
    rate = number_in(body, "sampleRate")
    return {"sample_rate": int(rate)} if rate else {}
