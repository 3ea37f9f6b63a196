"""Finds what a request makes, whichever operation it is for."""

from collections.abc import Mapping, Sequence

from evergreen_server.providers.runway.catalog.models import Json, Operation
from evergreen_server.providers.runway.sandbox.generation import finished, recipes, stills, voices
from evergreen_server.providers.runway.sandbox.generation.assets import Asset
from evergreen_server.providers.runway.sandbox.generation.product import Product
from evergreen_server.providers.runway.sandbox.generation.shape import clip

__all__ = ["product_of"]


def product_of(operation: str, body: Mapping[str, Json], media: Sequence[Asset]) -> Product:
    """Returns the product of a valid body with its measured media."""
    match operation:
        case "text_to_image":
            return stills.picture(body, media)
        case "image_upscale":
            return stills.enlargement(body, media)
        case "text_to_speech":
            return voices.speech(body, media)
        case "sound_effect" | "video_to_audio":
            return voices.effect(operation, body)
        case "speech_to_speech" | "voice_dubbing" | "voice_isolation":
            return voices.conversion(operation, body, media)
        case "character_performance":
            return finished.performance(body, media)
        case "video_upscale":
            return finished.upscale(body, media)
        case "video_to_hdr":
            return finished.hdr(body, media)
        case "avatar_videos":
            return finished.avatar_video(body, media)
        case _ if operation in recipes.VIDEO_RECIPES:
            return recipes.recipe_clip(operation, body, media)
        case _ if operation in recipes.PICTURE_RECIPES:
            return recipes.recipe_pictures(operation, body, media)
        case _:
            return clip(Operation(operation), body, media)
