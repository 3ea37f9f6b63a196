"""A folder of finished pieces, named by what they depend on; a lost one costs time, never money."""

import os
import time
from contextlib import suppress
from pathlib import Path

from evergreen_server.media.render.takes import Take, take_of

MOST_BYTES = 4 * 1024**3
_LEFT_SECONDS = 6 * 3600.0
"""An unfinished file that has not changed for so long belongs to nobody: no film takes longer."""


class Segments:
    """The pieces that lie in one folder, of which the newest are kept."""

    def __init__(self, folder: Path, mark: str) -> None:
        """`mark` is part of the names of what is not finished yet."""
        self._mark = mark
        self._folder = folder

    def path(self, digest: str) -> Path:
        """Returns where the piece of a digest lies, or will lie."""
        return self._folder / f"{digest}.mp4"

    def unfinished(self, digest: str) -> Path:
        """Returns where the piece lies while it is made."""
        return self._folder / f"{digest}.mp4.{self._mark}.part"

    def adopt(self, digest: str, frames: int) -> Take | None:
        """Gives a piece its name, now that it is made."""
        os.replace(self.unfinished(digest), self.path(digest))
        return self.find(digest, frames)

    def find(self, digest: str, frames: int) -> Take | None:
        """Returns a finished piece of so many frames, and counts it as used now. One that is not whole is removed."""
        path = self.path(digest)
        if not path.exists():
            return None
        take = take_of(path)
        if take is None or take.frames != frames:
            path.unlink(missing_ok=True)
            return None
        # Another renderer may have removed it in between.
        with suppress(FileNotFoundError):
            os.utime(path)
        return take

    def keep_newest(self, most: int = MOST_BYTES) -> None:
        """Removes pieces, those that were used longest ago first, and what other processes left unfinished."""
        found = []
        for entry in os.scandir(self._folder):
            with suppress(FileNotFoundError):
                state = entry.stat(follow_symlinks=False)
                if entry.name.endswith(".mp4"):
                    found.append((state.st_mtime, state.st_size, entry.path))
                elif entry.name.endswith(".part") and state.st_mtime < time.time() - _LEFT_SECONDS:
                    os.unlink(entry.path)
        total = 0
        for _, size, path in sorted(found, reverse=True):
            total += size
            if total > most:
                Path(path).unlink(missing_ok=True)
