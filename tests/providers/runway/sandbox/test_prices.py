"""Two tables of prices, written apart: what the sandbox charges is never above what the service quotes."""

import itertools
from random import Random

import pytest

from evergreen_server.ports.specs import CLIPS, Json
from evergreen_server.providers.runway.catalog.models import (
    Operation,
    RunwayModels,
    duration_bounds,
    price_bound,
)
from evergreen_server.providers.runway.catalog.rows.table import TABLE
from evergreen_server.providers.runway.catalog.rules import OneOf
from evergreen_server.providers.runway.sandbox.generation.assets import Asset, named_in
from evergreen_server.providers.runway.sandbox.generation.prices import Order, charge
from evergreen_server.providers.runway.sandbox.generation.shape import clip_seconds
from tests.providers.runway.sandbox.drawing import bodies
from tests.providers.runway.sandbox.driver import Caller, body, data_uri, picture
from tests.providers.runway.sandbox.made import clip, sound

ROWS = [key for key in TABLE if key[0] in CLIPS]


def measured(operation: Operation, body: dict[str, Json], source: Random) -> list[Asset]:
    """Draws the media that the body names, as large and long as they may be."""
    named = list(named_in(body))
    videos = [one for one in named if one.kind == "video"]
    most = {"seedance2_5": 30.0, "aleph2": 30.0, "gemini_omni_flash": 10.0, "kling_4": 30.0}.get(
        str(body["model"]), 15.0
    )
    seconds = source.choice([most, source.uniform(2.0, most)]) / max(1, len(videos))
    return [
        Asset(
            place=one.place,
            digest="",
            kind=one.kind,
            width=0 if one.kind == "audio" else source.choice([640, 1280, 1920, 3840]),
            height=0 if one.kind == "audio" else source.choice([480, 720, 1080, 2160]),
            seconds=seconds if one.kind == "video" else 0.0,
        )
        for one in named
    ]


@pytest.mark.parametrize(("operation", "model"), ROWS, ids=lambda part: str(part))
def test_no_quote_is_below_the_charge(operation: Operation, model: str) -> None:
    source, low = Random(f"{operation}{model}"), []
    for made in bodies(operation, model, source):
        media = measured(operation, made, source)
        video = next((asset for asset in media if asset.kind == "video"), None)
        usual = clip_seconds(operation, made, video)
        # What the request leaves to the provider may come out in any way that the model knows.
        lengths = (
            {usual} if "duration" in made and made["duration"] != "auto" else {usual, _longest(operation, made, video)}
        )
        for seconds in lengths:
            quoted = price_bound(operation, made)
            charged = charge(Order(operation=operation, body=made, media=media, seconds=seconds))
            if quoted is not None and quoted < charged:
                low.append((made, quoted, charged))

    assert low == []


def _longest(operation: Operation, body: dict[str, Json], video: Asset | None) -> float:
    """Returns the longest clip that the provider may make, where its usual length is not known."""
    row = TABLE[operation, str(body["model"])]
    if "duration" not in row.fields:
        return video.seconds if video is not None else 10.0
    bounds = duration_bounds(operation, str(body["model"]))
    known = {"seedance2_5", "kling2.5_turbo_pro"}
    if "duration" not in body and body["model"] in known and operation is not Operation.VIDEO_TO_VIDEO:
        return 5.0
    assert bounds is not None
    return float(bounds[1])


@pytest.mark.parametrize(("operation", "model"), ROWS, ids=lambda part: str(part))
def test_a_size_left_open_is_quoted_at_its_dearest(operation: Operation, model: str) -> None:
    """Only seedance2_5 from pictures and text is documented to take 1280:720 then."""
    row = TABLE[operation, model]
    sizes = [name for name in ("ratio", "resolution") if isinstance(row.fields.get(name), OneOf)]
    plain: dict[str, Json] = {"model": model, "promptText": "a wish", "duration": 10}
    media = []
    if operation is Operation.IMAGE_TO_VIDEO:
        plain["promptImage"] = "runway://picture-1"
        media = measured(operation, plain, Random(1))
    quoted = price_bound(operation, plain)
    rules = [rule for name in sizes if isinstance(rule := row.fields[name], OneOf)]
    for values in itertools.product(*(rule.values for rule in rules)):
        chosen: dict[str, Json] = {**plain, **dict(zip(sizes, values, strict=True))}
        if model == "seedance2_5" and operation is not Operation.VIDEO_TO_VIDEO:
            chosen["ratio"] = "1280:720"
        charged = charge(Order(operation=operation, body=chosen, media=media, seconds=10.0))
        assert quoted is None or charged <= quoted, chosen


async def test_the_sandbox_charges_for_reference_media(runway: Caller) -> None:
    """By the price pages: 5 s at 10, 15 s of input at 10; 4 s of edited video at 11 and a picture."""
    video = {"type": "video", "uri": data_uri(clip(15), "video/mp4")}
    hailuo = {
        "model": "hailuo3",
        "promptText": "a wish",
        "duration": 5,
        "resolution": "768p",
        "referenceVideos": [video],
    }
    edit = {
        "model": "gemini_omni_flash",
        "videoUri": data_uri(clip(4), "video/mp4"),
        "promptText": "a wish",
        "references": [{"uri": data_uri(picture())}],
    }
    grok = {
        "model": "grok_imagine_1_5", "promptText": "a wish", "duration": 5, "resolution": "720p",
        "references": [{"uri": data_uri(picture())}],
        "referenceAudio": [{"type": "audio", "uri": data_uri(sound(4), "audio/wav")}] * 3,
    }  # fmt: skip

    answers = [
        await runway.call("POST", f"/v1/{path}", json=asked)
        for path, asked in (("text_to_video", hailuo), ("video_to_video", edit), ("text_to_video", grok))
    ]

    assert [answer.json["estimatedCost"]["credits"] for answer in answers] == [200, 45, 84]


async def test_a_size_that_is_left_out_is_charged_as_the_documented_one(runway: Caller) -> None:
    answer = await runway.call(
        "POST", "/v1/text_to_video", json={"model": "seedance2_5", "promptText": "a wish", "duration": 5}
    )

    assert answer.json["estimatedCost"] == {"credits": 150}


def test_the_table_is_the_sandboxs_own() -> None:
    """Otherwise a wrong price would be wrong on both sides."""
    order = Order(operation=Operation.IMAGE_TO_VIDEO, body=body(), media=[], seconds=5.0)

    assert charge(order) == 60_000
    assert RunwayModels.__module__ != charge.__module__
