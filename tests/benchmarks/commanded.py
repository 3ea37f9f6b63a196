"""A process that does what it is told, line by line: it says where it serves, then answers each command with a line."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

PATIENCE_SECONDS = 300
LONGEST_LINE = 2**27


class Commanded:
    """The process as its parent sees it."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self._process = process
        self.address = address

    @property
    def pid(self) -> int:
        return self._process.pid

    async def tell(self, command: str) -> str:
        """Gives a command and waits for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        return await _line(self._process)


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
    if not line:
        raise RuntimeError("the process ended before it answered")
    return line.decode().strip()


@asynccontextmanager
async def commanded(module: str, *arguments: str, log: Path | None = None) -> AsyncIterator[Commanded]:
    """Runs `python -m module`, whose first line is its address; closing its input ends it.

    What it says on stderr goes to the file `log` where that is given.
    """
    errors = log.open("wb") if log else None
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        limit=LONGEST_LINE,
    )
    try:
        yield Commanded(process, await _line(process))
    finally:
        if process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()
        if errors:
            errors.close()


async def obey(address: str, carry_out: Callable[[list[str]], Awaitable[str]]) -> None:
    """Is the other side: says the address, then carries out commands until the input ends."""
    print(address, flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(await carry_out(line.decode().split()), flush=True)


async def paced(publish: Callable[[int], Awaitable[None]], times: int, hertz: float) -> float:
    """Publishes so often, at a pace that does not wait for what is late; gives the seconds that it took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for number in range(times):
        await asyncio.sleep(max(0.0, begun + number / hertz - loop.time()))
        await publish(number)
    return loop.time() - begun
