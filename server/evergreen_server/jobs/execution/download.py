"""The bytes of one output, resumed where they broke off."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from evergreen_server.jobs.execution.context import StepContext
from evergreen_server.jobs.model.job import Job
from evergreen_server.ports.media import HEAD_BYTES
from evergreen_server.ports.provider import OutputUnavailable, ProviderUnavailable

logger = logging.getLogger(__name__)


class Undeliverable(Exception):
    """The output is unusable or cannot be fetched; another attempt with fresh URLs may succeed."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class OutputBody:
    """One output's bytes, resumed where they broke off, with a fresh URL where the old one no longer works."""

    def __init__(self, context: StepContext, job: Job, url: str, number: int) -> None:
        self._context = context
        self._job = job
        self._url = url
        self._number = number
        self._received = 0
        self._opened = False
        self._begun: AsyncGenerator[bytes, None] | None = None
        self._head = b""

    async def head(self) -> bytes:
        """Returns the first HEAD_BYTES, fewer only of a shorter output. Raises Undeliverable, ProviderUnavailable."""
        self._begun, self._head = self._whole(), b""
        async for chunk in self._begun:
            self._head += chunk
            if len(self._head) >= HEAD_BYTES:
                break
        return self._head[:HEAD_BYTES]

    async def chunks(self, *, most_bytes: int) -> AsyncGenerator[bytes, None]:
        """Yields all bytes, at each call anew. Raises Undeliverable, also beyond `most_bytes`; ProviderUnavailable."""
        if self._begun is None:
            await self.head()
        assert self._begun is not None
        begun, self._begun = self._begun, None
        async with aclosing(begun):
            chunk, left = self._head, most_bytes
            while chunk:
                left -= len(chunk)
                if left < 0:
                    raise Undeliverable("OUTPUT_INVALID", f"the output is larger than {most_bytes} bytes")
                yield chunk
                chunk = await anext(begun, b"")

    async def aclose(self) -> None:
        """Ends a download that was begun and is not used."""
        if self._begun is not None:
            await self._begun.aclose()

    async def _whole(self) -> AsyncGenerator[bytes, None]:
        self._received = tries = 0
        while True:
            before = self._received
            try:
                async with aclosing(self._read()) as chunks:
                    async for chunk in chunks:
                        yield chunk
                return
            except (ProviderUnavailable, OutputUnavailable) as exc:
                logger.warning(
                    "download broke off",
                    extra={"job_id": self._job.job_id, "received": self._received, "cause": str(exc)},
                )
                tries = 0 if self._received > before else tries + 1
                if tries >= self._context.limits.delivery_tries:
                    if not self._opened and isinstance(exc, ProviderUnavailable) and not self._too_late():
                        # No answer says nothing about the output, which is paid for: it is tried again later.
                        raise
                    raise Undeliverable("OUTPUT_UNAVAILABLE", str(exc)) from exc
                await self._context.pause(self._job.job_id, self._context.backoff(tries))
                await self._refresh()

    async def _read(self) -> AsyncGenerator[bytes, None]:
        self._opened = False
        async with self._context.provider.download(self._url, offset=self._received) as download:
            self._opened = True
            self._context.unanswered.pop(self._job.job_id, None)
            skip = self._received - download.offset
            if skip < 0:
                raise Undeliverable("OUTPUT_INVALID", "the download was resumed at the wrong place")
            async for chunk in download.chunks:
                rest, skip = chunk[skip:] if skip else chunk, max(0, skip - len(chunk))
                if rest:
                    self._received += len(rest)
                    yield rest

    def _too_late(self) -> bool:
        now = self._context.monotonic()
        return (
            now - self._context.unanswered.setdefault(self._job.job_id, now)
            > self._context.limits.delivery_hours * 3600
        )

    async def _refresh(self) -> None:
        task = await self._context.provider.task(self._job.task_id)
        if self._number >= len(task.output_urls):
            raise Undeliverable("OUTPUT_UNAVAILABLE", f"the task is {task.status} and has no such output any more")
        self._url = task.output_urls[self._number]
