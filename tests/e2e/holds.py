"""Tells a server that runs as `held.py` where to stop, and hears that it did."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.loopback import listening

PROGRAM = (str(Path(__file__).with_name("held.py")),)


class Holds:
    """Tells the server where to stop, and hears that it did."""

    def __init__(self, wanted: Path) -> None:
        self._wanted = wanted
        self._reached = asyncio.Event()
        self._pid = 0
        self.port = 0

    async def _told(self, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        self._pid = int(await reader.readline())
        self._reached.set()
        # Closed by the end of the process alone.
        await reader.read()

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Holds"]:
        async with listening(self._told) as self.port:
            yield self

    def at(self, moment: str) -> None:
        """Has the server stop at the next such moment, as `held` names them."""
        self._reached.clear()
        # Whole at once, since the server may read it at any moment.
        whole = self._wanted.with_suffix(".new")
        whole.write_text(f"{moment} {self.port}")
        whole.replace(self._wanted)

    async def reached(self) -> int:
        """Waits for it, and returns the id of the server's process, whose renderer it may be that has stopped."""
        await asyncio.wait_for(self._reached.wait(), 60)
        self._wanted.unlink()
        return self._pid
