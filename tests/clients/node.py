"""The TypeScript client in a process of its own, for tests that have Python on the other side."""

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TSC = ROOT / "node_modules" / ".bin" / "tsc"


async def run_node(script: str, *args: str) -> str:
    """Compiles the client and its tests, which takes a second, and gives what one of the scripts there prints."""
    # Who comes second finds everything compiled and writes nothing, while the first may be running it.
    async with _alone(ROOT / ".make" / "typescript.lock"):
        for project in ("clients/typescript", "tests/clients/typescript"):
            await _output(str(_TSC), "-p", project)
    return await _output("node", str(ROOT / ".make" / "typescript" / script), *args)


async def run_example(name: str, *args: str, **environ: str) -> str:
    """Compiles the client and an example of that name, and gives what the example prints."""
    folder = await compiled_example(name)
    return await _output("node", str(folder / f"{name}.js"), *args, **environ)


async def compiled_example(name: str) -> Path:
    """Compiles the client and an example of that name, and gives the folder of its scripts."""
    folder = ROOT / ".make" / "typescript" / name
    async with _alone(ROOT / ".make" / "typescript.lock"):
        await _output(str(_TSC), "-p", "clients/typescript")
        await _output(str(_TSC), "-p", f"examples/{name}", "--outDir", str(folder))
    return folder


@asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[None]:
    """Keeps every other process out, until the end of the context."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        yield


async def watched_by_node(address: str, job_ids: Sequence[str]) -> list[tuple[int, str, str]]:
    """What a watch of jobs tells its caller until it ends by itself: revisions, jobs and kinds of events."""
    out = await run_node("watcher.js", address, *job_ids)
    return [(revision, job_id, kind) for revision, job_id, kind in map(json.loads, out.splitlines())]


async def _output(*command: str, **environ: str) -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env={**os.environ, **environ}, stdout=pipe, stderr=pipe
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{out.decode()}{err.decode()}\nIf a package is missing, run `make setup`."
    return out.decode()
