"""The process and event loop that opened a client. gRPC works neither in a forked process nor in another event loop."""

import asyncio
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

FORKED = (
    "this process was forked while a client was open in its parent, and gRPC would hang or crash in it: close all "
    "clients before a fork, or start processes by the method 'spawn' or 'forkserver'"
)
MOVED = "the client was opened in another event loop; open one in the loop that uses it"

# Module state, since a forked child must know of its parent's clients: it inherits the count of that process.
_open: Counter[int] = Counter()


@dataclass(frozen=True, slots=True)
class Home:
    """The process and the event loop of an open client."""

    process: int = field(default_factory=os.getpid)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    @classmethod
    def take(cls) -> Self:
        """Counts one more open client and returns its home. Raises RuntimeError if gRPC cannot work here."""
        home = cls()
        if any(count for process, count in _open.items() if process != home.process):
            raise RuntimeError(FORKED)
        _open[home.process] += 1
        return home

    def leave(self) -> None:
        """Counts a client as closed."""
        _open[self.process] -= 1

    def check(self) -> None:
        """Raises RuntimeError in any other process or event loop, where a call would never end."""
        if os.getpid() != self.process:
            raise RuntimeError(FORKED)
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError(MOVED)
