"""Renders one film in a process of its own, which may be killed at any moment.

Runs as `python -m evergreen_server.media.render PARENT`, reads the order from its standard input, and ends with that,
or with its parent, whose process id it is told.
"""

import os
import sys
import time
import warnings
from threading import Lock, Thread

from PIL import Image

from evergreen_server.media.confinement import bound_memory, end_with
from evergreen_server.media.render.faults import refusal_of
from evergreen_server.media.render.film import render
from evergreen_server.media.render.order import Answer, Step, answer_line, read_order
from evergreen_server.runtime.arenas import bound_arenas


def main() -> None:
    parent = int(sys.argv[1])
    answers = os.dup(1)
    _confine(parent)
    order, attempt = read_order(sys.stdin.buffer.readline())
    bound_memory(attempt.memory_bytes)
    Thread(target=_end_with_input, name="end of input", daemon=True).start()
    teller = _Teller(answers, attempt.progress_seconds)
    answer: Answer
    try:
        answer = render(order, attempt, teller.tell)
    except Exception as exc:
        answer = refusal_of(exc)
    os.write(answers, answer_line(answer))
    # The interpreter would abort, as a thread still waits for the end of the input.
    os._exit(0)


class _Teller:
    """Writes steps every so many seconds, but at once where other spans are worked on."""

    def __init__(self, answers: int, seconds: float) -> None:
        self._seconds = seconds
        self._answers = answers
        self._lock = Lock()
        self._spans: tuple[int, ...] | None = None
        self._told = 0.0

    def tell(self, step: Step) -> None:
        with self._lock:
            now = time.monotonic()
            if step.spans != self._spans or now >= self._told + self._seconds:
                self._spans, self._told = step.spans, now
                os.write(self._answers, answer_line(step))


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _confine(parent: int) -> None:
    """Bounds this process, and makes sure that it does not outlive its parent."""
    # Answers alone go to the service; libraries print too.
    end_with(parent)
    warnings.simplefilter("ignore")
    bound_arenas()
    Image.init()


if __name__ == "__main__":
    main()
