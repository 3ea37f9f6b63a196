"""The demo beside a server that runs in the same folder; CI runs the whole demo by itself."""

import fcntl
from pathlib import Path

import pytest

from examples.served import FOLDERS, free_folder


def test_a_folder_that_a_server_has_open_is_left_alone(tmp_path: Path) -> None:
    usual, other = (tmp_path / name for name in FOLDERS)
    assert free_folder(tmp_path) == usual
    for folder in (usual, other):
        (folder / "state").mkdir(parents=True)
        (folder / "state" / "evergreen.sqlite.lock").touch()
    assert free_folder(tmp_path) == usual

    with (usual / "state" / "evergreen.sqlite.lock").open() as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        assert free_folder(tmp_path) == other
        with (other / "state" / "evergreen.sqlite.lock").open() as second:
            fcntl.flock(second, fcntl.LOCK_EX)
            with pytest.raises(SystemExit, match="stop one"):
                free_folder(tmp_path)
