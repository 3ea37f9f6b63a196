"""Has films rendered by a process for each, which is ended with the call, and begun again where it dies."""

import asyncio
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

from evergreen_server.media.render.checking import check
from evergreen_server.media.render.limits import RenderLimits
from evergreen_server.media.render.order import Answer, Attempt, Step, order_line, read_answer
from evergreen_server.ports.rendering import Rendered, RenderOrder, RenderProgress, RenderRefused
from evergreen_server.runtime.processes import Process, bare_environment
from evergreen_server.runtime.shield import run_to_end

logger = logging.getLogger(__name__)

_DEATHS = 3
"""A span at which as many renderers died is at fault."""
_STARTS = 6
"""How many renderers one film gets at most."""


class Renderer:
    """Renders films in processes of their own; implements `FilmRenderer`."""

    def __init__(self, limits: RenderLimits) -> None:
        self._limits = limits

    async def render(self, order: RenderOrder, on_progress: Callable[[RenderProgress], None]) -> Rendered:
        """Renders a film to its place; a cancelled call leaves no process.

        What is finished of a film stays in the cache for the next call. Raises RenderRefused.
        """
        check(order.timeline, order.profile)
        limits, deaths = self._limits, Counter[int]()
        for _ in range(_STARTS):
            attempt = Attempt(
                mark=uuid4().hex,
                # After a death segments are made one by one: so it shows which of them is at fault.
                segments_at_once=1 if deaths else limits.segments_of(order.profile.width, order.profile.height),
                progress_seconds=limits.progress_seconds,
                cache_bytes=limits.cache_bytes,
                memory_bytes=limits.memory_bytes,
            )
            child = _Child(order, attempt, on_progress)
            answer = await child.run(self._seconds(order))
            if isinstance(answer, Rendered):
                return answer
            if answer is not None:
                raise answer
            logger.warning("renderer ended", extra={"spans": child.spans, "exit_status": child.status})
            deaths.update(child.spans or [-1])
            span, most = deaths.most_common(1)[0]
            if most >= _DEATHS:
                break
        raise RenderRefused(
            "the renderer ended again and again", code="RENDER_FAILED", span=span if span >= 0 else None
        )

    def _seconds(self, order: RenderOrder) -> float:
        return self._limits.start_seconds + self._limits.per_second * order.timeline.frames / order.profile.fps


class _Child:
    """One process, and how far it came."""

    def __init__(self, order: RenderOrder, attempt: Attempt, on_progress: Callable[[RenderProgress], None]) -> None:
        self._order = order
        self._attempt = attempt
        self._on_progress = on_progress
        self._done = -1
        self.spans: tuple[int, ...] = ()
        self.status = 0

    async def run(self, seconds: float) -> Rendered | RenderRefused | None:
        """Returns what the process answered; None where it died, or took longer."""
        command = (sys.executable, "-P", "-m", "evergreen_server.media.render", str(os.getpid()))
        try:
            process = await Process.start(*command, env=bare_environment())
        except OSError:
            return None
        try:
            async with asyncio.timeout(seconds):
                await process.send(order_line(self._order, self._attempt))
                while True:
                    answer = await _read(process)
                    if not isinstance(answer, Step):
                        return answer
                    self._note(answer)
        except TimeoutError:
            return None
        finally:
            process.kill()
            await run_to_end(self._end(process))

    async def _end(self, process: Process) -> None:
        self.status = await process.wait()
        process.close()
        await asyncio.to_thread(self._sweep)

    def _note(self, step: Step) -> None:
        self.spans = step.spans
        if step.done != self._done:
            self._done = step.done
            self._on_progress(RenderProgress(done=step.done, total=self._order.timeline.frames))

    def _sweep(self) -> None:
        """Removes what a process that was ended has left unfinished."""
        for folder in {self._order.cache, self._order.scratch, self._order.out.parent}:
            # A disk that fails must not hide what was answered.
            with suppress(OSError):
                for name in os.listdir(folder):
                    if name.endswith(f".{self._attempt.mark}.part"):
                        (folder / name).unlink(missing_ok=True)


async def _read(process: Process) -> Answer | None:
    try:
        return read_answer(await process.readline())
    except ValueError:
        return None
