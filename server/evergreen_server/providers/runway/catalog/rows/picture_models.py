"""The rows of models that make pictures from text and references, and of the one that enlarges them."""

from collections.abc import Iterator

from evergreen_server.providers.runway.catalog.rows import picture_rules as rules
from evergreen_server.providers.runway.catalog.rows import picture_sizes as size
from evergreen_server.providers.runway.catalog.rows.vocabulary import (
    MODERATION,
    MOST_OUTPUTS,
    PICTURE,
    WITH_SEED,
    Fields,
    Row,
    row,
)
from evergreen_server.providers.runway.catalog.rules import Flag, OneOf, Operation, Rule, Text, Whole
from evergreen_server.providers.runway.catalog.shapes import Items, Sizes, part

__all__ = ["picture_rows"]

MOST_REFERENCES = 16
"""No model takes more; the bound where a model's own is not known."""

TAG = Text(16, 3, r"^[a-z][a-z0-9_]+$")
COLOR = Text(minimum=0, pattern=r"^#[0-9a-fA-F]{6}$")
ONE_OR_FOUR: Fields = {"outputCount": OneOf((1, 4))}
PNG_OR_JPEG: Fields = {"outputFormat": OneOf(("png", "jpeg"))}


def picture_rows() -> Iterator[Row]:
    """Yields every row of this module."""
    for family in (_gen4, _gpt, _gemini, _seedream, _others, _bria, _ideogram, _recraft, _upscaler):
        yield from family()


def _made_of(model: str, fields: Fields, *checks: rules.Check, closed: bool = False) -> Row:
    return row(Operation.TEXT_TO_IMAGE, model, fields, *checks, closed=closed)


def _references(maximum: int, *, minimum: int = 0, tag: bool = False, subject: bool = False) -> Items:
    members: dict[str, Rule] = {"uri!": PICTURE}
    members |= {"tag": TAG} if tag else {}
    members |= {"subject": OneOf(("object", "human"))} if subject else {}
    return Items(part(members), maximum, minimum)


def _gen4() -> Iterator[Row]:
    shared: Fields = {
        "promptText!": Text(1000),
        "ratio!": OneOf(size.GEN4),
        "contentModeration": MODERATION,
        **WITH_SEED,
    }
    yield _made_of("gen4_image", {**shared, "referenceImages": _references(3, tag=True)})
    yield _made_of("gen4_image_turbo", {**shared, "referenceImages!": _references(3, minimum=1, tag=True)})


def _gpt() -> Iterator[Row]:
    shared: Fields = {
        "ratio!": OneOf(size.GPT),
        "referenceImages": _references(16, tag=True),
        "outputCount": Whole(1, 10),
    }
    clear, solid = OneOf(("transparent", "opaque", "auto")), OneOf(("opaque", "auto"))
    first: Fields = {"quality": OneOf(("low", "medium", "high", "auto")), "background": clear}
    yield _made_of("gpt_image_2", {"promptText!": Text(32_000), **shared, **first}, rules.distinct_tags, closed=True)
    later: Fields = {"promptText!": Text(), **shared, "quality": OneOf(("low", "medium", "high", "xhigh", "max"))}
    yield _made_of("gpt_image_2_5_flare", {**later, "background": solid}, rules.distinct_tags)
    yield _made_of("gpt_image_2_5_sunburst", {**later, "background": clear}, rules.distinct_tags)


def _gemini() -> Iterator[Row]:
    yield _made_of(
        "gemini_2.5_flash",
        {"promptText!": Text(5500), "ratio!": OneOf(size.FLASH_25), "referenceImages": _references(3, tag=True)},
    )
    shared: Fields = {"referenceImages": _references(14, tag=True, subject=True), **ONE_OR_FOUR}
    for model, prompt, ratios in (
        ("gemini_image3_pro", Text(5500, 3), size.IMAGE3_PRO),
        ("gemini_image3.1_flash", Text(5500), size.FLASH_31),
        ("gemini_image3.1_flash_lite", Text(), size.FLASH_LITE),
    ):
        fields: Fields = {"promptText!": prompt, "ratio!": OneOf(ratios), **shared}
        yield _made_of(model, fields, rules.subjects, closed=model == "gemini_image3_pro")
    banana: Fields = {
        "promptText!": Text(), "ratio!": OneOf(size.BANANA), "referenceImages": _references(14, tag=True),
        "outputCount": Whole(1, MOST_OUTPUTS), "thinkingLevel": OneOf(("minimal", "medium", "high")),
    }  # fmt: skip
    yield _made_of("nano_banana_2.1", banana)


