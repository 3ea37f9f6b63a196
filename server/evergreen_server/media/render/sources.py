"""The files of a film, which must be there, and stay as they are until it is done."""

import stat
from collections.abc import Iterable

from evergreen_server.ports.rendering import RenderOrder, RenderRefused
from evergreen_server.ports.timeline import Source

_State = tuple[int, int, int, int]


class Sources:
    """What is known of each file, and by which span or sound it is first used."""

    def __init__(self, order: RenderOrder) -> None:
        """Raises RenderRefused for a file that is not there."""
        self._order = order
        self._users: dict[str, tuple[Source, int | None, int | None]] = {}
        for index, span in enumerate(order.timeline.spans):
            if span.source is not None:
                self._users.setdefault(span.source.sha256, (span.source, index, None))
        for index, sound in enumerate(order.timeline.sounds):
            self._users.setdefault(sound.source.sha256, (sound.source, None, index))
        self._states: dict[str, _State] = {}
        for sha256 in self._users:
            state = self._state(sha256)
            if state is None:
                raise self._refusal(sha256, "is not there")
            self._states[sha256] = state

    def check(self, some: Iterable[Source | None] | None = None) -> None:
        """Raises RenderRefused for a file, of some or of all, that is not as it was when the film was begun.

        What was made of it would else be taken for what its SHA-256 says.
        """
        chosen = self._users if some is None else {source.sha256 for source in some if source is not None}
        for sha256 in chosen:
            if self._state(sha256) != self._states[sha256]:
                raise self._refusal(sha256, "was changed or removed while the film was rendered")

    def _state(self, sha256: str) -> _State | None:
        path = self._order.files.get(sha256)
        try:
            found = path.stat() if path is not None else None
        except OSError:
            return None
        if found is None or not stat.S_ISREG(found.st_mode):
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _refusal(self, sha256: str, what: str) -> RenderRefused:
        source, span, sound = self._users[sha256]
        return RenderRefused(f"{source.asset} {what}", code="RENDER_FAILED", span=span, sound=sound)
