"""Hostile receivers, hostile URLs, and greedy owners of webhooks beside honest ones."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from evergreen_server.webhooks.model import Attempt, WebhookFilter
from evergreen_server.webhooks.sender import Sender
from evergreen_server.webhooks.urls import Receivers
from tests.webhooks.office import ALL, START, Got, office, receiving, status, well

Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SECONDS = 1.0
"""That a send may take in these tests."""

REFUSED = {
    "": "must not be empty",
    "ftp://studio.example/": "must begin with https",
    "http://studio.example/": "must begin with https://",
    "https://user@studio.example/": "user name or password",
    "https://user:password@studio.example/": "user name or password",
    "https://@studio.example/": "user name or password",
    "https://studio.example:22/": "port must be 443 or above 1023",
    "https://studio.example:80/": "port must be 443 or above 1023",
    "https://studio.example:0/": "",
    "https://studio.example:99999/": "malformed",
    "https://127.0.0.1/": "not a public address",
    "https://127.1/": "not a public address",
    "https://2130706433/": "not a public address",
    "https://0x7f.1/": "not a public address",
    "https://[::1]/": "not a public address",
    "https://[::ffff:10.0.0.1]/": "not a public address",
    "https://10.0.0.1/": "not a public address",
    "https://169.254.169.254/latest/meta-data": "not a public address",
    "https://[fe80::1]/": "not a public address",
    "https://localhost/": "this machine",
    "https://a.localhost/": "this machine",
    "https://": "names no host",
    "https://studio.example/a b": "a space",
    "https://studio.example/\r\nx: y": "a space",
    "https://studio.example\\@evil.example/": "a backslash",
    "https://studio.example/#part": "fragment",
    "https://studio.example/" + "x" * 3000: "at most 2000 characters",
    "data:text/plain,x": "",
    "javascript:alert(1)": "must begin with https",
}


@pytest.mark.parametrize("url", REFUSED, ids=lambda url: repr(url[:40]))
def test_a_url_that_leads_inside_or_means_something_else_is_refused_by_its_text(url: str) -> None:
    error = Receivers(private_hosts=["hooks.internal"]).error(url)
    assert error is not None
    assert REFUSED[url] in error


@pytest.mark.parametrize(
    "url",
    [
        "https://studio.example/in?token=a%20b",
        "https://studio.example:8443/",
        "https://93.184.216.34/",
        "http://hooks.internal:80/in",
        "https://hooks.internal:22/",
    ],
)
def test_a_url_of_the_outside_is_taken_and_of_the_inside_one_that_the_operator_names(url: str) -> None:
    assert Receivers(private_hosts=["hooks.internal"]).error(url) is None


class Names(AbstractResolver):
    """Answers with other addresses each time it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(hostname=host, host=each, port=port, family=socket.AF_INET, proto=0, flags=0)
            for each in addresses
        ]

    async def close(self) -> None: ...


async def sent(url: str, resolver: AbstractResolver | None = None, *, hosts: tuple[str, ...] = ()) -> Attempt:
    receivers = Receivers(private_hosts=hosts)
    async with Sender(receivers=receivers, resolver=resolver or Names(["127.0.0.1"]), send_seconds=SECONDS) as sender:
        return await sender.send(url, ["whsec_" + "A" * 44], message_id="m", body=b"{}", at=START)


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.1.2.3"], ["169.254.169.254"], ["93.184.216.34", "127.0.0.1"], ["224.0.0.1"]]
)
async def test_nothing_is_sent_to_a_name_with_an_address_inside(addresses: list[str]) -> None:
    attempt = await sent("https://rebinds.example/", Names(addresses))
    assert (attempt.succeeded, attempt.status) == (False, 0)
    assert attempt.error == "the URL's host has an address that is not public"


async def test_a_stored_url_is_judged_again_when_it_is_sent() -> None:
    attempt = await sent("http://127.0.0.1:1/")
    assert attempt.error == "the URL must begin with https://; the URL's host is not a public address"


