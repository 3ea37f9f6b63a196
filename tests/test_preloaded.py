"""Servers that are forks of one that has loaded them: as much processes of their own as others are."""

import os
import signal
from pathlib import Path

import pytest

from tests.preloaded import Preloaded, can_be_preloaded

SAYS = """
import os, random, signal, sys
files = os.listdir("/proc/self/fd")
print(sys.argv[1:], os.getcwd(), sorted(os.environ), random.random(), sys.stdin.read(), len(files), flush=True)
print("to the log", file=sys.stderr)
if sys.argv[1] == "waits":
    signal.pause()
sys.exit(3)
"""


async def test_a_program_is_what_it_would_be_if_python_had_begun_with_it(tmp_path: Path) -> None:
    program = tmp_path / "says.py"
    program.write_text(SAYS)
    said = []
    with (tmp_path / "log").open("ab") as log:
        for _ in range(2):
            process = await Preloaded.start(str(program), "ends", env={"ONLY": "this"}, stderr=log)
            said.append((await process.stdout.readline()).decode().split())
            assert (await process.wait(), process.returncode) == (3, 3)
            process.send_signal(signal.SIGKILL)

    words, folder, names, _, files = zip(*said, strict=True)
    assert (set(words), set(folder), set(names)) == ({"['ends']"}, {str(Path.cwd())}, {"['ONLY']"})
    assert said[0] != said[1], "two of them draw other random numbers"
    # Those of its input and output, and the folder that it looks at.
    assert set(files) == {"4"}
    assert (tmp_path / "log").read_text() == "to the log\n" * 2


async def test_one_that_is_killed_says_by_what_and_its_neighbour_lives(tmp_path: Path) -> None:
    program = tmp_path / "says.py"
    program.write_text(SAYS)
    with (tmp_path / "log").open("ab") as log:
        first, second = [await Preloaded.start(str(program), "waits", env={}, stderr=log) for _ in range(2)]
        for process in (first, second):
            await process.stdout.readline()

        for process, number in ((first, signal.SIGKILL), (second, signal.SIGTERM)):
            os.kill(process.pid, 0)
            process.send_signal(number)
            assert await process.wait() == -number


def test_what_is_measured_and_what_is_no_file_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    serve = ("-m", "evergreen_server", "serve")
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)
    assert can_be_preloaded(serve, os.environ)
    assert not can_be_preloaded(("-c", "print()"), os.environ)

    monkeypatch.setenv("COVERAGE_PROCESS_START", "pyproject.toml")

    assert not can_be_preloaded(serve, os.environ)


@pytest.mark.parametrize(
    ("name", "preloaded"),
    [("EVERGREEN_LISTEN", True), ("RUNWAYML_BASE_URL", True), ("SSL_CERT_FILE", False), ("TMPDIR", False)],
)
def test_what_libraries_may_read_while_they_are_loaded_starts_anew(name: str, preloaded: bool) -> None:
    serve = ("-m", "evergreen_server", "serve")

    assert can_be_preloaded(serve, {**os.environ, name: "another"}) is preloaded
