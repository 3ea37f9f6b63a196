"""Starts servers as forks of a process that has loaded their code, which is most of what a start costs."""

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Self
from uuid import uuid4

OURS = ("EVERGREEN_", "RUNWAYML_", "PYTEST_")
"""Begin the names of variables that the server reads when it starts, and no library when it is loaded."""


def can_be_preloaded(program: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Tells whether a program may be started so: in tests, where nobody measures what it does or how long it takes.

    Libraries read variables while they are loaded (aiohttp those of certificates), so these must not differ.
    """
    tested = "PYTEST_CURRENT_TEST" in os.environ and "COVERAGE_PROCESS_START" not in os.environ
    if not tested or sys.platform != "linux" or program[0] == "-c":
        return False
    _, loaded = _preloader()
    return all(environ.get(name) == loaded.get(name) for name in {*environ, *loaded} if not name.startswith(OURS))


class Preloaded:
    """A process, as far as asyncio's own are used."""

    def __init__(
        self,
        pid: int,
        stdout: asyncio.StreamReader,
        pipe: asyncio.BaseTransport,
        asked: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._pipe = pipe
        self._asked = asked
        self._ended = asyncio.create_task(self._end(), name=f"end of {pid}")

    @classmethod
    async def start(cls, *program: str, env: Mapping[str, str], stderr: IO[bytes]) -> Self:
        """Starts a process whose stdout can be read. Returns as soon as it runs."""
        caller = socket.socket(socket.AF_UNIX)
        address, _ = _preloader()
        caller.connect(address)
        read, write = os.pipe()
        order = json.dumps([program, dict(env), str(Path.cwd())])
        socket.send_fds(caller, [order.encode()], [write, stderr.fileno()])
        os.close(write)
        stdout = asyncio.StreamReader()
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stdout), os.fdopen(read, "rb")
        )
        asked = await asyncio.open_unix_connection(sock=caller)
        return cls(int(await asked[0].readline()), stdout, pipe, asked)

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def wait(self) -> int:
        """Waits for the end, and returns the exit code."""
        return await asyncio.shield(self._ended)

    async def _end(self) -> int:
        reader, writer = self._asked
        self.returncode = int(await reader.readline())
        self._pipe.close()
        writer.close()
        # They close in the next turn of the loop.
        await asyncio.sleep(0)
        return self.returncode


@cache
def _preloader() -> tuple[str, Mapping[str, str]]:
    """Starts the one that loads, which ends with this process. Returns where it listens, and with which variables."""
    loaded = dict(os.environ)
    address = f"\0evergreen-{uuid4().hex}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("preloader.py"), str(listener.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            env=loaded,
        )
    atexit.register(_end, process)
    return address, loaded


def _end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait()
