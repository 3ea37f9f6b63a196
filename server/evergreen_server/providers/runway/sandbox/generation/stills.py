"""Pictures that a request makes: how large, in which format, how many."""

from collections.abc import Mapping, Sequence

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.rendering.job import Form
from evergreen_server.providers.runway.sandbox.generation.asked import (
    aspect_of,
    number_in,
    outputs_of,
    pixels_of,
    placed,
    word_in,
)
from evergreen_server.providers.runway.sandbox.generation.assets import Asset
from evergreen_server.providers.runway.sandbox.generation.product import Product, source_of

__all__ = ["enlarged_size", "enlargement", "picture", "picture_size"]

_USUAL_SIDES = {"auto_1k": 1024, "auto_2k": 2048}
_SIDES_OF_MODELS: Mapping[str, int] = {
    "muse_image": 1600,
    "ideogram_4_0": 2048,
    **dict.fromkeys(("gpt_image_2", "gpt_image_2_5_flare", "gpt_image_2_5_sunburst"), 2880),
}
"""The side of a square of as many pixels as a model makes where the size is left to it."""
_FORMS: Mapping[str, Form] = {"png": "png", "jpeg": "jpeg", "webp": "webp"}


def picture(body: Mapping[str, Json], media: Sequence[Asset]) -> Product:
    """Returns what text_to_image makes."""
    model = word_in(body, "model")
    width, height = picture_size(body, media)
    drawn = model == "recraft_v4_1_vector"
    usual: Form = "svg" if drawn else "webp" if model == "recraft_v4_1_flash" else "png"
    return Product(
        form=_FORMS.get(word_in(body, "outputFormat"), usual),
        width=width,
        height=height,
        outputs=outputs_of("text_to_image", body),
        references=tuple(source for asset in media if (source := source_of(asset)) is not None),
        making={"work": "drawing" if drawn else "picture", "clear": body.get("background") == "transparent"},
    )


def picture_size(body: Mapping[str, Json], media: Sequence[Asset]) -> tuple[int, int]:
    """Returns the sides in pixels: as asked, else those that the model is known to choose, in the input's aspect."""
    ratio = word_in(body, "ratio")
    if (asked := pixels_of(ratio)) is not None:
        return asked
    model, first = word_in(body, "model"), placed(media, "referenceImages")
    keeps = model == "bria_fibo_edit_1_5" or body.get("preciseEdit") is True or "maskUri" in body
    if keeps and first is not None:
        return first.width, first.height
    side = _USUAL_SIDES.get(ratio) or _SIDES_OF_MODELS.get(model, 1024)
    aspect = aspect_of(first, 1.0)
    return round(side * aspect**0.5), round(side / aspect**0.5)


def enlargement(body: Mapping[str, Json], media: Sequence[Asset]) -> Product:
    """Returns what image_upscale makes."""
    width, height = enlarged_size(body, media)
    making: dict[str, Json] = {"work": "enlargement"}
    return Product(form="png", width=width, height=height, source=source_of(placed(media, "imageUri")), making=making)


def enlarged_size(body: Mapping[str, Json], media: Sequence[Asset]) -> tuple[int, int]:
    """Returns the sides of an upscaled picture."""
    source, factor = placed(media, "imageUri"), int(number_in(body, "scaleFactor", 2))
    return (0, 0) if source is None else (source.width * factor, source.height * factor)
