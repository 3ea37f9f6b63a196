"""Files that may be replaced while the server runs: polled, and read off the loop."""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stat import S_ISREG
from typing import Generic, TypeVar

T = TypeVar("T")

POLL_SECONDS = 1.0
MAX_BYTES = 16 * 1024 * 1024
_OTHERS = 0o077

logger = logging.getLogger(__name__)


class FileUnusable(Exception):
    """A file cannot be read, or is not what it should be; the text never repeats its contents."""


class ReloadableFile(Generic[T]):
    """A value read from files. If a replaced file is invalid, the error is logged and the old value stays.

    `secret` names the files that others should not be able to read; one that they can is warned about.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        parse: Callable[[Sequence[bytes]], T],
        *,
        secret: Sequence[Path] = (),
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._paths = paths
        self._parse = parse
        self._secret = secret
        self._poll_seconds = poll_seconds
        self._stamp: object = None
        self._error = ""

    def read(self) -> T:
        """Returns the value, read on the calling thread. Raises FileUnusable, naming the files."""
        names = ", ".join(map(str, self._paths))
        # Before the bytes, so that a file that is replaced meanwhile is noticed at the next poll.
        stamp = self._stat_all()
        try:
            contents = [_contents(path) for path in self._paths]
            value = self._parse(contents)
        except OSError as exc:
            raise FileUnusable(f"{names}: cannot be read: {exc.strerror}") from None
        except FileUnusable as exc:
            raise FileUnusable(f"{names}: {exc}") from None
        for path in self._secret:
            if path.stat().st_mode & _OTHERS:
                logger.warning("secret file open to others", extra={"path": str(path), "advice": "chmod 600"})
        self._stamp = stamp
        return value

    async def watch(self, found: Callable[[T], None]) -> None:
        """Calls `found` with each new value, forever."""
        loop = asyncio.get_running_loop()
        # Its own, since the loop's executor belongs to the engine and ends with it.
        threads = ThreadPoolExecutor(1, thread_name_prefix="files")
        try:
            while True:
                await asyncio.sleep(self._poll_seconds)
                try:
                    if not await loop.run_in_executor(threads, self._changed):
                        continue
                    value = await loop.run_in_executor(threads, self.read)
                except FileUnusable as exc:
                    if str(exc) != self._error:
                        self._error = str(exc)
                        logger.error("replaced file refused, going on with the old one", extra={"cause": self._error})
                    continue
                self._error = ""
                found(value)
                logger.info("replaced file taken", extra={"paths": ", ".join(map(str, self._paths))})
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def _changed(self) -> bool:
        return self._stat_all() != self._stamp

    def _stat_all(self) -> object:
        try:
            stats = [path.stat() for path in self._paths]
        except OSError as exc:
            raise FileUnusable(f"{', '.join(map(str, self._paths))}: cannot be read: {exc.strerror}") from None
        # The inode and the change time as well: a file moved into place may be as old and as long as the other.
        return [(stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_size) for stat in stats]


def _contents(path: Path) -> bytes:
    # Without O_NONBLOCK the opening of a named pipe would wait for a writer, for ever and uninterruptibly.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        stat = os.fstat(file.fileno())
        if not S_ISREG(stat.st_mode):
            raise FileUnusable("is no regular file")
        data = b"" if stat.st_size > MAX_BYTES else file.read(MAX_BYTES + 1)
    if max(len(data), stat.st_size) > MAX_BYTES:
        raise FileUnusable(f"is larger than {MAX_BYTES} bytes")
    return data
