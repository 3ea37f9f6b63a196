"""Pictures and videos that a request names: data URIs, uploads and URLs, each by the provider's rules."""

import asyncio
import json
from collections.abc import AsyncIterator
from io import BytesIO

import aiohttp
import pytest
from aiohttp import web

from tests.loopback import serving_app
from tests.providers.runway.sandbox.driver import (
    HEADERS,
    SAMPLES,
    STEADY,
    Caller,
    Reply,
    body,
    data_uri,
    opened,
    picture,
)


def only_issue(reply: Reply) -> tuple[list[object], str]:
    assert reply.status == 400, reply.data
    assert len(reply.json["issues"]) == 1, reply.json
    issue = reply.json["issues"][0]
    return issue["path"], issue["message"]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://example.com/a.png", "Only HTTPS URLs are allowed."),
        ("https://203.0.113.7/a.png", "URLs must be hosted on a domain."),
        ("nonsense of some length", "Invalid URL"),
        ("data:image/png,notencoded", "Invalid data URI."),
        ("data:image/png;base64,***not base64***", "Invalid data URI."),
        (data_uri(picture(), "image/gif"), "Unsupported asset type. Data URIs must include the content type"),
        (data_uri(b"these bytes are no picture"), "Invalid asset. The image could not be read."),
        ("runway://never-uploaded", "Failed to fetch asset. The URL may be incorrect"),
    ],
)
async def test_a_picture_that_cannot_be_used_is_named_with_its_reason(runway: Caller, uri: str, message: str) -> None:
    path, found = only_issue(await runway.call("POST", "/v1/image_to_video", json=body(promptImage=uri)))

    assert path == ["promptImage"]
    assert found.startswith(message)


async def test_a_data_uri_over_five_mebibytes_is_refused(runway: Caller) -> None:
    uri = "data:image/png;base64," + "A" * (5 * 1024 * 1024)

    sent = BytesIO(json.dumps(body(promptImage=uri)).encode())
    typed = {**HEADERS, "Content-Type": "application/json"}

    path, message = only_issue(await runway.call("POST", "/v1/image_to_video", data=sent, headers=typed))

    assert (path, message) == (["promptImage"], "Too big: expected string to have <=5242880 characters")


@pytest.mark.parametrize(
    ("model", "size", "bound"),
    [
        ("gen4.5", (462, 1000), "at least 0.5. Got 0.462."),
        ("gen4.5", (2001, 1000), "at most 2. Got 2.001."),
        ("gen4_turbo", (2001, 1000), ""),
        ("gen4_turbo", (2400, 1000), "at most 2.358. Got 2.4."),
    ],
)
async def test_aspects_are_held_to_the_limits_of_the_model(
    runway: Caller, model: str, size: tuple[int, int], bound: str
) -> None:
    request = body(model=model, promptImage=[{"uri": data_uri(picture(*size)), "position": "first"}])

    reply = await runway.call("POST", "/v1/image_to_video", json=request)

    if not bound:
        assert reply.status == 200
        return
    path, message = only_issue(reply)
    assert path == ["promptImage", 0, "uri"]
    assert message == f"Invalid asset aspect ratio. width / height ratio must be {bound}"


async def upload(runway: Caller, filename: str, data: bytes, **changes: str) -> tuple[str, int]:
    """Uploads in the two steps and returns the URI and the second step's status."""
    slot = (await runway.call("POST", "/v1/uploads", json={"filename": filename, "type": "ephemeral"})).json
    form = aiohttp.FormData()
    for name, value in {**slot["fields"], **changes}.items():
        form.add_field(name, value)
    form.add_field("file", data, filename=filename)
    return slot["runwayUri"], (await runway.call("POST", slot["uploadUrl"], data=form, headers={})).status


async def test_an_upload_can_be_used_again_and_again_for_a_day(runway: Caller) -> None:
    uri, status = await upload(runway, "rocket.jpg", (SAMPLES / "rocket.jpg").read_bytes())
    await runway.create(promptImage=uri)
    await runway.advance(23 * 3600)
    await runway.create(promptImage=uri)
    await runway.advance(3601)

    assert uri.startswith("runway://")
    assert status == 204
    path, message = only_issue(await runway.call("POST", "/v1/image_to_video", json=body(promptImage=uri)))
    assert (path, message[:22]) == (["promptImage"], "Failed to fetch asset.")


async def test_uploads_are_bounded_signed_and_of_a_media_type(runway: Caller) -> None:
    small = await upload(runway, "a.png", b"x" * 511)
    forged = await upload(runway, "a.png", b"x" * 600, **{"x-amz-signature": "0" * 32})
    reply = await runway.call("POST", "/v1/uploads", json={"filename": "notes.txt", "type": "eternal"})

    assert (small[1], forged[1]) == (400, 403)
    assert [issue["path"] for issue in reply.json["issues"]] == [["filename"], ["type"]]


