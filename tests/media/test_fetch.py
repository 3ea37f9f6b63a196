import asyncio
import tracemalloc
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import ResolveResult

from evergreen_server.media.guard import NotPublic, guarded_socket
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media
from evergreen_server.ports.media import MediaRefused, MediaUnreachable
from evergreen_server.ports.specs import Kind
from tests.loopback import listening
from tests.media.web import Names, Web, response, silent

JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 2000
MP4 = b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 2000


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def internal(web: Web, path: str = "/a.jpg") -> str:
    return f"http://pictures.internal:{web.port}{path}"


async def fetched(media: Media, uri: str, kind: Kind = Kind.PICTURE) -> bytes:
    async with media.fetch(uri, kind, owner="p") as body:
        return body.path.read_bytes()


async def refusal(media: Media, uri: str, kind: Kind = Kind.PICTURE) -> MediaRefused:
    with pytest.raises(MediaRefused) as caught:
        await fetched(media, uri, kind)
    return caught.value


async def failure(media: Media, uri: str, kind: Kind = Kind.PICTURE) -> str:
    with pytest.raises(MediaUnreachable) as caught:
        await fetched(media, uri, kind)
    return str(caught.value)


async def test_a_body_lies_in_a_file_until_the_context_ends(media: Media, web: Web, tmp_path: Path) -> None:
    web.routes["/a.jpg"] = response(JPEG, content_type="text/plain")

    async with media.fetch(internal(web), Kind.PICTURE, owner="p") as body:
        assert body.path.parent == tmp_path
        assert body.path.read_bytes() == JPEG
        assert (body.size, body.content_type) == (len(JPEG), "image/jpeg")

    assert left_in(tmp_path) == []


async def test_a_request_carries_no_cookie_and_asks_for_no_compression(media: Media, web: Web) -> None:
    web.routes["/a.jpg"] = response(b"", status=302, location="/b.jpg", set_cookie="session=1; Path=/")
    web.routes["/b.jpg"] = response(JPEG)

    await fetched(media, internal(web))

    assert [head.split()[1] for head in web.requests] == ["/a.jpg", "/b.jpg"]
    assert not any("cookie" in head.lower() for head in web.requests)
    assert all("Accept-Encoding: identity" in head for head in web.requests)


async def test_a_signed_url_goes_out_as_it_was_written(media: Media, web: Web) -> None:
    web.routes["/a%2fb.jpg"] = response(JPEG)

    await fetched(media, internal(web, "/a%2fb.jpg?sig=%2F%2b+~"))

    assert web.requests[0].split()[1] == "/a%2fb.jpg?sig=%2F%2b+~"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::1]",
        "[::]",
        "[64:ff9b::7f00:1]",
        "localhost",
        "①②⑦.⓪.⓪.①",
        "169.254.169.254",
    ],
)
async def test_a_host_that_is_not_public_is_refused_without_a_connection(media: Media, web: Web, host: str) -> None:
    refused = await refusal(media, f"http://{host}:{web.port}/a.jpg")

    assert refused.reason == "MEDIA_REFUSED"
    assert "public" in str(refused)
    assert await web.was_untouched()


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "ftp://127.0.0.1:{port}/a.jpg", "data:image/png;base64,AA"])
async def test_another_scheme_is_refused_without_a_connection(media: Media, web: Web, uri: str) -> None:
    refused = await refusal(media, uri.format(port=web.port))

    assert refused.reason == "MEDIA_REFUSED"
    assert await web.was_untouched()


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["10.0.0.7"],
        ["64:ff9b::7f00:1"],
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
    ],
)
async def test_a_public_name_with_a_private_address_is_refused_without_a_connection(
    media: Media, web: Web, names: Names, addresses: list[str]
) -> None:
    names.add("pictures.example.com", addresses)

    refused = await refusal(media, f"http://pictures.example.com:{web.port}/a.jpg?secret=1")

    assert refused.reason == "MEDIA_REFUSED"
    assert "pictures.example.com is not at a public address" in str(refused)
    assert await web.was_untouched()


class Rebinding(list[ResolveResult]):
    """One answer that is public for who reads it first, and private for who reads it then."""

    reads = 0

    def __iter__(self):  # type: ignore[no-untyped-def]  # the list's own signature
        self.reads += 1
        for answer in super().__iter__():
            yield {**answer, "host": "8.8.8.8" if self.reads == 1 else "127.0.0.1"}


