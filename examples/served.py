"""A server with the sandbox as its provider, and commands against it, as a user would run them. Needs no key."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "evergreen-data"
EVERGREEN = Path(sys.executable).with_name("evergreen")


@contextmanager
def served() -> Iterator[str]:
    """Yields the address of a server on a free port. Exits if it does not start."""
    environ = {**os.environ, "EVERGREEN_DATA_DIR": str(DATA), "EVERGREEN_LOG_LEVEL": "WARNING"}
    command = [str(EVERGREEN), "serve", "--sandbox", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            found = re.search(r"serves on (\S+?),", line)
            if found is None:
                raise SystemExit("the server did not start")
            print(line, end="", flush=True)
            if page := re.search(r"HTTP on ([^\s,]+)", line):
                print(f"the dashboard, while this runs: {page[1]}", flush=True)
            yield found[1]
        finally:
            server.terminate()


def evergreen(
    endpoint: str, *words: str, seconds: float = 80, shown: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Runs one command; its stderr goes to the screen, its stdout is captured, or with `shown` goes there too."""
    print("$", shlex.join(["evergreen", *words]), flush=True)
    command = [str(EVERGREEN), "--endpoint", endpoint, *words]
    stdout = None if shown else subprocess.PIPE
    return subprocess.run(command, check=False, timeout=seconds, cwd=ROOT, stdout=stdout, text=True)
