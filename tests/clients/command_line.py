"""The command as a process of its own, as users run it: with pipes, or on a terminal whose screen can be read."""

import asyncio
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


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
        self._environment = {"EVERGREEN_ENDPOINT": endpoint, **environment}

    async def start(
        self, *arguments: str, stderr: int = asyncio.subprocess.PIPE, **environment: str
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "evergreen.cli", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **self._environment, **environment},
        )

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
