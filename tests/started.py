"""The processes that a test has started, as the system lists them."""

from contextlib import suppress
from pathlib import Path


def started(words: bytes) -> list[int]:
    """Returns those of this process's children whose command line contains these words."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        # A thread, like a process, may end while it is looked at.
        with suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, (task / "children").read_text().split())
    return [pid for pid in found if _has(pid, words)]


def _has(pid: int, words: bytes) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return words in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
