"""Calls the provider's HTTP API; implements `Provider`.

Reads are repeated within bounds, a create never is. Nothing that is logged or raised holds the key, a
prompt, a data URI or a signed URL.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from evergreen_server.ports.provider import (
    Account,
    DailyLimitReached,
    Download,
    OutputUnavailable,
    ProviderUnavailable,
    Read,
    Refused,
    Submission,
    Task,
    TaskGone,
    Unauthorized,
)
from evergreen_server.ports.specs import GenerationSpec, Json, PreparedMedia
from evergreen_server.providers.runway.http import wire
from evergreen_server.providers.runway.http.creating import interpret, post_once
from evergreen_server.providers.runway.http.exchange import NETWORK_ERRORS, Answer, cause_of, read_answer
from evergreen_server.providers.runway.http.proxies import Proxies
from evergreen_server.providers.runway.http.retry import Retry, Retryable, RetryPolicy, retry_after_seconds
from evergreen_server.providers.runway.http.transfer import (
    UPLOAD_LEAST,
    UPLOAD_MOST,
    FileBody,
    NotStored,
    open_download,
    signed_url,
    store,
)

__all__ = ["RunwayClient", "Timeouts"]

READ_CONNECTIONS = 100
LARGE_PIECE = 64 << 10

UPLOAD_URI = r"runway://[!-~]{4,4991}"
TASK_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Bounds in seconds. `create` is long, since giving up early makes a paid task of unknown outcome."""

    connect: float = 10.0
    create: float = 120.0
    read: float = 30.0
    idle: float = 60.0
    """Between two reads of a transfer."""
    upload: float = 600.0
    download: float = 3600.0


