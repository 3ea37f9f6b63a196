"""The sandbox's journal: one line of JSON per event, appended before the call is answered.

A line that was written survives the death of the process (SIGKILL included), though not that of the machine.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from evergreen_server.providers.runway.catalog.models import Json


class Journal:
    """An append-only file with one owner at a time. Appending is a single write, fast enough for the loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._drop_torn_end()
        except BlockingIOError as exc:
            os.close(self._file)
            raise RuntimeError(f"another sandbox uses {path.parent}") from exc

    def replay(self, *starts: bytes) -> Iterator[dict[str, Json]]:
        """Yields every entry in the order of writing, or only those whose line begins with one of `starts`."""
        with self._path.open("rb") as lines:
            for line in lines:
                if not starts or line.startswith(starts):
                    yield json.loads(line)

    def append(self, entry: dict[str, Json]) -> None:
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        if os.write(self._file, line) != len(line):
            raise OSError("the sandbox's journal could not be written whole")

    def close(self) -> None:
        os.close(self._file)

    def _drop_torn_end(self) -> None:
        # A kill during a write leaves half a line: it was never answered, so it never happened.
        size = os.fstat(self._file).st_size
        whole = self._path.read_bytes().rfind(b"\n") + 1
        if whole != size:
            os.ftruncate(self._file, whole)