async def test_an_upload_of_the_wrong_kind_is_refused_where_it_is_used(runway: Caller) -> None:
    uri, _ = await upload(runway, "clip.mp4", b"x" * 600)

    _, message = only_issue(await runway.call("POST", "/v1/image_to_video", json=body(promptImage=uri)))

    assert message == 'Unsupported asset type "video/mp4".'


async def answer_asset(request: web.Request) -> web.StreamResponse:
    """Serves the ways in which an asset server can be right or wrong."""
    png = {"Content-Type": "image/png"}
    match request.path:
        case "/good.png":
            assert request.headers["User-Agent"].startswith("RunwayML API/")
            return web.Response(body=picture(), headers=png)
        case "/missing.png":
            return web.Response(status=404)
        case "/moved.png":
            raise web.HTTPFound("/good.png")
        case "/generic.png":
            return web.Response(body=picture(), content_type="application/octet-stream")
        case "/huge.png":
            return web.Response(body=b"", headers={**png, "Content-Length": str(17 * 1024 * 1024)})
        case "/unsized.png":
            response = web.StreamResponse(headers=png)
            response.enable_chunked_encoding()
            await response.prepare(request)
            return response
        case _:
            await asyncio.Event().wait()
            raise AssertionError


@pytest.fixture
async def asset_host() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{name}", answer_asset)
    async with serving_app(app) as address:
        yield address


async def test_a_url_is_asked_by_head_first_and_held_to_every_rule(asset_host: str) -> None:
    expected = {
        "good.png": "",
        "missing.png": 'Failed to fetch asset. Received HTTP response code "404".',
        "moved.png": 'Failed to fetch asset. Received HTTP response code "302".',
        "generic.png": 'Unsupported asset type "application/octet-stream".',
        "huge.png": "Asset size exceeds 16.0MB",
        "unsized.png": "Failed to fetch asset. The server did not send a valid Content-Length.",
        "endless.png": "Timeout while fetching asset.",
    }
    settings = STEADY.changed({"asset_hosts": [asset_host, "127.0.0.1:1"], "asset_timeout_seconds": 0.3})
    async with opened(settings=settings) as runway:
        found = {}
        for name in expected:
            request = body(promptImage=f"http://{asset_host}/{name}")
            reply = await runway.call("POST", "/v1/image_to_video", json=request)
            found[name] = "" if reply.status == 200 else only_issue(reply)[1]
        down = await runway.call("POST", "/v1/image_to_video", json=body(promptImage="http://127.0.0.1:1/a.png"))

    assert found == expected
    assert only_issue(down)[1].startswith("Failed to fetch asset. The URL may be incorrect or the server")


async def test_a_source_video_is_measured_priced_by_its_length_and_made_into_a_clip(runway: Caller) -> None:
    source = (await runway.call("GET", await runway.done(ratio="960:960", duration=3))).data
    uri, _ = await upload(runway, "source.mp4", source)
    request = {"model": "aleph2", "videoUri": uri, "promptText": "make it rain"}
    reply = await runway.call("POST", "/v1/video_to_video", json=request)
    await runway.advance(60)
    task = await runway.task(reply.json["id"])
    booked = await runway.booked(task["id"])

    assert reply.json["estimatedCost"]["credits"] >= 84
    assert task["cost"] == {"credits": 84}
    assert (booked["width"], booked["height"], booked["clipSeconds"]) == (240, 240, 3)
    assert (await runway.call("GET", task["output"][0])).data[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("model", "made_with", "message"),
    [
        ("aleph2", {"model": "grok_imagine_1_5", "duration": 1}, "Asset duration must be at least 2 seconds"),
        (
            "gemini_omni_flash",
            {"model": "seedance2_mini", "ratio": "640:640", "duration": 11},
            "Asset duration must be at most 10 seconds",
        ),
        ("aleph2", None, "Invalid asset. The video could not be read."),
    ],
)
async def test_a_source_video_of_the_wrong_length_or_no_video_at_all_is_refused(
    runway: Caller, model: str, made_with: dict[str, object] | None, message: str
) -> None:
    source = b"x" * 600
    if made_with is not None:
        request = {"promptImage": data_uri(picture()), "promptText": "x", **made_with}
        task_id = (await runway.call("POST", "/v1/image_to_video", json=request)).json["id"]
        await runway.advance(120)
        source = (await runway.call("GET", (await runway.task(task_id))["output"][0])).data
    uri, _ = await upload(runway, "source.mp4", source)

    request = {"model": model, "videoUri": uri, "promptText": "x"}
    found = only_issue(await runway.call("POST", "/v1/video_to_video", json=request))

    assert found == (["videoUri"], message)