async def test_an_answer_that_changes_after_it_was_checked_is_refused_without_a_connection(
    limits: MediaLimits, web: Web, tmp_path: Path
) -> None:
    class RebindingNames(Names):
        async def resolve(self, *args, **kwargs):  # type: ignore[no-untyped-def]  # passed through as it comes
            self.answer = Rebinding(await super().resolve(*args, **kwargs))
            return self.answer

    names = RebindingNames()
    names.add("rebind.example.com", ["8.8.8.8"])
    async with Media(private_hosts=(), limits=limits, resolver=names, temp_dir=tmp_path) as media:
        refused = await refusal(media, f"http://rebind.example.com:{web.port}/")

    assert names.answer.reads == 2
    assert "not at a public address" in str(refused)
    assert await web.was_untouched()


async def test_the_guard_of_the_socket_stands_alone(web: Web) -> None:
    connector = aiohttp.TCPConnector(socket_factory=guarded_socket)
    async with aiohttp.ClientSession(connector=connector) as session:
        for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "localhost"):
            with pytest.raises(aiohttp.ClientConnectorError) as caught:
                await session.get(f"http://{host}:{web.port}/")
            assert isinstance(caught.value.os_error, NotPublic)

    assert await web.was_untouched()


async def test_a_trusted_host_is_trusted_by_name_and_not_by_address(media: Media, web: Web, names: Names) -> None:
    names.add("pictures.internal.example.com", ["127.0.0.1"])

    assert (await refusal(media, f"http://pictures.internal.example.com:{web.port}/")).reason == "MEDIA_REFUSED"
    assert (await refusal(media, f"http://127.0.0.1:{web.port}/")).reason == "MEDIA_REFUSED"
    assert await web.was_untouched()


async def test_a_host_trusted_with_its_port_is_trusted_on_no_other(
    limits: MediaLimits, web: Web, names: Names, tmp_path: Path
) -> None:
    web.routes["/a.jpg"] = response(JPEG)
    hosts = frozenset({f"127.0.0.1:{web.port}", "pictures.internal:1"})
    async with Media(private_hosts=hosts, limits=limits, resolver=names, temp_dir=tmp_path) as media:
        assert await fetched(media, f"http://127.0.0.1:{web.port}/a.jpg") == JPEG
        assert "public" in str(await refusal(media, internal(web)))


async def test_names_are_resolved_by_the_system_where_no_resolver_is_given(web: Web, tmp_path: Path) -> None:
    web.routes["/a.jpg"] = response(JPEG)
    async with Media(private_hosts={"localhost"}, limits=MediaLimits(), temp_dir=tmp_path) as media:
        assert await fetched(media, f"http://localhost:{web.port}/a.jpg") == JPEG
        assert "does not resolve" in await failure(media, "http://no-such-name.invalid/")


async def test_three_redirects_are_followed_and_no_more(media: Media, web: Web) -> None:
    for number in range(4):
        web.routes[f"/{number}"] = response(b"", status=301 + number % 2, location=f"/{number + 1}")
    web.routes["/4"] = response(JPEG)

    assert await fetched(media, internal(web, "/1")) == JPEG
    assert "redirects" in str(await refusal(media, internal(web, "/0")))


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/b.jpg",
        "//127.0.0.1:{port}/b.jpg",
        "http://[::ffff:127.0.0.1]:{port}/b.jpg",
        "http://public.example.com:{port}/b.jpg",
        "http://169.254.169.254/",
        "http://user:word@public.example.com/",
        "http://pictures.internal:99999/",
        "file:///etc/passwd",
        "ftp://public.example.com/b.jpg",
        "data:image/png;base64,AAAA",
    ],
)
async def test_a_redirect_is_judged_like_the_first_url(media: Media, web: Web, names: Names, location: str) -> None:
    names.add("public.example.com", ["127.0.0.1"])
    web.routes["/a.jpg"] = response(b"", status=302, location=location.format(port=web.port))
    web.routes["/b.jpg"] = response(JPEG)

    refused = await refusal(media, internal(web))

    assert refused.reason == "MEDIA_REFUSED"
    assert web.connections == 1


@pytest.mark.parametrize("status", [204, 206, 300, 304, 403, 404, 410, 500, 503])
async def test_any_other_status_than_200_is_named(media: Media, web: Web, status: int) -> None:
    web.routes["/a.jpg"] = response(b"", status=status)

    told = await failure(media, internal(web, "/a.jpg?secret=1"))

    assert f"HTTP status {status}" in told
    assert "secret" not in told