@asynccontextmanager
async def raw(behave: Behave) -> AsyncIterator[str]:
    """A receiver that is no HTTP server."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            await behave(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in serving:
            task.cancel()


async def never(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()
    await asyncio.Event().wait()


async def byte_by_byte(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.01)


async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def endless_head(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x: " + b"y" * 65_536 + b"\r\n")
        await writer.drain()


async def slow_body(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nok")
    await writer.drain()
    await asyncio.Event().wait()


async def closes(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    pass


async def babbles(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n\r\n")
    await writer.drain()


async def cut_off(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nok")
    await writer.drain()


async def bomb(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\n\x1f\x8b\x08\x00\x00")
    await writer.drain()


@pytest.mark.parametrize(
    ("behave", "succeeded", "error"),
    [
        (never, False, "no answer within 1 s"),
        (byte_by_byte, False, "no answer within 1 s"),
        (endless, True, ""),
        (endless_head, False, "the receiver's answer makes no sense"),
        (slow_body, True, ""),
        (closes, False, "the receiver closed the connection without an answer"),
        (babbles, False, "the receiver's answer makes no sense"),
        (cut_off, True, ""),
        (bomb, True, ""),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_whatever_a_receiver_does_a_send_ends_in_time_and_says_why(
    behave: Behave, succeeded: bool, error: str
) -> None:
    async with raw(behave) as url:
        attempt = await asyncio.wait_for(sent(url, hosts=("127.0.0.1",)), 30)

    assert (attempt.succeeded, attempt.error) == (succeeded, error)
    assert len(attempt.answer) <= 1024
    assert attempt.milliseconds < 20_000


async def test_no_redirect_is_followed() -> None:
    async with receiving() as inside:

        async def redirect(_got: Got) -> web.StreamResponse:
            return web.Response(status=307, headers={"location": inside.url})

        async with receiving(redirect) as outside:
            attempt = await sent(outside.url, hosts=("127.0.0.1",))

    assert inside.got == []
    assert attempt.error == "the receiver answered with HTTP status 307; redirects are not followed"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("31536000", 86_400),
        ("9" * 400, 86_400),
        ("120", 120),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 86_400),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("-5", None),
        ("soon", None),
        ("٣", None),
    ],
)
async def test_retry_after_is_heeded_up_to_a_day_whatever_it_says(header: str, seconds: float | None) -> None:
    async with receiving(status(429, Retry_After=header)) as receiver:
        attempt = await sent(receiver.url, hosts=("127.0.0.1",))

    assert attempt.retry_after_seconds == seconds


async def test_receivers_that_hang_hold_up_no_other(tmp_path: Path) -> None:
    """The honest ones' requests all come while each request to the others still hangs."""
    release = asyncio.Event()

    async def hang(_got: Got) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    async with (
        office(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as of,
        receiving(hang) as hanging,
        receiving(well) as honest,
    ):
        for _ in range(60):
            await of.hook(hanging.url, "greedy")
        for _ in range(10):
            await of.hook(honest.url, "honest")
        for _ in range(5):
            await of.accept("greedy")
        await hanging.until(6)
        for _ in range(20):
            await of.accept("honest")
        await honest.until(200)
        assert len(hanging.got) == 6, "half of what new ones have, and one at a time for each"
        release.set()
        await hanging.until(300)


async def test_a_project_with_a_hundred_webhooks_takes_turns_with_one_that_has_one(tmp_path: Path) -> None:
    order: list[str] = []

    async def note(got: Got) -> web.StreamResponse:
        order.append(got.path)
        return web.Response()

    async with office(f"sqlite:///{tmp_path / 'jobs.sqlite'}", sending=False) as of, receiving(note) as receiver:
        for _ in range(100):
            await of.door.create(
                url=f"{receiver.url}/greedy",
                wanted=WebhookFilter(projects=("greedy",), types=ALL),
                description="",
                asked=None,
            )
        await of.hook(f"{receiver.url}/honest", "honest")
        for _ in range(5):
            await of.accept("greedy")
        await of.accept("honest")
        await of.outbox.sweep()
        sending = asyncio.create_task(of.dispatcher.run())
        await receiver.until(501)
        sending.cancel()
        await asyncio.wait([sending])

    assert order.index("/honest") < 60, "among the first that were sent at all"
