"""The folder of the gateway's socket: of one user, short, and gone afterwards."""

import os
import tempfile
from pathlib import Path

import pytest

from evergreen_server.runtime.temp import socket_folder


def test_it_is_closed_to_others_short_enough_for_a_socket_and_removed(tmp_path: Path) -> None:
    # Longer than a socket's path may be.
    with socket_folder(str(tmp_path / ("long" * 20))) as path:
        assert path.parent.stat().st_mode & 0o077 == 0
        assert len(os.fsencode(path / "grpc")) <= 107

    assert not path.exists()


def test_a_folder_that_others_could_open_is_refused(tmp_path: Path) -> None:
    short = Path(tempfile.mkdtemp(dir="/tmp", prefix="e"))
    planted = short / f"evergreen-{os.getuid()}"
    try:
        for make in (lambda: planted.mkdir() or planted.chmod(0o755), lambda: planted.symlink_to(tmp_path)):
            make()
            with pytest.raises(PermissionError), socket_folder(str(short)):
                raise AssertionError("it was taken")
            planted.unlink() if planted.is_symlink() else planted.rmdir()
    finally:
        short.rmdir()
