"""A measurement in which a part is missing fails, instead of showing a figure of the rest."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Copy:
    """What measures and what sums up, on data of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / ".make" / "coverage"
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        shutil.copy(ROOT / "pyproject.toml", folder)

    def python(self, *arguments: str, measured: bool = False) -> tuple[int, str]:
        ours = ("COVERAGE_", "PYTHONPATH")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        if measured:
            environ["PYTHONPATH"] = str(self.folder / "scripts" / "measured")
        command = (sys.executable, *arguments)
        done = subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    def summary(self, *arguments: str) -> tuple[int, str]:
        return self.python(str(self.folder / "scripts" / "coverage_summary.py"), *arguments)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_no_data_at_all_is_an_error(copy: Copy) -> None:
    code, said = copy.summary("--part")

    assert code == 1
    assert "coverage: data is missing" in said


def test_each_process_is_counted_wherever_it_runs(copy: Copy) -> None:
    for _ in range(2):
        assert copy.python("-c", "import evergreen_storage", measured=True) == (0, "")

    code, said = copy.summary("--part")

    assert code == 0, said
    assert said.splitlines()[-1].startswith("coverage: lines ")
    assert said.splitlines()[-1].endswith(", by 2 processes")


def test_a_process_that_ends_at_once_or_by_a_signal_is_counted(copy: Copy) -> None:
    for end in ("os._exit(0)", "os.kill(os.getpid(), 15)"):
        copy.python("-c", f"import os, evergreen_storage; {end}", measured=True)

    assert len(list(copy.data.iterdir())) == 2


def test_data_that_cannot_be_read_is_an_error(copy: Copy) -> None:
    copy.python("-c", "import evergreen_storage", measured=True)
    (copy.data / "data.torn").write_bytes(b"SQLite format 3\0 and no more")

    code, said = copy.summary("--part")

    assert code == 1
    assert "data.torn" in said


def test_a_part_is_summed_up_for_its_folders_alone(copy: Copy) -> None:
    copy.python("-c", "import evergreen_storage", measured=True)

    code, said = copy.summary("--part", "*/evergreen_storage")

    assert code == 0, said
    assert said.splitlines()[-1].startswith("coverage of */evergreen_storage: lines ")
    assert "evergreen_server" not in said


def test_a_whole_run_without_a_server_of_its_own_is_an_error(copy: Copy) -> None:
    copy.python("-c", "import evergreen_server.__main__, evergreen_server.media.decoder", measured=True)

    code, said = copy.summary()

    assert code == 1
    assert "no process was measured that runs server/evergreen_server/__main__.py" in said
