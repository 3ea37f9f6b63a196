"""A temporary file that threads fill and that is removed in any case."""

import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


class Spool:
    """One file, made by `open` and removed by `discard`. Every method blocks: call them in a thread.

    A cancelled task leaves its thread behind, which may open or write later than `discard`; the lock and
    the flag make sure that it creates no new file then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._discarded = False
        self._lock = threading.Lock()

    def open(self) -> None:
        with self._lock:
            if not self._discarded:
                self._file = self.path.open("xb", buffering=0)

    def write(self, data: bytes) -> None:
        with self._lock:
            view = memoryview(data)
            while self._file is not None and view:
                view = view[self._file.write(view) :]

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def discard(self) -> None:
        with suppress(OSError):
            self.close()
        with self._lock:
            self._discarded = True
            self.path.unlink(missing_ok=True)
