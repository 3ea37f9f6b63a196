"""Two tables of prices, written apart: what the sandbox charges is never above what the service quotes."""

import itertools
from collections.abc import Iterator
from random import Random

import pytest

from evergreen_server.ports.specs import CLIPS, Json
from evergreen_server.providers.runway.catalog.models import (
    Operation,
    RunwayModels,
    check_body,
    duration_bounds,
    price_bound,
)
from evergreen_server.providers.runway.catalog.rules import Duration, Flag, Number, OneOf, Rule, Text, Whole
from evergreen_server.providers.runway.catalog.shapes import Frames, Items, Object, Uri
from evergreen_server.providers.runway.catalog.table import TABLE
from evergreen_server.providers.runway.sandbox.generation.assets import Asset, named_in
from evergreen_server.providers.runway.sandbox.generation.prices import Order, charge
from evergreen_server.providers.runway.sandbox.generation.shape import clip_seconds
from tests.providers.runway.sandbox.driver import Caller, body, data_uri, picture
from tests.providers.runway.sandbox.made import clip, sound

DRAWN_PER_ROW = 150
ROWS = [key for key in TABLE if key[0] in CLIPS]


def drawn(rule: Rule, source: Random) -> Json:
    """Draws a value that the rule takes, mostly."""
    match rule:
        case Text(maximum, minimum):
            return "word " * max(1, minimum)
        case Uri(kind):
            return f"runway://{kind}-{source.randrange(1000)}"
        case OneOf(values):
            return source.choice(values)
        case Flag():
            return source.random() < 0.5
        case Duration(low, high, auto):
            return "auto" if auto and source.random() < 0.3 else source.randint(low or 1, high or 30)
        case Whole(low, high):
            return source.randint(low or 0, high or 10)
        case Number(low, high):
            return round(source.uniform(low or 0.0, high or 1.0), 2)
        case Items(item, maximum, minimum):
            return [drawn(item, source) for _ in range(source.randint(max(minimum, 1), min(maximum or 4, 10)))]
        case Frames(mode):
            loose: list[Json] = [{"uri": "runway://picture-1"}] * source.randint(1, 9)
            first: list[Json] = [{"uri": "runway://picture-1", "position": "first"}]
            last: list[Json] = [{"uri": "runway://picture-2", "position": "last"}]
            ways: list[Json] = ["runway://picture-1", first]
            ways += [first + last] if mode != "first" else []
            return source.choice([*ways, loose] if mode == "modes" else ways)
        case Object(members, required):
            return {
                name: drawn(one, source) for name, one in members.items() if name in required or source.random() < 0.3
            }
    raise AssertionError(rule)


def bodies(operation: Operation, model: str, source: Random) -> Iterator[dict[str, Json]]:
    """Draws bodies that the table accepts."""
    row, found = TABLE[operation, model], 0
    for _ in range(DRAWN_PER_ROW * 20):
        keep = source.random()
        made: dict[str, Json] = {"model": model}
        for name, rule in row.fields.items():
            if name in row.required or (source.random() < keep and name != "draftTaskId"):
                made[name] = drawn(rule, source)
        if not check_body(operation, made):
            found += 1
            yield made
        if found == DRAWN_PER_ROW:
            return
    assert found > 20, f"too few bodies for {operation} {model}"


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
