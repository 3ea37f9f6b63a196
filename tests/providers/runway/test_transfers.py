"""Uploads and downloads over real sockets."""

import errno
from contextlib import AbstractAsyncContextManager

import pytest

from evergreen_server.ports.provider import (
    DailyLimitReached,
    Download,
    OutputUnavailable,
    ProviderUnavailable,
    Read,
    Refused,
)
from evergreen_server.ports.specs import Json
from evergreen_server.providers.runway.http.client import Timeouts
from tests.providers.runway.scripted import Act, Naps, Partial, answer, client_for, scripted

BODY = bytes(range(256)) * 8192  # 2 MiB
JWT = "/v.mp4?_jwt=a%2Fb+c"


def slot(url: str) -> bytes:
    fields: Json = {"key": "k/1", "policy": "p"}
    return answer(200, {"uploadUrl": f"{url}/store?sig=1", "fields": fields, "runwayUri": "runway://made"})


PICTURE = b"\x89PNG" + bytes(5_000_000)


def reading(data: bytes) -> Read:
    async def read(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    return read


async def read(download: Download) -> bytes:
    return b"".join([chunk async for chunk in download.chunks])


async def test_an_upload_asks_for_a_slot_and_stores_the_file_there_without_the_key() -> None:
    async with scripted() as script, client_for(script.url) as client:
        script.acts += [slot(script.url), answer(204)]
        assert await client.upload("picture.png", "image/png", len(PICTURE), reading(PICTURE)) == "runway://made"

    asked, stored = script.requests
    assert asked.body == b'{"filename": "picture.png", "type": "ephemeral"}'
    assert (stored.method, stored.target) == ("POST", "/store?sig=1")
    assert "authorization" not in stored.headers
    assert "x-runway-version" not in stored.headers
    assert stored.headers["content-type"].startswith("multipart/form-data")
    key, policy, file = (stored.body.index(part) for part in (b'name="key"', b'name="policy"', b'name="file"'))
    assert key < policy < file
    assert b"Content-Type: image/png" in stored.body
    assert PICTURE in stored.body


@pytest.mark.parametrize("bad", [answer(403), answer(500), Act.CLOSE])
async def test_a_failed_store_starts_again_with_a_new_slot(bad: bytes | Act) -> None:
    naps = Naps()
    async with scripted() as script, client_for(script.url, naps=naps) as client:
        script.acts += [slot(script.url), bad, slot(script.url), answer(201)]
        assert await client.upload("picture.png", "image/png", len(PICTURE), reading(PICTURE)) == "runway://made"

    assert [request.target for request in script.requests] == ["/v1/uploads", "/store?sig=1"] * 2
    assert naps.seconds == [0.5]


@pytest.mark.parametrize("size", [0, 511, 200_000_001])
async def test_a_file_too_small_or_too_large_is_refused_unsent(size: int) -> None:
    async with scripted() as script, client_for(script.url) as client:
        with pytest.raises(Refused, match="512 to 200000000"):
            await client.upload("odd.mp4", "video/mp4", size, reading(b""))

    assert script.connections == 0


async def test_the_upload_rate_limit_and_refusals_are_told() -> None:
    limited = answer(429, {"error": "slow"}, {"Retry-After": "9"})
    async with scripted(limited, answer(400, {"error": "bad name"})) as script, client_for(script.url) as client:
        with pytest.raises(DailyLimitReached) as raised:
            await client.upload("picture.png", "image/png", len(PICTURE), reading(PICTURE))
        with pytest.raises(Refused, match="bad name"):
            await client.upload("picture.png", "image/png", len(PICTURE), reading(PICTURE))

    assert raised.value.retry_after_seconds == 9


async def test_an_upload_that_storage_keeps_refusing_is_refused() -> None:
    async with scripted() as script, client_for(script.url) as client:
        script.acts += [slot(script.url), answer(403)] * 4
        with pytest.raises(Refused, match="HTTP 403"):
            await client.upload("picture.png", "image/png", len(PICTURE), reading(PICTURE))


async def test_what_the_file_itself_raises_is_no_fault_of_the_provider() -> None:
    async def broken(_offset: int, _size: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    async with scripted() as script, client_for(script.url) as client:
        script.acts += [slot(script.url), answer(201)]
        with pytest.raises(OSError, match="Input/output error"):
            await client.upload("picture.png", "image/png", len(PICTURE), broken)


async def test_a_file_that_became_shorter_is_not_taken_for_whole() -> None:
    async with scripted() as script, client_for(script.url) as client:
        script.acts += [slot(script.url), answer(201)]
        with pytest.raises(OSError, match="shorter"):
            await client.upload("picture.png", "image/png", len(PICTURE), reading(PICTURE[:-1]))


async def test_an_upload_that_never_works_is_unavailable() -> None:
    async with scripted() as script, client_for(script.url) as client:
        script.acts += [slot(script.url), answer(500)] * 4
        with pytest.raises(ProviderUnavailable):
            await client.upload("picture.png", "image/png", len(PICTURE), reading(PICTURE))


async def test_a_download_streams_the_body_in_bounded_pieces_without_the_key() -> None:
    async with (
        scripted(answer(200, BODY, {"Content-Type": "video/mp4"})) as script,
        client_for(script.url) as client,
        client.download(script.url + JWT) as download,
    ):
        pieces = [chunk async for chunk in download.chunks]

    assert (download.size, download.offset, download.content_type) == (len(BODY), 0, "video/mp4")
    assert b"".join(pieces) == BODY
    assert all(256 << 10 <= len(piece) <= 1 << 20 for piece in pieces[:-1])
    assert len(pieces[-1]) <= 1 << 20
    [request] = script.requests
    assert request.target == JWT
    assert "authorization" not in request.headers
    assert "range" not in request.headers


async def test_a_download_goes_on_from_an_offset() -> None:
    part = answer(206, BODY[1000:], {"Content-Range": f"bytes 1000-{len(BODY) - 1}/{len(BODY)}"})
    async with (
        scripted(part) as script,
        client_for(script.url) as client,
        client.download(script.url + JWT, offset=1000) as download,
    ):
        body = await read(download)

    assert (download.size, download.offset, body) == (len(BODY), 1000, BODY[1000:])
    assert script.requests[0].headers["range"] == "bytes=1000-"


async def test_a_server_without_ranges_starts_from_the_beginning() -> None:
    async with (
        scripted(answer(200, BODY)) as script,
        client_for(script.url) as client,
        client.download(script.url + JWT, offset=1000) as download,
    ):
        body = await read(download)

    assert (download.size, download.offset, body) == (len(BODY), 0, BODY)


async def test_nothing_is_left_to_download_after_the_last_byte() -> None:
    async with (
        scripted(answer(416, b"", {"Content-Range": "bytes */1000"})) as script,
        client_for(script.url) as client,
        client.download(script.url + JWT, offset=1000) as download,
    ):
        chunks = [chunk async for chunk in download.chunks]

    assert (download.size, download.offset, chunks) == (1000, 1000, [])


@pytest.mark.parametrize(
    "broken",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n" + bytes(500),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n",
        Partial(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(500)),
        b"HTTP/1.1 206 OK\r\nContent-Range: bytes 0-499/1000\r\nContent-Length: 500\r\n\r\n" + bytes(500),
    ],
)
async def test_a_body_cut_short_is_told(broken: bytes | Partial) -> None:
    async with (
        scripted(broken) as script,
        client_for(script.url, timeouts=Timeouts(idle=0.2)) as client,
        client.download(script.url + JWT) as download,
    ):
        with pytest.raises(ProviderUnavailable):
            await read(download)


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (401, {}, OutputUnavailable),
        (403, {}, OutputUnavailable),
        (404, {}, OutputUnavailable),
        (410, {}, OutputUnavailable),
        (416, {"Content-Range": "bytes */5"}, ProviderUnavailable),
        (500, {}, ProviderUnavailable),
        (503, {}, ProviderUnavailable),
        (302, {"Location": "/elsewhere"}, ProviderUnavailable),
        (206, {"Content-Range": "bytes 5-9/10"}, ProviderUnavailable),
        (206, {}, ProviderUnavailable),
    ],
)
async def test_an_output_that_does_not_open_is_told(
    status: int, headers: dict[str, str], error: type[Exception]
) -> None:
    async with scripted(answer(status, b"01234", headers)) as script, client_for(script.url) as client:
        with pytest.raises(error) as raised:
            async with client.download(script.url + JWT, offset=1000):
                pass

    assert type(raised.value) is error
    assert "_jwt" not in str(raised.value)
    assert len(script.requests) == 1


