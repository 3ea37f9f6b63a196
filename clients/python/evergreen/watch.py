"""Keeps a watch running over as many streams as needed: resumes from its cursor, and yields nothing twice.

A stream counts as broken if the service is unavailable or stops, if nothing arrives for longer than the interval of
checkpoints allows, or if it ends although a watched job is not final yet.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import grpc

from evergreen.errors import (
    CallError,
    CursorCompacted,
    Draining,
    EvergreenError,
    QueueFull,
    Unavailable,
    WatchInterrupted,
)
from evergreen.status import call_error
from evergreen.v1.video_pb2 import Job, JobState, WatchProgressRequest, WatchProgressResponse

logger = logging.getLogger(__name__)

OpenStream = Callable[[WatchProgressRequest], "grpc.aio.UnaryStreamCall[WatchProgressRequest, WatchProgressResponse]"]

OnGap = Callable[[CursorCompacted], None]
"""Called if events after the watch's cursor are no longer kept, before the watch continues without them."""

FINAL_STATES = frozenset(
    {
        JobState.JOB_STATE_SUCCEEDED,
        JobState.JOB_STATE_FAILED,
        JobState.JOB_STATE_CANCELLED,
        JobState.JOB_STATE_EXPIRED,
    }
)


def is_final(job: Job) -> bool:
    """Returns whether the job is final: it will not change any more."""
    return job.state in FINAL_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """How a broken watch is resumed. Times are in seconds; `random` returns numbers from 0 to 1."""

    first_delay: float = 0.25
    max_delay: float = 8.0
    """Delays double from `first_delay` up to this; each is scaled by a random factor."""
    silence: float = 60.0
    """A stream is broken if nothing arrives for this long; the service sends a checkpoint every 15 s."""
    patience: float = 300.0
    """The watch is given up if the service does not answer for this long."""
    random: Callable[[], float] = random.random

    def delay(self, failures: int, fault: EvergreenError) -> float:
        """Returns the delay after so many failures in a row: what the service asks for, plus a backoff."""
        wish = fault.retry_after_seconds if isinstance(fault, CallError) else None
        doubled = self.first_delay * 2.0 ** min(failures - 1, 30)
        return min(wish or 0.0, self.max_delay) + self.random() * min(doubled, self.max_delay)


# The codes of gRPC itself or a proxy for a stream that was reset, by a stopping server or a lost connection.
_RESET = frozenset({grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})


def is_reset(error: CallError) -> bool:
    """Returns whether a stream ended without a reason of the service, so that a new stream may succeed."""
    return error.code in _RESET and not error.reason


class _BrokenStream(EvergreenError):
    """The stream ended or fell silent unexpectedly."""


class _Position:
    """The position of a watch: its cursor, and which of the watched jobs are not final yet."""

    def __init__(self, request: WatchProgressRequest) -> None:
        self._request = request
        self._pending = dict.fromkeys(request.job_ids)
        self.cursor = request.after_revision if request.HasField("after_revision") else None
        self.gap = False

    @property
    def complete(self) -> bool:
        """Whether every watched job is final, if jobs alone are watched."""
        return bool(self._request.job_ids) and not self._pending and not self._request.film_ids

    @property
    def ends(self) -> bool:
        """Whether a stream that ends well ends the watch: the service alone knows which run of a film is its last."""
        return bool(self._request.film_ids) and not self._pending

    def resume(self) -> WatchProgressRequest:
        return WatchProgressRequest(
            project_id=self._request.project_id,
            job_ids=self._pending,
            film_ids=self._request.film_ids,
            include_films=self._request.include_films,
            after_revision=None if self.gap else self.cursor,
            # A job may have ended in the gap, and its final state is never left out.
            include_finished=self.gap or self._request.include_finished,
            kinds=self._request.kinds,
        )

    def skip(self) -> None:
        """Makes the next stream start without a cursor. Messages from before the gap are still not repeated."""
        self.gap = True

    def is_news(self, message: WatchProgressResponse) -> bool:
        cursor = -1 if self.cursor is None else self.cursor
        if message.HasField("checkpoint"):
            return message.revision >= cursor
        # After a resume, the service sends the final state of a watched job again, even from before the cursor.
        job = message.event.job
        return message.revision > cursor or (job.job_id in self._pending and is_final(job))

    def passed(self, message: WatchProgressResponse) -> None:
        self.gap = False
        self.cursor = max(message.revision, -1 if self.cursor is None else self.cursor)
        if message.HasField("event") and is_final(message.event.job):
            self._pending.pop(message.event.job.job_id, None)


async def resilient_watch(
    open_stream: OpenStream, request: WatchProgressRequest, *, reconnect: Reconnect, on_gap: OnGap | None = None
) -> AsyncGenerator[WatchProgressResponse, None]:
    """Yields the events and checkpoints of a watch; ends after the final state of all watched jobs and films.

    Raises CursorCompacted without `on_gap`, other CallErrors if reconnecting cannot help, and WatchInterrupted if
    reconnecting did not succeed for too long.
    """
    position = _Position(request)
    failures = 0
    answered_at = time.monotonic()
    while True:
        opened_at = time.monotonic()
        try:
            async with aclosing(_stream(open_stream(position.resume()), reconnect.silence)) as messages:
                async for message in messages:
                    answered_at = time.monotonic()
                    if not position.is_news(message):
                        continue
                    if message.revision != position.cursor:
                        failures = 0
                    yield message
                    # The caller's own processing time does not count as silence of the service.
                    answered_at = time.monotonic()
                    position.passed(message)
                    if position.complete:
                        return
            if position.ends:
                return
            raise _BrokenStream("the stream ended before every watched job was final")
        except CursorCompacted as fault:
            if on_gap is None or position.gap:
                raise
            on_gap(fault)
            position.skip()
            continue
        except (Unavailable, QueueFull, _BrokenStream) as fault:
            # A stream that delivered something and then ended as planned starts a new count of failures.
            failures = 1 if isinstance(fault, Draining) and answered_at > opened_at else failures + 1
            delay = reconnect.delay(failures, fault)
            if time.monotonic() + delay - answered_at > reconnect.patience:
                raise WatchInterrupted(
                    f"the watch could not be resumed within {reconnect.patience:g} s: {fault}", revision=position.cursor
                ) from fault
            logger.info("watch interrupted", extra=_facts(fault, delay, position.cursor))
        await asyncio.sleep(delay)


async def _stream(
    call: "grpc.aio.UnaryStreamCall[WatchProgressRequest, WatchProgressResponse]", silence: float
) -> AsyncGenerator[WatchProgressResponse, None]:
    responses = aiter(call)
    try:
        while True:
            async with asyncio.timeout(silence):
                message = await anext(responses, None)
            if message is None:
                return
            yield message
    except grpc.aio.AioRpcError as error:
        told = call_error(error)
        if is_reset(told):
            raise _BrokenStream(str(told)) from error
        raise told from error
    except TimeoutError as error:
        raise _BrokenStream(f"nothing came for {silence:g} s") from error
    finally:
        # A call that is only dropped may stay open on the server.
        call.cancel()


def _facts(fault: EvergreenError, delay: float, cursor: int | None) -> Mapping[str, object]:
    return {"cause": str(fault), "fault": fault, "delay_seconds": round(delay, 2), "revision": cursor}
