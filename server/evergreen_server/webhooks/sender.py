"""Sends one request to a receiver: signed, to public addresses only, bounded in time and in what is read."""

import asyncio
import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from standardwebhooks.webhooks import Webhook as Signer
from yarl import URL

from evergreen_server.media.guard import NotPublic, guarded_connector, trusting_connector
from evergreen_server.webhooks.model import Attempt
from evergreen_server.webhooks.urls import Receivers

__all__ = ["Sender"]

SEND_SECONDS: Final = 15.0
ANSWER_SECONDS: Final = 2.0
"""For the body of an answer, once its status is there."""
READ_BYTES: Final = 4096
KEPT_BYTES: Final = 1024
LONGEST_WAIT: Final = timedelta(days=1)
"""That a receiver may ask for."""
AGENT: Final = "Evergreen-Webhooks/1"


class Sender:
    """Sends over sessions that carry no cookie, no proxy and no credentials of ours. Open as a context."""

    def __init__(self, *, receivers: Receivers, resolver: AbstractResolver, send_seconds: float = SEND_SECONDS) -> None:
        self._receivers = receivers
        self._resolver = resolver
        self._send_seconds = send_seconds

    async def __aenter__(self) -> Self:
        # The socket guard does not know the host name, so trusted hosts have a session of their own.
        self._guarded = _session(guarded_connector(self._resolver))
        self._trusted = _session(trusting_connector(self._resolver))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._guarded.close()
        await self._trusted.close()

    async def send(self, url: str, secrets: Collection[str], *, message_id: str, body: bytes, at: datetime) -> Attempt:
        """Returns what came of one request; signed with each of the secrets."""
        begun = time.monotonic()
        headers = {
            hdrs.CONTENT_TYPE: "application/json",
            hdrs.USER_AGENT: AGENT,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(Signer(secret).sign(message_id, at, body.decode()) for secret in secrets),
        }
        status, answer, error, wait = 0, b"", "", None
        try:
            # Again, since the operator may have changed what is allowed.
            if wrong := self._receivers.error(url):
                raise aiohttp.InvalidURL(url, wrong)
            async with asyncio.timeout(self._send_seconds):
                target = URL(url, encoded=url.isascii())
                session = self._trusted if self._receivers.trusts(target) else self._guarded
                async with session.post(target, data=body, headers=headers, allow_redirects=False) as response:
                    status = response.status
                    wait = _retry_after(response, at)
                    answer = await _read(response)
        except TimeoutError:
            error = "" if status else f"no answer within {self._send_seconds:g} s"
        except (aiohttp.ClientError, OSError, ValueError, LookupError) as exc:
            # The library fails with the last three on answers and addresses that make no sense.
            error = "" if status else _cause(exc)
        succeeded = 200 <= status < 300
        if status and not succeeded:
            error = f"the receiver answered with HTTP status {status}"
            if 300 <= status < 400:
                error += "; redirects are not followed"
        return Attempt(
            succeeded=succeeded,
            status=status,
            error=error,
            milliseconds=(time.monotonic() - begun) * 1000,
            answer=answer[:KEPT_BYTES],
            retry_after_seconds=wait,
        )


def _session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
    )


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Returns the first bytes of the body. However it ends, the answer was there."""
    found = b""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while len(found) < READ_BYTES and (more := await response.content.read(READ_BYTES - len(found))):
                found += more
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass
    # What is left is not waited for.
    response.close()
    return found


def _retry_after(response: aiohttp.ClientResponse, at: datetime) -> float | None:
    """Returns for how long the receiver wants to be left alone, up to a day; None if it does not say."""
    text = response.headers.get(hdrs.RETRY_AFTER, "").strip()
    if response.status not in (429, 503) or not text:
        return None
    most = LONGEST_WAIT.total_seconds()
    if text.isascii() and text.isdigit():
        return most if len(text) > 9 else min(most, float(text))
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    then = then if then.tzinfo is not None else then.replace(tzinfo=UTC)
    return max(0.0, min(most, (then - at).total_seconds()))


def _cause(exc: Exception) -> str:
    """Returns why no answer came, in words that tell nothing of the network here."""
    causes: list[BaseException] = [exc]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and len(causes) < 8:
        causes.append(cause)
    inner = getattr(exc, "os_error", None)
    if any(isinstance(each, NotPublic) for each in (*causes, inner)):
        return "the URL's host has an address that is not public"
    match exc:
        case aiohttp.InvalidURL():
            return exc.description or "the URL is not allowed"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "the receiver's TLS certificate is not valid, or TLS failed"
        case aiohttp.ClientConnectorDNSError():
            return "the URL's host cannot be looked up"
        case aiohttp.ClientConnectorError():
            return "no connection to the receiver"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
            return "the receiver closed the connection without an answer"
        case _:
            return "the receiver's answer makes no sense"
