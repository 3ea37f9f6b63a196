"""Passes committed changes to its subscribers, on the loop. An announcement is a hint to read the rows again."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from evergreen_server.jobs.model.change import Change

OnChanges: TypeAlias = Callable[[Sequence[Change]], None]


class Announcer:
    """Calls its subscribers in the order of their subscription. None of them may raise or block."""

    def __init__(self) -> None:
        self._everywhere: list[OnChanges] = []
        self._here: list[OnChanges] = []
        self._resyncs: list[Callable[[], None]] = []

    def subscribe(self, on_changes: OnChanges, *, on_resync: Callable[[], None] | None = None) -> None:
        """Subscribes to the changes of every server; `on_resync` is called when some of others may have been missed."""
        self._everywhere.append(on_changes)
        if on_resync is not None:
            self._resyncs.append(on_resync)

    def subscribe_here(self, on_changes: OnChanges) -> None:
        """Subscribes to the changes that this server commits."""
        self._here.append(on_changes)

    def committed(self, changes: Sequence[Change]) -> None:
        """Announces what this server has committed."""
        for on_changes in (*self._everywhere, *self._here):
            on_changes(changes)

    def received(self, changes: Sequence[Change]) -> None:
        """Announces what another server has committed."""
        for on_changes in self._everywhere:
            on_changes(changes)

    def resync(self) -> None:
        """Announces that changes of other servers may have been missed."""
        for on_resync in self._resyncs:
            on_resync()
