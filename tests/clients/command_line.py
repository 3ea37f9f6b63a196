"""The command as a process of its own, as users run it: with pipes, or on a terminal whose screen can be read."""

import asyncio
import fcntl
import json
import os
import pty
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

import pyte


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]


class CommandLine:
    """Runs the command as a process of its own, as users do."""

    def __init__(self, endpoint: str, **environment: str) -> None:
        self.environment = {"EVERGREEN_ENDPOINT": endpoint, **environment}

    async def start(
        self,
        *arguments: str,
        stdin: int | IO[bytes] = asyncio.subprocess.DEVNULL,
        stderr: int = asyncio.subprocess.PIPE,
        **environment: str,
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "evergreen.cli", *arguments),
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **self.environment, **environment},
        )

    @asynccontextmanager
    async def on_terminal(
        self, *arguments: str, columns: int, rows: int = 24, **environment: str
    ) -> AsyncIterator["Terminal"]:
        """Starts the command with a terminal of its own as stdin, stdout and stderr; kills it in the end."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        settings = {**os.environ, **self.environment, "TERM": "xterm", "NO_COLOR": "1", **environment}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "evergreen.cli", *arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={name: value for name, value in settings.items() if name not in ("COLUMNS", "LINES")},
        )
        os.close(theirs)
        try:
            yield Terminal(ours, process, columns, rows)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            os.close(ours)

    async def end(self, process: asyncio.subprocess.Process) -> Ended:
        try:
            async with asyncio.timeout(60):
                stdout, stderr = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Ended(code=process.returncode, stdout=stdout.decode(), stderr=(stderr or b"").decode())

    async def __call__(self, *arguments: str, **environment: str) -> Ended:
        return await self.end(await self.start(*arguments, **environment))


def read_all(terminal: int) -> str:
    """Reads until the other side is closed, which a terminal tells by an error."""
    chunks = []
    with suppress(OSError):
        while chunk := os.read(terminal, 65536):
            chunks.append(chunk)
    return b"".join(chunks).decode()


class Terminal:
    """A terminal whose screen can be read, as a person would read it."""

    def __init__(self, file: int, process: asyncio.subprocess.Process, columns: int, rows: int) -> None:
        self._file = file
        self.process = process
        self._screen = pyte.HistoryScreen(columns, rows, history=5000)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def screen(self) -> list[str]:
        """The rows that are seen, without the empty ones."""
        return [row.rstrip() for row in self._screen.display if row.strip()]

    @property
    def scrolled(self) -> list[str]:
        """The rows that have left the screen at its top."""
        columns = self._screen.columns
        return ["".join(row[x].data for x in range(columns)).rstrip() for row in self._screen.history.top]

    async def until(self, seen: Callable[[list[str]], bool], seconds: float = 60) -> list[str]:
        """Reads until the screen is as is expected, and returns it. Raises AssertionError with the screen as it is."""
        try:
            async with asyncio.timeout(seconds):
                while not seen(self.screen):
                    await self._read()
        except (TimeoutError, OSError):
            assert seen(self.screen), "\n".join(self.screen)
        return self.screen

    async def ended(self) -> int:
        """Reads to the end, and returns the exit code."""
        with suppress(OSError):
            while True:
                async with asyncio.timeout(60):
                    await self._read()
        return await self.process.wait()

    async def _read(self) -> None:
        # What a terminal tells by an error is its end.
        if not (data := await asyncio.to_thread(os.read, self._file, 65536)):
            raise OSError
        self._stream.feed(data)