async def test_a_transfer_that_fails_says_where(media: Media, web: Web, names: Names) -> None:
    web.routes["/short.jpg"] = response(JPEG, length=len(JPEG) + 1)
    web.routes["/garbage.jpg"] = b"\x00\x01\x02 not http\r\n\r\n"
    web.routes["/closed.jpg"] = b""
    names.add("pictures.internal", ["127.0.0.1"])

    assert "pictures.internal broke off" in await failure(media, internal(web, "/short.jpg?secret=1"))
    assert "pictures.internal broke off" in await failure(media, internal(web, "/garbage.jpg"))
    assert "pictures.internal broke off" in await failure(media, internal(web, "/closed.jpg"))
    assert "no connection to pictures.internal" in await failure(media, "http://pictures.internal:1/a.jpg")
    assert "no-such.example.com does not resolve" in await failure(media, "http://no-such.example.com/")


async def test_a_host_that_speaks_no_tls_is_named(media: Media) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response(b""))

    async with listening(answer) as port:
        assert "no trusted TLS" in await failure(media, f"https://pictures.internal:{port}/a.jpg")


@pytest.mark.parametrize(
    ("head", "limits_changed", "named"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n" + JPEG, {"read_seconds": 0.1}, "silent"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + JPEG, {"picture_seconds": 0.1}, "whole body in 0.1 s"),
        (b"", {"read_seconds": 0.1}, "silent"),
        (b"", {"picture_seconds": 0.1}, "whole body in 0.1 s"),
    ],
)
async def test_a_silent_host_is_given_up(
    limits: MediaLimits,
    names: Names,
    web: Web,
    tmp_path: Path,
    head: bytes,
    limits_changed: dict[str, float],
    named: str,
) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await silent(writer)

    web.routes["/a.jpg"] = answer
    limits = replace(limits, **limits_changed)  # type: ignore[arg-type]  # only the times are given
    async with Media(private_hosts={"pictures.internal"}, limits=limits, resolver=names, temp_dir=tmp_path) as media:
        async with asyncio.timeout(60):
            assert named in await failure(media, internal(web))

    assert left_in(tmp_path) == []


async def test_a_body_that_trickles_is_bounded_by_the_whole_time(
    limits: MediaLimits, names: Names, web: Web, tmp_path: Path
) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + JPEG)
        while True:
            writer.write(b"\x00")
            await writer.drain()
            await asyncio.sleep(0.02)

    web.routes["/a.jpg"] = trickle
    limits = replace(limits, picture_seconds=0.4)
    async with Media(private_hosts={"pictures.internal"}, limits=limits, resolver=names, temp_dir=tmp_path) as media:
        async with asyncio.timeout(60):
            assert "whole body in 0.4 s" in await failure(media, internal(web))

    assert left_in(tmp_path) == []


async def test_an_endless_body_is_cut_at_the_limit_in_bounded_memory(media: Media, web: Web, tmp_path: Path) -> None:
    limit = MediaLimits().picture_bytes
    web.routes["/a.jpg"] = web.endless(b"HTTP/1.1 200 OK\r\n\r\n" + JPEG, bytes(65536))
    tracemalloc.start()
    try:
        refused = await refusal(media, internal(web))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (refused.reason, str(refused)) == ("MEDIA_REFUSED", f"the picture is larger than {limit} bytes")
    async with asyncio.timeout(60):
        await web.closed_by_client.wait()
    assert limit - len(JPEG) < web.sent < limit + 16 * 2**20
    assert peak < 4 * 2**20
    assert left_in(tmp_path) == []


async def test_a_length_over_the_limit_is_refused_before_the_body_is_read(media: Media, web: Web) -> None:
    head = response(b"", length=10**12)
    web.routes["/a.jpg"] = web.endless(head, bytes(65536))

    refused = await refusal(media, internal(web))

    assert refused.reason == "MEDIA_REFUSED"
    async with asyncio.timeout(60):
        await web.closed_by_client.wait()
    assert web.sent < 16 * 2**20


async def test_a_video_may_be_larger_than_a_picture(media: Media, web: Web) -> None:
    body = MP4 + bytes(MediaLimits().picture_bytes)
    web.routes["/a.mp4"] = response(body)

    async with media.fetch(internal(web, "/a.mp4"), Kind.VIDEO, owner="p") as clip:
        assert (clip.size, clip.content_type) == (len(body), "video/mp4")


