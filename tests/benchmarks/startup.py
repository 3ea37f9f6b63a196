"""How long commands and the server take to start: CPU seconds, each beside a named reference of the same run.

The CPU of a whole process, of children too. Of several runs the least counts: what others on the machine add is noise.
"""

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from tests.clients.scripted import ScriptedService

EVERGREEN = (sys.executable, "-m", "evergreen.cli")
COMPLETE = {"_EVERGREEN_COMPLETE": "bash_complete", "COMP_CWORD": "3"}
GRPC, SERVER = "import grpc.aio", "import dbos, grpc.aio, aiohttp"


def run(*, quick: bool) -> None:
    """Measures, and prints a table."""
    rounds = 3 if quick else 9
    grpc_alone = least(rounds, [sys.executable, "-c", GRPC])
    print(f"\n## startup\n\nCPU seconds, the least of {rounds} runs\n")
    print("| what | CPU | reference | aim |\n|---|---|---|---|")
    bare = least(rounds, [sys.executable, "-c", "pass"])
    package = least(rounds, [sys.executable, "-c", "import evergreen"])
    _row("import evergreen", package, f"{GRPC}: {grpc_alone:.2f} s", 1.3 * grpc_alone)
    for name, words, environment in (
        ("evergreen --version", ["--version"], {}),
        ("evergreen --help", ["--help"], {}),
        ("evergreen job list --help", ["job", "list", "--help"], {}),
        ("completion of an option", [], {**COMPLETE, "COMP_WORDS": "evergreen video generate --pri"}),
    ):
        _row(name, least(rounds, [*EVERGREEN, *words], environment), f"python -c pass: {bare:.2f} s", 0.15)
    asyncio.run(_asking(rounds, grpc_alone))
    reference = least(rounds, [sys.executable, "-c", SERVER])
    server = min(_until_ready() for _ in range(rounds))
    _row("evergreen serve --sandbox, until ready", server, f"{SERVER}: {reference:.2f} s", 1.8 * reference)


def least(rounds: int, command: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    """Returns the least CPU of a command's runs, in seconds."""
    return min(_cpu(command, environment or {}) for _ in range(rounds))


async def _asking(rounds: int, grpc_alone: float) -> None:
    async with ScriptedService() as service:
        environment = {"EVERGREEN_ENDPOINT": service.target}
        asked = await asyncio.to_thread(least, rounds, [*EVERGREEN, "health"], environment)
        words = {**COMPLETE, **environment, "COMP_WORDS": "evergreen job status 01"}
        completed = await asyncio.to_thread(least, rounds, EVERGREEN, words)
    _row("evergreen health, with its call", asked, f"{GRPC}: {grpc_alone:.2f} s", 0.35)
    _row("completion of a job, with its call", completed, f"{GRPC}: {grpc_alone:.2f} s", 0.35)


def _row(name: str, seconds: float, reference: str, aim: float) -> None:
    missed = "" if seconds <= aim else ", missed"
    print(f"| `{name}` | {seconds:.2f} s | {reference} | {aim:.2f} s{missed} |")


def _cpu(command: Sequence[str], environment: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env={**os.environ, **environment}, capture_output=True, timeout=120, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _until_ready() -> float:
    """Returns the CPU of a server, and of its children that have ended, until it says that it serves."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [*EVERGREEN, "serve", "--sandbox", "--listen", "127.0.0.1:0"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as server,
    ):
        assert server.stdout is not None
        assert server.stdout.readline().startswith(b"evergreen serves on")
        with open(f"/proc/{server.pid}/stat", encoding="ascii") as file:
            times = file.read().rpartition(")")[2].split()[11:15]
        server.terminate()
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