class RunwayClient:
    """The provider's HTTP API. Use as an async context manager; it owns its connections."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        timeouts: Timeouts,
        retries: RetryPolicy,
        proxies: Proxies,
        random: Callable[[], float],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._key = api_key
        self._timeouts = timeouts
        self._proxies = proxies
        self._now = now
        self._retry = Retry(policy=retries, random=random, sleep=sleep, monotonic=monotonic)
        self._headers = {
            "Authorization": f"Bearer {api_key}",
            "X-Runway-Version": wire.API_VERSION,
            "Accept-Encoding": "identity",
        }

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            # A stale keep-alive connection could make the outcome of a create unknown, so each gets a fresh one.
            self._creates = await stack.enter_async_context(_session(force_close=True, limit=0))
            self._reads = await stack.enter_async_context(
                _session(limit=READ_CONNECTIONS, middlewares=(_no_hidden_retry,))
            )
            # Transfers are long, and must not keep polls waiting for a connection.
            self._transfers = await stack.enter_async_context(_session(force_close=True, limit=0))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def create(
        self, spec: GenerationSpec, media: Sequence[PreparedMedia], *, before_send: Callable[[], None]
    ) -> Submission:
        path, composed = wire.request_for(spec, media)
        limits = self._timeouts
        answer = await post_once(
            self._creates,
            self._url(path),
            await _join(wire.encode(composed.body)),
            headers=self._headers,
            before_send=before_send,
            limits=aiohttp.ClientTimeout(total=limits.create, connect=limits.connect),
            proxy=self._proxies.of(self._url(path)),
        )
        return interpret(answer, composed, secret=self._key, now=self._now())

    async def task(self, task_id: str) -> Task:
        # Never repeated here: the poller slows down where there is no answer, and retries within each of its polls
        # would multiply the load on a provider that is failing.
        if not re.fullmatch(wire.TASK_ID, task_id):
            raise TaskGone("That is no task id.")
        answer = await self._request("GET", f"/v1/tasks/{task_id}")
        if answer.status == 404 or (answer.status == 400 and not re.fullmatch(TASK_UUID, task_id)):
            raise TaskGone("The provider knows no such task.")
        task = wire.read_task(task_id, self._read(answer))
        if task is None:
            raise Retryable("The provider's answer about the task could not be read.")
        return task

    async def delete(self, task_id: str) -> bool:
        tries = 0

        async def attempt() -> bool:
            nonlocal tries
            tries += 1
            answer = await self._request("DELETE", f"/v1/tasks/{task_id}")
            if answer.status == 404:
                # After a request whose answer was lost, this call most likely deleted the task itself.
                return tries > 1
            if not 200 <= answer.status < 300:
                raise self._unavailable(answer)
            return True

        if not re.fullmatch(wire.TASK_ID, task_id):
            return False
        return await self._retry.run(attempt, what="delete")

    async def upload(self, filename: str, content_type: str, size: int, read: Read) -> str:
        if not UPLOAD_LEAST <= size <= UPLOAD_MOST:
            raise Refused(f"An upload has {UPLOAD_LEAST} to {UPLOAD_MOST} bytes, not {size}.")
        if not 3 <= len(filename) <= 255:
            raise Refused("The name of an upload has 3 to 255 characters.")
        limits = self._transfer_limits(self._timeouts.upload)

        async def attempt() -> str:
            answer = await self._request("POST", "/v1/uploads", {"filename": filename, "type": "ephemeral"})
            if answer.status == 429:
                after = retry_after_seconds(answer.headers.get("Retry-After"), self._now())
                raise DailyLimitReached("The provider takes no more uploads for now.", retry_after_seconds=after)
            if 400 <= answer.status < 500:
                raise Refused(f"The provider refused the upload: {self._error_text(answer)}", status=answer.status)
            where = self._read(answer)
            match where:
                case {"uploadUrl": str() as url, "fields": dict() as fields, "runwayUri": str() as uri} if re.fullmatch(
                    UPLOAD_URI, uri
                ):
                    target = self._signed(url)
                case _:
                    raise Retryable("The provider's answer about the upload could not be read.")
            texts = {name: str(value) for name, value in fields.items()}
            if target is None or not all(text.isprintable() for text in (*texts, *texts.values())):
                raise Retryable("The provider gave an upload form that cannot be used.")
            await store(
                self._transfers,
                target,
                texts,
                FileBody(filename, content_type, size, read),
                limits=limits,
                proxy=self._proxies.of(target),
            )
            return uri

        try:
            return await self._retry.run(attempt, what="upload")
        except NotStored as failure:
            raise Refused(str(failure), status=failure.status) from failure

    def download(self, url: str, *, offset: int = 0) -> AbstractAsyncContextManager[Download]:
        target = self._signed(url)
        if target is None:
            raise OutputUnavailable("The provider gave an output URL that is not https.")
        limits = self._transfer_limits(self._timeouts.download)
        return open_download(self._transfers, target, offset=offset, limits=limits, proxy=self._proxies.of(target))

    async def account(self) -> Account:
        async def attempt() -> Account:
            account = wire.read_account(self._read(await self._request("GET", "/v1/organization")))
            if account is None:
                raise Retryable("The provider's answer about the account could not be read.")
            return account

        return await self._retry.run(attempt, what="account")

    async def _request(self, method: str, path: str, body: dict[str, Json] | None = None) -> Answer:
        """Makes one request. Raises Retryable for failures that may be temporary, and Unauthorized."""
        url = self._url(path)
        timeout = aiohttp.ClientTimeout(total=self._timeouts.read, sock_connect=self._timeouts.connect)
        try:
            async with self._reads.request(
                method,
                url,
                json=body,
                headers=self._headers,
                timeout=timeout,
                allow_redirects=False,
                proxy=self._proxies.of(url),
            ) as response:
                answer = await read_answer(response)
        except NETWORK_ERRORS as error:
            raise Retryable(f"The provider gave no answer ({cause_of(error)}).") from error
        status = answer.status
        if status in (401, 403):
            raise Unauthorized(f"The provider refused the key or the account: {self._error_text(answer)}")
        if status == 408 or status >= 500 or (status == 429 and path != "/v1/uploads"):
            after = retry_after_seconds(answer.headers.get("Retry-After"), self._now())
            raise Retryable(f"The provider answered HTTP {status}.", retry_after_seconds=after)
        return answer

    def _read(self, answer: Answer) -> Json:
        if not 200 <= answer.status < 300:
            raise self._unavailable(answer)
        try:
            return wire.parse(answer.body) if answer.whole else None
        except ValueError as error:
            raise Retryable("The provider's answer is not JSON.") from error

    def _unavailable(self, answer: Answer) -> ProviderUnavailable:
        return ProviderUnavailable(f"The provider answered HTTP {answer.status}: {self._error_text(answer)}")

    def _error_text(self, answer: Answer) -> str:
        return wire.clean(wire.error_text(answer.body), secret=self._key) or f"HTTP {answer.status}"

    def _signed(self, url: str) -> URL | None:
        try:
            return signed_url(url, allow_http=self._base.startswith("http://"))
        except ValueError:
            return None

    def _transfer_limits(self, total: float) -> aiohttp.ClientTimeout:
        limits = self._timeouts
        return aiohttp.ClientTimeout(total=total, connect=limits.connect, sock_read=limits.idle)

    def _url(self, path: str) -> URL:
        return URL(f"{self._base}{path}", encoded=True)


def _session(
    *, force_close: bool = False, limit: int, middlewares: Sequence[aiohttp.ClientMiddlewareType] = ()
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=force_close, limit=limit),
        middlewares=middlewares,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


async def _join(pieces: Iterable[bytes]) -> bytes:
    """Joins pieces, yielding to other tasks after each large one."""
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(piece) > LARGE_PIECE:
            await asyncio.sleep(0)
    return bytes(body)


async def _no_hidden_retry(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Prevents the HTTP library's own hidden retry, which would evade the bound on retries."""
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Retryable(f"The provider gave no answer ({cause_of(error)}).") from error