def _seedream() -> Iterator[Row]:
    shared: Fields = {"promptText!": Text(4000), "outputCount": Whole(1, 4), **PNG_OR_JPEG, "grounding": Flag()}
    pro: Fields = {**shared, "ratio!": OneOf(size.SEEDREAM_PRO), "referenceImages": _references(10)}
    yield _made_of("seedream5_pro", pro, closed=True)
    free = Sizes(size.SEEDREAM_LITE, 3_686_400, 16_777_216)
    yield _made_of("seedream5_lite", {**shared, "ratio!": free, "referenceImages": _references(14)}, closed=True)
    flash: Fields = {
        "promptText!": Text(), "ratio!": OneOf(size.SEEDREAM_FLASH), "referenceImages": _references(MOST_REFERENCES),
        "outputCount": Whole(1, MOST_OUTPUTS), **PNG_OR_JPEG,
    }  # fmt: skip
    yield _made_of("seedream5_flash", flash)


def _others() -> Iterator[Row]:
    muse: Fields = {
        "promptText!": Text(4000), "ratio!": OneOf(size.MUSE), "referenceImages": _references(10),
        "outputCount": Whole(1, 10), "outputFormat": OneOf(("webp", "png", "jpeg")),
    }  # fmt: skip
    yield _made_of("muse_image", muse, closed=True)
    grok: Fields = {
        "promptText!": Text(), "ratio!": OneOf(size.GROK), "referenceImages": _references(3),
        "outputCount": Whole(1, 4), "quality": OneOf(("low", "medium")), "edit": Flag(),
    }  # fmt: skip
    yield _made_of("grok_imagine_image_2", grok, rules.edit_needs_reference)


def _bria() -> Iterator[Row]:
    shared: Fields = {"promptText!": Text(), **PNG_OR_JPEG, **WITH_SEED}
    yield _made_of("bria_fibo_1_5", {**shared, "ratio!": OneOf(size.BRIA), "referenceImages": _references(1)})
    edit: Fields = {**shared, "ratio": OneOf(size.BRIA_EDIT), "referenceImages": _references(4, minimum=1)}
    yield _made_of("bria_fibo_edit_1_5", edit, rules.size_of_several)


def _ideogram() -> Iterator[Row]:
    shared: Fields = {"promptText!": Text(), "outputCount": Whole(1, MOST_OUTPUTS)}
    fourth: Fields = {
        "quality": OneOf(("low", "medium", "high")), "ratio": OneOf(size.IDEOGRAM), "referenceImages": _references(1)
    }  # fmt: skip
    yield _made_of("ideogram_4_0", {**shared, **fourth})
    later: Fields = {
        "quality": OneOf(("very_low", "low", "medium", "high")), "ratio": OneOf(size.IDEOGRAM_45),
        "referenceImages": _references(5), "maskUri": PICTURE, "preciseEdit": Flag(),
    }  # fmt: skip
    yield _made_of("ideogram_4_5", {**shared, **later}, rules.ideogram_edit, rules.ideogram_sizes)


def _recraft() -> Iterator[Row]:
    shared: Fields = {"promptText!": Text(), "colors": Items(COLOR), "backgroundColor": COLOR}
    flash: Fields = {
        "ratio!": OneOf(size.RECRAFT), "outputCount": Whole(1, MOST_OUTPUTS), "outputFormat": OneOf(("webp", "png")),
        **WITH_SEED,
    }  # fmt: skip
    yield _made_of("recraft_v4_1_flash", {**shared, **flash})
    yield _made_of("recraft_v4_1_vector", {**shared, "ratio": OneOf(size.RECRAFT_VECTOR)})


def _upscaler() -> Iterator[Row]:
    percent = Whole(0, 100)
    fields: Fields = {
        "imageUri!": PICTURE, "scaleFactor": OneOf((2, 4, 8, 16)), "sharpen": percent, "smartGrain": percent,
        "ultraDetail": percent, "flavor": OneOf(("sublime", "photo", "photo_denoiser")),
    }  # fmt: skip
    yield row(Operation.IMAGE_UPSCALE, "magnific_precision_upscaler_v2", fields, closed=True)