async def test_a_silent_or_absent_server_is_unavailable_and_its_url_untold() -> None:
    async with scripted(Act.HANG) as script, client_for(script.url, timeouts=Timeouts(idle=0.2)) as client:
        with pytest.raises(ProviderUnavailable) as silent:
            async with client.download(script.url + JWT):
                pass
    async with client_for(script.url) as client:
        with pytest.raises(ProviderUnavailable) as absent:
            async with client.download(script.url + JWT):
                pass

    assert "_jwt" not in f"{silent.value} {absent.value}"
    assert silent.value.__suppress_context__
    assert absent.value.__suppress_context__


@pytest.mark.parametrize("url", ["http://example.org/v.mp4", "file:///etc/passwd", "https://", "nonsense"])
async def test_only_https_outputs_are_opened_when_the_provider_is_https(url: str) -> None:
    async with client_for("https://127.0.0.1:9") as client:
        with pytest.raises(OutputUnavailable):
            async with client.download(url):
                pass


async def test_an_error_of_the_reader_is_not_taken_for_one_of_the_provider() -> None:
    async with scripted(answer(200, BODY)) as script, client_for(script.url) as client:
        with pytest.raises(OSError, match="disk full"):
            await fill_a_disk(client.download(script.url + JWT))


async def fill_a_disk(opening: AbstractAsyncContextManager[Download]) -> None:
    async with opening as download:
        await anext(download.chunks)
        raise OSError("disk full")
