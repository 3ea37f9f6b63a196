"""One HTTP exchange with a bounded body, and the one kind of request whose first byte is guarded."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesIOPayload

__all__ = ["ERROR_LIMIT", "JSON_LIMIT", "NETWORK_ERRORS", "Answer", "GuardedBody", "cause_of", "read_answer"]

JSON_LIMIT = 1 << 20
ERROR_LIMIT = 64 << 10

NETWORK_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status with its headers and the body up to its limit; `whole` is False where that is not all of it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool


class GuardedBody(BytesIOPayload):
    """A request body that calls `before_send` right before the first byte of the request leaves.

    The connection holds the headers back until the body is first written, so nothing has been sent when the
    call is made; where it raises, nothing ever is. `sent` is whether bytes may have gone out.
    """

    def __init__(self, body: bytes, before_send: Callable[[], None]) -> None:
        super().__init__(io.BytesIO(body), content_type="application/json")
        self._before_send = before_send
        self.sent = False
        self.stopped = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self.stopped = True
        self._before_send()
        self.stopped, self.sent = False, True
        await super().write_with_length(writer, content_length)


async def read_answer(response: aiohttp.ClientResponse) -> Answer:
    """Reads an answer up to its limit; of one that breaks off, what was received."""
    limit = JSON_LIMIT if response.status < 300 else ERROR_LIMIT
    body, ended = bytearray(), True
    try:
        while len(body) <= limit and (chunk := await response.content.read(limit + 1 - len(body))):
            body += chunk
    except NETWORK_ERRORS:
        if not body:
            raise
        ended = False
    whole = ended and len(body) <= limit
    return Answer(status=response.status, headers=response.headers, body=bytes(body[:limit]), whole=whole)


def cause_of(error: BaseException) -> str:
    """Returns the kind of an error; the texts of the HTTP library can hold whole URLs, and a proxy's password."""
    match error:
        case aiohttp.ClientHttpProxyError():
            return f"the proxy answered HTTP {error.status}"
        case aiohttp.ClientProxyConnectionError():
            return "connection to the proxy failed"
        case aiohttp.ClientConnectorDNSError():
            return "name not resolved"
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return "TLS failed"
        case aiohttp.ClientConnectorError():
            return "connection failed"
        case TimeoutError():
            return "timeout"
        case aiohttp.ServerDisconnectedError() | ConnectionError():
            return "connection closed"
        case _:
            return type(error).__name__