@pytest.mark.parametrize(
    ("kind", "body", "reason", "named"),
    [
        (Kind.PICTURE, b"", "PICTURE_INVALID", "empty"),
        (Kind.VIDEO, b"", "MEDIA_REFUSED", "empty"),
        (Kind.PICTURE, b"<!DOCTYPE html><html></html>", "MEDIA_REFUSED", "text/html"),
        (Kind.PICTURE, b"\xef\xbb\xbf\n <html><body>Sign in</body></html>", "MEDIA_REFUSED", "text/html"),
        (Kind.PICTURE, b"<svg xmlns='http://www.w3.org/2000/svg'/>", "MEDIA_REFUSED", "text/html"),
        (Kind.PICTURE, b'{"error": "not found"}', "MEDIA_REFUSED", "text/plain"),
        (Kind.PICTURE, b"%PDF-1.7 ...", "MEDIA_REFUSED", "application/pdf"),
        (Kind.PICTURE, MP4, "MEDIA_REFUSED", "video/mp4"),
        (Kind.VIDEO, JPEG, "MEDIA_REFUSED", "image/jpeg"),
        (Kind.VIDEO, b"#EXTM3U\nhttp://127.0.0.1/a.ts\n", "MEDIA_REFUSED", "text/plain"),
        (Kind.VIDEO, b"\x00\x01\x02\x03" * 50, "MEDIA_REFUSED", "no known kind"),
        (Kind.AUDIO, JPEG, "MEDIA_REFUSED", "image/jpeg"),
    ],
)
async def test_a_body_is_judged_by_its_bytes_and_not_by_its_declared_type(
    media: Media, web: Web, kind: Kind, body: bytes, reason: str, named: str
) -> None:
    web.routes["/a"] = response(body, content_type="image/jpeg")

    refused = await refusal(media, internal(web, "/a"), kind)

    assert refused.reason == reason
    assert named in str(refused)
    assert not refused.unreadable


@pytest.mark.parametrize(
    ("kind", "body", "content_type"),
    [
        (Kind.PICTURE, b"\x00\x00\x00\x18ftypheic" + bytes(100), "image/heic"),
        (Kind.PICTURE, b"\x8b\x00\x01\x02" * 50, "application/octet-stream"),
        (Kind.VIDEO, b"\x1aE\xdf\xa3\x01\x42\x82\x84webm" + bytes(100), "video/webm"),
        (Kind.AUDIO, b"ID3\x04" + bytes(100), "audio/mpeg"),
        (Kind.AUDIO, MP4, "audio/mp4"),
        (Kind.AUDIO, b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(100), "audio/wav"),
    ],
)
async def test_a_body_is_named_by_its_bytes(media: Media, web: Web, kind: Kind, body: bytes, content_type: str) -> None:
    web.routes["/a"] = response(body, content_type="text/html")

    async with media.fetch(internal(web, "/a"), kind, owner="p") as fetched:
        assert fetched.content_type == content_type


async def test_a_compressed_body_is_refused_rather_than_unpacked(media: Media, web: Web) -> None:
    web.routes["/a.jpg"] = response(b"\x1f\x8b\x08" + bytes(100), content_encoding="gzip")

    assert "compressed" in str(await refusal(media, internal(web)))


async def test_a_cancelled_fetch_leaves_no_file_and_no_connection(media: Media, web: Web, tmp_path: Path) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + JPEG)
        while True:
            writer.write(b"\x00")
            await writer.drain()
            await asyncio.sleep(0.01)

    web.routes["/a.jpg"] = trickle
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(fetched(media, internal(web)))
        while not left_in(tmp_path):  # noqa: ASYNC110 (a folder gives no event)
            await asyncio.sleep(0)
        task.cancel()

    assert task.cancelled()
    assert left_in(tmp_path) == []
    async with asyncio.timeout(60):
        await web.closed_by_client.wait()


async def test_a_file_is_removed_when_its_user_fails(media: Media, web: Web, tmp_path: Path) -> None:
    web.routes["/a.jpg"] = response(JPEG)

    async def use() -> None:
        async with media.fetch(internal(web), Kind.PICTURE, owner="p"):
            assert len(left_in(tmp_path)) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await use()
    assert left_in(tmp_path) == []


async def test_a_fetch_beyond_the_places_waits_for_a_bounded_time(
    limits: MediaLimits, names: Names, web: Web, tmp_path: Path
) -> None:
    begun = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        begun.set()
        await silent(writer)

    web.routes["/a.jpg"] = answer
    limits = replace(limits, fetches_at_once=1, wait_seconds=0.05)
    async with (
        Media(private_hosts={"pictures.internal"}, limits=limits, resolver=names, temp_dir=tmp_path) as media,
        asyncio.TaskGroup() as tasks,
    ):
        first = tasks.create_task(fetched(media, internal(web)))
        await begun.wait()
        assert "too many fetches" in await failure(media, internal(web))
        first.cancel()


async def test_a_full_disk_is_not_blamed_on_the_url(
    limits: MediaLimits, names: Names, web: Web, tmp_path: Path
) -> None:
    web.routes["/a.jpg"] = response(JPEG)
    async with Media(
        private_hosts={"pictures.internal"}, limits=limits, resolver=names, temp_dir=tmp_path / "missing"
    ) as media:
        with pytest.raises(FileNotFoundError):
            await fetched(media, internal(web))
