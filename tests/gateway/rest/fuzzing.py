"""Drives a running server by its own OpenAPI document with schemathesis: `python -m tests.gateway.rest.fuzzing 100`."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.gateway.gateways import gateway
from tests.serving import open_sandbox

SEED = 7
SECONDS = 3000


async def fuzzed(url: str, folder: Path, *, phases: str, examples: int) -> tuple[int, str]:
    """The exit code, 0 if no answer was an error of ours, and what schemathesis says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/api/v1/openapi.json"),
        *("--checks", "not_a_server_error", "--phases", phases, "--max-examples", str(examples), "--seed", str(SEED)),
        # Watches have no end. More workers trip over each other's syntax trees in hypothesis.
        *("--exclude-path-regex", "/events$", "--workers", "1", "--generation-deterministic"),
        *("--warnings", "off", "--no-color"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return await process.wait(), output.decode()


async def main(examples: int) -> int:
    with TemporaryDirectory() as folder:
        async with open_sandbox() as sandbox, gateway(Path(folder) / "data", sandbox) as api:
            code, text = await fuzzed(api.http, Path(folder), phases="coverage,fuzzing,stateful", examples=examples)
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]))))
