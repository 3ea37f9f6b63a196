"""A folder of finished pieces, named by what they depend on; a lost one costs time, never money."""

import os
import time
from contextlib import suppress
from pathlib import Path

from evergreen_server.media.render.takes import Take, take_of

_LEFT_SECONDS = 48 * 3600.0
"""An unfinished file that has not changed for so long belongs to nobody: no renderer is given so much time."""


class Segments:
    """The pieces that lie in one folder, of which the newest are kept.

    A film has names of its own for the pieces that it takes, with its `mark`. So none is lost to it, whoever prunes the
    folder meanwhile. What bears the mark is to be removed when the film is done, or given up.
    """

    def __init__(self, folder: Path, mark: str) -> None:
        self._mark = mark
        self._folder = folder

    def own(self, digest: str) -> Path:
        """Returns where the film's own name for a piece is, also while it is made."""
        return self._folder / f"{digest}.mp4.{self._mark}.part"

    def adopt(self, digest: str, frames: int) -> Take | None:
        """Returns a piece that was made under the film's own name, and lets other films find it if it is whole."""
        path, found = self.own(digest), self._path(digest)
        take = _whole(path, frames)
        if take is None:
            return None
        # After a crash of the machine a name without its bytes would be worse than none.
        with path.open("rb") as file:
            os.fsync(file.fileno())
        # Another film may have been as fast.
        with suppress(FileExistsError):
            os.link(path, found)
        return take

    def find(self, digest: str, frames: int) -> Take | None:
        """Returns a finished piece of so many frames, and counts it as used now. One that is not whole is removed."""
        path, found = self.own(digest), self._path(digest)
        try:
            os.link(found, path)
        except FileNotFoundError:
            return None
        take = _whole(path, frames)
        if take is None:
            found.unlink(missing_ok=True)
            path.unlink()
        else:
            os.utime(path)
        return take

    def keep_newest(self, most: int) -> None:
        """Removes pieces beyond so many bytes, those used longest ago first, and what others left unfinished."""
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

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}.mp4"


def _whole(path: Path, frames: int) -> Take | None:
    take = take_of(path)
    return take if take is not None and take.frames == frames else None
