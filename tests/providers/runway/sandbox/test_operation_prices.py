"""Two tables of prices, written apart, for everything that is no clip: no charge is above its quote."""

from random import Random

import pytest

from evergreen_server.ports.specs import CLIPS, Json
from evergreen_server.providers.runway.catalog.media_rules import MOST_FRAME_RATE, source_rule
from evergreen_server.providers.runway.catalog.models import Operation, price_bound
from evergreen_server.providers.runway.catalog.pricing.operation_prices import OPERATION_PRICES
from evergreen_server.providers.runway.catalog.rows.table import TABLE
from evergreen_server.providers.runway.sandbox.generation.assets import Asset, named_in
from evergreen_server.providers.runway.sandbox.generation.prices import Order, charge
from evergreen_server.providers.runway.sandbox.generation.products import product_of
from tests.providers.runway.sandbox.drawing import bodies

LONGEST = 600.0
"""Seconds of a source for which no bound is known."""
WITHOUT_QUOTE = {"seed_audio"}
"""Models with a price whose output may be of any length."""


def measured(operation: Operation, model: str, body: dict[str, Json], source: Random) -> list[Asset]:
    """Draws the media that a body names, as large and long as they may be."""
    rule = source_rule(operation, model)
    most = source.choice([rule.max_seconds or LONGEST, source.uniform(rule.min_seconds or 0.1, 30.0)])
    return [
        Asset(
            place=one.place,
            digest="",
            kind=one.kind,
            width=source.choice([300, 1030, 1280, 4000]),
            height=source.choice([300, 720, 1600, 4000]),
            seconds=0.0 if one.kind == "image" else min(most, rule.max_seconds or LONGEST),
            frame_rate=source.choice([24.0, 29.97, MOST_FRAME_RATE]),
            sound=True,
        )
        for one in named_in(body)
    ]


def source_seconds(operation: Operation, media: list[Asset]) -> float | None:
    """Returns how long the source is that is paid for, as a careful caller would say it."""
    place = "reference" if operation is Operation.CHARACTER_PERFORMANCE else ""
    return max((one.seconds for one in media if place in ("", one.place[0])), default=None)


@pytest.mark.parametrize(("operation", "model"), OPERATION_PRICES, ids=lambda part: str(part))
def test_no_quote_is_below_the_charge(operation: Operation, model: str) -> None:
    source, low, quotes = Random(f"{operation}{model}"), [], 0
    for made in bodies(operation, model, source):
        media = measured(operation, model, made, source)
        order = Order(operation=operation, body=made, media=media, seconds=product_of(operation, made, media).seconds)
        charged = charge(order)
        for seconds in (None, source_seconds(operation, media)):
            quoted = price_bound(operation, made, source_seconds=seconds)
            quotes += quoted is not None
            if quoted is not None and quoted < charged:
                low.append((made, media, seconds, quoted, charged))

    assert low == []
    assert quotes or model in WITHOUT_QUOTE


def test_every_row_has_a_price_or_is_known_to_have_none() -> None:
    unknown = {model for operation, model in TABLE if operation not in CLIPS} - {model for _, model in OPERATION_PRICES}

    assert unknown == {
        "gpt_image_2_5_flare", "gpt_image_2_5_sunburst", "gemini_image3.1_flash", "gemini_image3.1_flash_lite",
        "nano_banana_2.1", "seedream5_flash", "bria_fibo_edit_1_5", "recraft_v4_1_flash", "recraft_v4_1_vector",
        "eleven_v4", "mirelo_sfx_2_0", "gwm1_avatars",
    }  # fmt: skip
    assert OPERATION_PRICES.keys() <= TABLE.keys()
