"""Assets by HTTP: up from a body, down by ranges, shown or handed over by what they are, and as thumbnails."""

import asyncio
import io
import random
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from google_crc32c import value as crc32c
from PIL import Image

from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Refused
from evergreen_server.gateway.rest.assets import SLICE_BYTES
from tests.gateway.gateways import gateway, head, raw
from tests.serving import Api, first_frame, open_sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = "/api/v1/projects/film/scenes/files/assets"
WHOLE = random.Random(7).randbytes(3 * SLICE_BYTES // 2)
"""Longer than a slice."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with open_sandbox() as sandbox, gateway(tmp_path_factory.mktemp("files") / "data", sandbox) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(api.http) as session:
        yield session


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(http: aiohttp.ClientSession) -> str:
    """The path of a file that is there."""
    status, _ = await put(http, "audio/whole.bin", io.BytesIO(WHOLE))
    assert status == 201
    return f"{ROOT}/audio/whole.bin"


async def put(
    http: aiohttp.ClientSession, path: str, data: object, **headers: str
) -> tuple[int, dict[str, dict[str, object]]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.put(f"{ROOT}/{path}", data=data, headers=named) as answer:
        return answer.status, await answer.json()


async def got(
    http: aiohttp.ClientSession, path: str, verb: str = "GET", **headers: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.request(verb, path, headers=named) as answer:
        return answer, await answer.read()


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    Image.radial_gradient("L").resize((width, height)).convert("RGB").save(target, kind)
    return target.getvalue()


async def test_a_file_comes_back_as_it_was_sent(api: Api, http: aiohttp.ClientSession) -> None:
    data = picture(40, 20)
    status, body = await put(http, "images/a.png", data, X_Evergreen_Crc32c=str(crc32c(data)))
    assert (status, body["asset"]["width"], body["asset"]["sizeBytes"]) == (201, 40, str(len(data)))

    answer, got_back = await got(http, f"{ROOT}/images/a.png")
    top, nothing = await got(http, f"{ROOT}/images/a.png", "HEAD")

    assert (answer.status, got_back, nothing) == (200, data, b"")
    for each in (answer, top):
        assert each.headers["Content-Length"] == str(len(data))
        assert each.headers["ETag"] == f'"{crc32c(data)}-{len(data)}"'
        assert each.headers["Accept-Ranges"] == "bytes"
        assert each.headers["Cache-Control"] == "private, no-cache"
        assert each.headers["Content-Type"] == "image/png"
        assert each.headers["Content-Disposition"] == 'inline; filename="a.png"'
    again, _ = await got(http, f"{ROOT}/images/a.png", If_None_Match=f"W/{answer.headers['ETag']}")
    assert (again.status, again.headers["ETag"]) == (304, answer.headers["ETag"])


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("BYTES= 5-9 ", 5, 10),
        ("bytes=100-", 100, len(WHOLE)),
        ("bytes=-7", len(WHOLE) - 7, len(WHOLE)),
        (f"bytes=-{10**30}", 0, len(WHOLE)),
        (f"bytes={len(WHOLE) - 1}-{10**30}", len(WHOLE) - 1, len(WHOLE)),
        (f"bytes={SLICE_BYTES - 3}-{SLICE_BYTES + 2}", SLICE_BYTES - 3, SLICE_BYTES + 3),
    ],
)
async def test_a_range_is_sent_as_it_was_asked_for(
    http: aiohttp.ClientSession, whole: str, asked: str, start: int, end: int
) -> None:
    answer, data = await got(http, whole, Range=asked)

    assert (answer.status, data) == (206, WHOLE[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(WHOLE)}"


@pytest.mark.parametrize(
    "asked",
    [
        *("bytes=0-1,5-6", "items=0-1", "bytes=9-5", "bytes=-", "bytes=a-b", "bytes=+1-5", ""),
        pytest.param(f"bytes=0-{'9' * 5000}", id="more digits than numbers have"),
    ],
)
async def test_what_is_no_single_range_gets_the_whole_file(http: aiohttp.ClientSession, whole: str, asked: str) -> None:
    answer, data = await got(http, whole, Range=asked)

    assert (answer.status, data == WHOLE) == (200, True)


@pytest.mark.parametrize("asked", [f"bytes={len(WHOLE)}-", f"bytes={10**40}-", "bytes=-0"])
async def test_a_range_beyond_the_end_is_refused_with_the_length(
    http: aiohttp.ClientSession, whole: str, asked: str
) -> None:
    answer, data = await got(http, whole, Range=asked)

    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(WHOLE)}")
    assert b"RANGE_UNSATISFIABLE" in data


async def test_a_range_is_of_the_file_that_its_asker_has(http: aiohttp.ClientSession, whole: str) -> None:
    answer, _ = await got(http, whole, "HEAD")
    tag = answer.headers["ETag"]

    same = await got(http, whole, Range="bytes=1-2", If_Range=tag)
    others = [
        await got(http, whole, Range="bytes=1-2", If_Range=other)
        for other in ('"1-2"', f"W/{tag}", "Wed, 21 Oct 2015 07:28:00 GMT")
    ]

    assert (same[0].status, same[1]) == (206, WHOLE[1:3])
    assert [(answer.status, len(data)) for answer, data in others] == [(200, len(WHOLE))] * 3


@pytest.mark.parametrize(("dest", "length"), [("video", SLICE_BYTES), ("audio", SLICE_BYTES), ("empty", len(WHOLE))])
async def test_a_player_gets_the_first_two_mebibytes_of_what_it_asks_for(
    http: aiohttp.ClientSession, whole: str, dest: str, length: int
) -> None:
    answer, data = await got(http, whole, Range="bytes=0-", Sec_Fetch_Dest=dest)

    assert (answer.status, data == WHOLE[:length]) == (206, True)
    assert answer.headers["Content-Range"] == f"bytes 0-{length - 1}/{len(WHOLE)}"


async def test_an_empty_file_has_no_range(http: aiohttp.ClientSession) -> None:
    await put(http, "audio/empty.bin", b"")

    answer, data = await got(http, f"{ROOT}/audio/empty.bin")
    beyond, _ = await got(http, f"{ROOT}/audio/empty.bin", Range="bytes=0-")

    assert (answer.status, data, beyond.status) == (200, b"", 416)


@pytest.mark.parametrize(
    ("name", "data", "kind", "shown"),
    [
        (
            "a.svg",
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
            "application/octet-stream",
            False,
        ),
        ("a.html", b"<html><script>alert(1)</script></html>", "text/plain; charset=utf-8", False),
        (
            "a.xhtml",
            b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'/>",
            "application/octet-stream",
            False,
        ),
        ("a.js", b"alert(1)", "application/octet-stream", False),
        ("a.pdf", b"%PDF-1.7\n", "application/octet-stream", False),
        ("a.vtt", b"WEBVTT\n\n00:00.000 --> 00:01.000\nhi\n", "text/vtt; charset=utf-8", False),
        ("a.json", b'{"a": 1}', "application/json; charset=utf-8", False),
        ("a.gif", b"GIF89a" + b"/*<html><script>alert(1)</script>*/" * 3, "image/gif", True),
        ("a.jpg", picture(8, 8, "JPEG"), "image/jpeg", True),
    ],
)
async def test_no_file_is_shown_that_a_browser_would_run(
    http: aiohttp.ClientSession, name: str, data: bytes, kind: str, shown: bool
) -> None:
    status, body = await put(http, f"images/{name}", data, Content_Type="text/html")
    assert status == 201, body

    answer, got_back = await got(http, f"{ROOT}/images/{name}")

    assert (answer.status, got_back) == (200, data)
    types = {kind} if shown else {kind, "application/octet-stream", "text/plain; charset=utf-8"}
    assert answer.headers["Content-Type"] in types
    assert answer.headers["Content-Disposition"].startswith("inline" if shown else "attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_a_clip_and_its_poster_are_kept_for_good_and_have_thumbnails(
    api: Api, http: aiohttp.ClientSession
) -> None:
    job = await api.finished((await api.generate(scene_id="files", model="gen4_turbo", media=[first_frame()])).job_id)
    (output,) = job.outputs

    clip, data = await got(http, f"{ROOT}/{output.asset}")
    small, thumbnail = await got(http, f"{ROOT}/{output.asset}?w=100")
    same, poster = await got(http, f"{ROOT}/{output.poster}?w=160")

    assert (clip.status, len(data), clip.headers["Content-Type"]) == (200, output.size_bytes, "video/mp4")
    assert {each.headers["Cache-Control"] for each in (clip, small, same)} == {"private, max-age=31536000, immutable"}
    assert (small.status, small.headers["Content-Type"], thumbnail) == (200, "image/jpeg", poster)
    assert Image.open(io.BytesIO(thumbnail)).format == "JPEG"


@pytest.mark.parametrize(
    ("asked", "size"),
    [("1", (160, 80)), ("160", (160, 80)), ("161", (320, 160)), ("1280", (400, 200))],
)
async def test_a_thumbnail_has_one_of_a_few_widths_and_never_more_than_its_picture(
    http: aiohttp.ClientSession, asked: str, size: tuple[int, int]
) -> None:
    await put(http, "images/wide.png", picture(400, 200))

    answer, data = await got(http, f"{ROOT}/images/wide.png?w={asked}")

    assert (answer.status, Image.open(io.BytesIO(data)).size) == (200, size)
    again, _ = await got(http, f"{ROOT}/images/wide.png?w={asked}", If_None_Match=answer.headers["ETag"])
    assert again.status == 304


async def test_a_replaced_picture_has_another_thumbnail(http: aiohttp.ClientSession) -> None:
    await put(http, "images/new.png", picture(300, 100))
    first, _ = await got(http, f"{ROOT}/images/new.png?w=160")
    await put(http, "images/new.png?overwrite", picture(300, 300))
    second, data = await got(http, f"{ROOT}/images/new.png?w=160")

    assert first.headers["ETag"] != second.headers["ETag"]
    assert Image.open(io.BytesIO(data)).size == (160, 160)


@pytest.mark.parametrize("asked", ["w=0", "w=1281", "w=-5", "w=large", "w=", "w=1&w=2", "w=%C2%B2", "width=3"])
async def test_other_widths_are_refused(http: aiohttp.ClientSession, whole: str, asked: str) -> None:
    answer, data = await got(http, f"{whole}?{asked}")

    assert (answer.status, b"INVALID_REQUEST" in data) == (400, True)


async def test_what_is_no_picture_has_no_thumbnail(http: aiohttp.ClientSession, whole: str) -> None:
    broken = picture(100, 100)[:400]
    await put(http, "images/broken.png", broken)

    for path in (whole, f"{ROOT}/images/broken.png"):
        answer, data = await got(http, f"{path}?w=160")
        assert (answer.status, b'"field": "w"' in data) == (400, True)


async def test_files_that_are_not_there_and_paths_that_lead_elsewhere(http: aiohttp.ClientSession) -> None:
    found = {}
    for path in ("images/none.png", "nowhere/a.png", "images/..%2fscene.json", "images/CON", "metadata/none.json"):
        answer, _ = await got(http, f"{ROOT}/{path}")
        found[path] = answer.status

    assert found == {
        "images/none.png": 404,
        "nowhere/a.png": 400,
        "images/..%2fscene.json": 400,
        "images/CON": 400,
        "metadata/none.json": 404,
    }


@pytest.mark.parametrize(
    ("path", "headers", "status", "reason"),
    [
        ("images/x.png?overwrite=perhaps", {}, 400, "INVALID_REQUEST"),
        ("images/x.png?overwrite&overwrite", {}, 400, "INVALID_REQUEST"),
        ("images/x.png?force", {}, 400, "INVALID_REQUEST"),
        ("images/x.png", {"X-Evergreen-Crc32c": "1"}, 400, "INVALID_REQUEST"),
        ("images/x.png", {"X-Evergreen-Crc32c": "0x1"}, 400, "INVALID_REQUEST"),
        ("images/x.png", {"X-Evergreen-Crc32c": "4294967296"}, 400, "INVALID_REQUEST"),
        ("images/x.png", {"Content-Type": "multipart/form-data; boundary=a"}, 415, "CONTENT_TYPE_UNSUPPORTED"),
        ("images/x.png", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "CONTENT_TYPE_UNSUPPORTED"),
        ("images/x.png", {"Content-Type": "no type"}, 400, "INVALID_REQUEST"),
        ("images/x.png", {"Content-Encoding": "gzip"}, 415, "COMPRESSION_UNSUPPORTED"),
        ("metadata/x.json", {}, 400, "INVALID_REQUEST"),
        ("images/01890000-0000-7000-8000-000000000000-1.png", {}, 400, "SCENE_BUSY"),
        ("audio/whole.bin", {}, 409, "ASSET_EXISTS"),
    ],
)
async def test_an_upload_that_is_not_as_it_says_keeps_nothing(
    api: Api, http: aiohttp.ClientSession, whole: str, path: str, headers: dict[str, str], status: int, reason: str
) -> None:
    answer, body = await put(http, path, b"not the file", **headers)

    assert (answer, body["reason"]) == (status, reason)
    there = await got(http, f"{ROOT}/{path.partition('?')[0]}")
    assert there[0].status in (400, 404) or there[1] == WHOLE


async def test_a_body_of_unknown_length_is_taken_in_pieces(http: aiohttp.ClientSession) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(WHOLE), 50_000):
            yield WHOLE[at : at + 50_000]

    status, body = await put(http, "audio/pieces.bin", pieces())

    assert (status, body["asset"]["crc32c"]) == (201, crc32c(WHOLE))


async def test_a_body_that_is_shorter_or_longer_than_announced_is_refused(
    api: Api, http: aiohttp.ClientSession
) -> None:
    path = f"{ROOT}/audio/lies.bin"
    reader, writer = await asyncio.open_connection(*api.http.removeprefix("http://").split(":"))
    writer.write(head("PUT", path, "Content-Length: 100") + b"only this")
    writer.write_eof()
    short = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    assert b" 201 " not in short
    assert (await got(http, path))[0].status == 404

    answer = await raw(api.http, head("PUT", path, "Content-Length: 4") + b"four and more\r\n\r\n")
    assert answer.status == 400
    assert (await got(http, path))[0].status == 404


async def test_a_large_upload_is_refused_before_it_is_sent_if_its_sender_asks(api: Api, whole: str) -> None:
    fields = ("Content-Length: 1000000000", "Expect: 100-continue", "Content-Type: multipart/form-data")

    answer = await raw(api.http, head("PUT", f"{ROOT}/audio/huge.bin", *fields))

    assert answer.status == 415


async def test_a_caller_with_many_files_leaves_places_to_another() -> None:
    """One alone gets half of them, and another finds one at once."""
    places = Places(files=100_000)
    for place, most in ((places.transfer, 18), (places.slice, 32), (places.thumbnail, 2)):
        held = [place("greedy") for _ in range(most)]
        for each in held:
            await each.__aenter__()
        waiting = asyncio.ensure_future(place("greedy").__aenter__())
        async with asyncio.timeout(5), place("honest"):
            assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        for each in held:
            await each.__aexit__(None, None, None)


async def test_who_waits_too_long_for_a_place_is_told_when_to_come_back() -> None:
    places = Places(files=100_000, transfer_seconds=0.01)
    held = [places.thumbnail("greedy") for _ in range(2)]
    for each in held:
        await each.__aenter__()

    with pytest.raises(Refused) as caught:
        await places.thumbnail("greedy").__aenter__()

    assert (caught.value.fault.http, caught.value.fault.reason) == (503, "TOO_MANY_TRANSFERS")
    assert caught.value.fault.all_headers()["Retry-After"] == "1"
    for each in held:
        await each.__aexit__(None, None, None)
