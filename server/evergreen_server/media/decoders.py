"""A few processes that decode callers' files, started when needed and shared fairly between projects.

A decoder that takes too long, or takes too much memory, or crashes, is replaced; the service goes on.
"""

import asyncio
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self

from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.orders import Answer, Order, Work
from evergreen_server.ports.media import MediaRefused, MediaTooCostly, MediaUnreachable
from evergreen_server.runtime.processes import Process, bare_environment
from evergreen_server.runtime.turns import Turns

logger = logging.getLogger(__name__)

_START_SECONDS = 30.0
_END_SECONDS = 2.0
_PAUSE_SECONDS = 1.0
"""A timeout that is noticed so late means that this process was paused, and says nothing about the file."""
_EXTERNAL_SIGNALS = (signal.SIGKILL, signal.SIGALRM)
"""The signals that end a decoder for reasons other than its file: out of memory, or its alarm after a pause."""


class _Ended(Exception):
    """The process ended during its work, by a signal of this number, or 0."""

    def __init__(self, by: int) -> None:
        super().__init__(by)
        self.by = by


class _Paused(Exception):
    """The time for a file ran out while this process was paused."""


class Decoders:
    """At most `decoders_at_once` processes. Open as a context, which ends them all."""

    def __init__(self, limits: MediaLimits) -> None:
        self._limits = limits
        self._turns = Turns(limits.decoders_at_once)
        self._all: set[Process] = set()
        self._idle: list[Process] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._idle:
            # A decoder ends with its input; only one that does not is killed.
            process.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                for process in self._idle:
                    await process.wait()
        for process in list(self._all):
            await self._end(process)

    async def run(self, order: Order, *, owner: str) -> Answer:
        """Runs an order when it is the owner's turn.

        Raises MediaRefused for what is wrong with the file, MediaUnreachable where another try may succeed, and OSError
        of the disk.
        """
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._limits.wait_seconds):
                    await stack.enter_async_context(self._turns.of(owner))
            except TimeoutError:
                raise MediaUnreachable("too many files are being decoded; try again later") from None
            answer = await self._run_with_retry(order)
        if answer.errno:
            raise OSError(answer.errno, os.strerror(answer.errno), order.source)
        if answer.refused:
            if answer.cause:
                logger.info("file refused by its decoder", extra={"work": order.work.value, "cause": answer.cause})
            if answer.spent:
                raise MediaTooCostly(answer.refused, reason=answer.reason)
            raise MediaRefused(answer.refused, reason=answer.reason, unreadable=answer.unreadable)
        return answer

    async def _run_with_retry(self, order: Order) -> Answer:
        reason = "PICTURE_INVALID" if order.work is Work.PICTURE else "MEDIA_REFUSED"
        try:
            try:
                return await self._exchange(order)
            except _Paused:
                return await self._exchange(order)
            except _Ended as exc:
                if exc.by not in _EXTERNAL_SIGNALS:
                    raise
                return await self._exchange(order)
        except _Paused:
            raise MediaUnreachable("the service was paused while it decoded; try again later") from None
        except TimeoutError:
            logger.warning("decoder took too long", extra={"work": order.work.value})
            text = f"the file took longer than {self._limits.work_seconds:g} s to decode"
            raise MediaTooCostly(text, reason=reason) from None
        except _Ended as exc:
            logger.warning("decoder ended", extra={"work": order.work.value, "signal": exc.by})
            if exc.by in _EXTERNAL_SIGNALS:
                raise MediaUnreachable("the decoder was ended from outside; try again later") from None
            raise MediaTooCostly("the file is broken: its decoder crashed", reason=reason) from None

    async def _exchange(self, order: Order) -> Answer:
        """Raises TimeoutError, _Paused and _Ended."""
        fresh = not self._idle
        process = await self._acquire()
        spent, loop = True, asyncio.get_running_loop()
        try:
            await process.send(order.line())
            due = loop.time() + self._limits.work_seconds
            try:
                async with asyncio.timeout_at(due):
                    answer = await _read_answer(process)
            except TimeoutError:
                if loop.time() > due + _PAUSE_SECONDS:
                    raise _Paused from None
                raise
            spent = answer.spent
        finally:
            if spent:
                await self._end(process)
            else:
                self._idle.append(process)
        if spent and not fresh:
            # Earlier files may have used up the memory that it lacked.
            return await self._exchange(order)
        return answer

    async def _acquire(self) -> Process:
        while self._idle:
            process = self._idle.pop()
            if process.running:
                return process
            await self._end(process)
        # A session of its own, so that only the service gets an interrupt from the terminal.
        try:
            process = await Process.start(
                *(sys.executable, "-P", "-m", "evergreen_server.media.decoder", self._limits.text()),
                env=bare_environment(),
            )
        except OSError as exc:
            raise MediaUnreachable("no decoder could be started; try again later") from exc
        self._all.add(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await _read_answer(process)
        except (TimeoutError, _Ended) as exc:
            await self._end(process)
            raise MediaUnreachable("no decoder could be started; try again later") from exc
        except asyncio.CancelledError:
            await self._end(process)
            raise
        return process

    async def _end(self, process: Process) -> None:
        process.kill()
        await process.wait()
        process.close()
        self._all.discard(process)


async def _read_answer(process: Process) -> Answer:
    line = b""
    try:
        line = await process.readline()
        return Answer.read(line)
    except ValueError:
        if line:
            process.terminate()
        raise _Ended(max(0, -await process.wait())) from None
