"""The one POST that creates a paid task, and what its outcome means.

Before the first byte every failure is NotSent. After it only an answer that rules out
a task is a refusal; everything else is SubmissionUnknown, since nothing can deduplicate a second try.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

import aiohttp
from yarl import URL

from evergreen_server.ports.provider import (
    DailyLimitReached,
    InsufficientCredits,
    NotSent,
    ProviderError,
    Refused,
    Submission,
    SubmissionUnknown,
    Unauthorized,
)
from evergreen_server.providers.runway.catalog.composing.compose import Composition
from evergreen_server.providers.runway.http import wire
from evergreen_server.providers.runway.http.exchange import NETWORK_ERRORS, Answer, GuardedBody, cause_of, read_answer
from evergreen_server.providers.runway.http.retry import retry_after_seconds

__all__ = ["interpret", "post_once"]

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT = 408


async def post_once(
    session: aiohttp.ClientSession,
    url: URL,
    body: bytes,
    *,
    headers: Mapping[str, str],
    before_send: Callable[[], None],
    limits: aiohttp.ClientTimeout,
    proxy: URL | None,
) -> Answer:
    """Sends the request once. Raises NotSent, SubmissionUnknown, or what `before_send` raised."""
    guarded = GuardedBody(body, before_send)
    status = None
    try:
        async with session.post(
            url, data=guarded, headers=headers, timeout=limits, allow_redirects=False, proxy=proxy
        ) as response:
            status = response.status
            return await read_answer(response)
    except NETWORK_ERRORS as error:
        if guarded.stopped:
            raise (error.__cause__ or error) from None
        if not guarded.sent:
            raise NotSent(f"The provider was not reached ({cause_of(error)}); nothing was sent.") from error
        if status is not None and 400 <= status < 500:
            # The status alone says that nothing was made; only its explanation was lost.
            return Answer(status=status, headers={}, body=b"", whole=False)
        raise SubmissionUnknown(f"The provider's answer was lost ({cause_of(error)}).") from error


def interpret(answer: Answer, composed: Composition, *, secret: str, now: datetime) -> Submission:
    """Returns the task that was made. Raises the ProviderError that the answer stands for."""
    if 200 <= answer.status < 300:
        return _submission_of(answer)
    text = wire.clean(wire.error_text(answer.body), secret=secret)
    request_id = wire.clean(answer.headers.get("apigw-requestid", ""), limit=64)
    logger.info("create not accepted", extra={"status": answer.status, "provider_request_id": request_id})
    raise _error_of(answer, composed, text, secret=secret, now=now)


def _submission_of(answer: Answer) -> Submission:
    """Reads the task's id, however broken the rest of the answer is, since the task is paid for."""
    try:
        if not answer.whole:
            raise ValueError("broken off")
        submission = wire.read_submission(wire.parse(answer.body))
    except ValueError:
        submission = wire.salvage_submission(answer.body)
    if submission is None:
        raise SubmissionUnknown(f"The provider answered {answer.status} without a task id that could be read.")
    return submission


def _error_of(answer: Answer, composed: Composition, text: str, *, secret: str, now: datetime) -> ProviderError:
    status = answer.status
    said = text or f"HTTP {status}"
    match status:
        case 407:
            return NotSent("The proxy on the way to the provider wants other credentials; nothing was passed on.")
        case 401 | 403:
            return Unauthorized(f"The provider refused the key or the account: {said}")
        case 429:
            after = retry_after_seconds(answer.headers.get("Retry-After"), now)
            return DailyLimitReached(f"The provider takes no more tasks for now: {said}", retry_after_seconds=after)
        case _ if 400 <= status < 500 and status != REQUEST_TIMEOUT:
            if status == 402 or wire.lacks_credits(text):
                return InsufficientCredits(said, status=status)
            field_errors = wire.field_errors_of(answer.body, composed, secret=secret)
            return Refused(f"The provider refused the request: {said}", field_errors=field_errors, status=status)
        case _:
            return SubmissionUnknown(f"The provider answered HTTP {status}; whether a task was made is not known.")
