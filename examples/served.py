"""A server with the sandbox as its provider, and commands against it, as a user would run them. Needs no key."""

import fcntl
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("evergreen-data", "evergreen-demo")
"""The one that servers use by themselves, and one for when such a server is running."""
EVERGREEN = Path(sys.executable).with_name("evergreen")


@dataclass(frozen=True, slots=True)
class Served:
    """A server: its address, and the folder of its data."""

    endpoint: str
    data: Path


@contextmanager
def served() -> Iterator[Served]:
    """Yields a server on a free port. Exits if it does not start."""
    data = free_folder(ROOT)
    environ = {**os.environ, "EVERGREEN_DATA_DIR": str(data), "EVERGREEN_LOG_LEVEL": "WARNING"}
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
            yield Served(found[1], data)
        finally:
            server.terminate()


def free_folder(root: Path) -> Path:
    """Returns the first folder that no server has open. Exits if there is none."""
    for name in FOLDERS:
        try:
            with (root / name / "state" / "evergreen.sqlite.lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{name} is in use by a server", flush=True)
            continue
        except FileNotFoundError:
            pass
        return root / name
    raise SystemExit("stop one of these servers first")


def evergreen(
    endpoint: str, *words: str, seconds: float = 80, shown: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Runs one command; its stderr goes to the screen, its stdout is captured, or with `shown` goes there too."""
    print("$", shlex.join(["evergreen", *words]), flush=True)
    command = [str(EVERGREEN), "--endpoint", endpoint, *words]
    stdout = None if shown else subprocess.PIPE
    return subprocess.run(command, check=False, timeout=seconds, cwd=ROOT, stdout=stdout, text=True)
