"""Lines that C libraries, such as gRPC's core, and child processes write to stderr by themselves, as records.

A log of JSON objects would be broken by them. Python itself writes past this, so that what ends the process is shown.
"""

import atexit
import fcntl
import logging
import os
import re
import sys
import threading
import time
from collections import Counter
from contextlib import suppress

__all__ = ["ForeignLines"]

LONGEST = 500
"""Characters of a line."""
LINES = 10
"""Of one place in a library, in an interval."""
PLACES = 100
"""Told apart in an interval: a child process repeats what callers' files say, and so may name any number."""
INTERVAL_SECONDS = 60.0
PIPE_BYTES = 1 << 20
END_SECONDS = 1.0

_CORE = re.compile(r"([IWEF])\d{4} \S+ +\d+ (\S{1,100}?:\d{1,9})\] (.*)")
_LEVELS = {"I": logging.INFO, "W": logging.WARNING, "E": logging.ERROR, "F": logging.CRITICAL}
_SECRET = re.compile(r"(?i)(bearer +|evg_|key_|[?&](?:sig|signature|token|x-amz-[a-z-]+)=)[^\s\"'&]+")


class ForeignLines:
    """Reads what is written to the descriptor of stderr, in a thread of its own, until the process ends."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._counts: Counter[str] = Counter()
        self._since = time.monotonic()

    def take(self) -> int:
        """Begins, and returns a descriptor of what stderr was until now, to which `sys.stderr` then writes, too."""
        true = os.dup(2)
        reading, writing = os.pipe()
        # Who writes more than can be read loses lines, and is never kept waiting: it may hold what the reader needs.
        os.set_blocking(writing, False)
        with suppress(OSError):
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.dup2(writing, 2)
        os.close(writing)
        sys.stderr = os.fdopen(os.dup(true), "w", buffering=1, errors="backslashreplace")
        thread = threading.Thread(target=self._read, args=(reading,), name="stderr", daemon=True)
        thread.start()

        def end() -> None:
            # The end of the pipe, unless a child process still has it.
            os.dup2(true, 2)
            thread.join(END_SECONDS)

        atexit.register(end)
        return true

    def _read(self, reading: int) -> None:
        within = False
        with os.fdopen(reading, "rb") as lines:
            for line in iter(lambda: lines.readline(8 * LONGEST), b""):
                # The rest of a longer line is left out: it may begin in the middle of a secret.
                if not within and (text := line.decode(errors="backslashreplace").rstrip()):
                    self._log(text)
                within = not line.endswith(b"\n")

    def _log(self, text: str) -> None:
        if time.monotonic() - self._since > INTERVAL_SECONDS:
            if left_out := sum(max(0, count - LINES) for count in self._counts.values()):
                self._logger.warning("lines of libraries left out", extra={"lines": left_out})
            self._counts.clear()
            self._since = time.monotonic()
        found = _CORE.fullmatch(text)
        place = found[2] if found and (found[2] in self._counts or len(self._counts) < PLACES) else ""
        self._counts[place] += 1
        if self._counts[place] > LINES:
            return
        level, said = (_LEVELS[found[1]], found[3]) if found else (logging.WARNING, text)
        more = {"place": place} if place else {}
        self._logger.log(level, "library wrote", extra={"text": _SECRET.sub(r"\1…", said)[:LONGEST], **more})
