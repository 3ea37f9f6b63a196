"""`python -m tests.pgbouncer`: the service behind a real PgBouncer, by session and by transaction.

Takes `pgbouncer` from the path, such as Debian's.
"""

import asyncio
import getpass
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from evergreen.v1 import video_pb2
from evergreen_server.jobs.db.connect import DatabaseUnusable, open_database
from tests.postgres import own_postgres
from tests.serving import free_address, open_sandbox, serving

JOBS = 60
SETTINGS = """\
[databases]
* = host={host} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 40
max_client_conn = 200
pidfile = {folder}/pid
logfile = {folder}/log
"""


@contextmanager
def pgbouncer(url: str, mode: str) -> Iterator[str]:
    """Runs one in front of the database at `url`, and gives its address."""
    parts, port = urlsplit(url), free_address().rpartition(":")[2]
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "settings.ini"
        host = parse_qs(parts.query)["host"][0]
        settings.write_text(SETTINGS.format(host=host, port=port, mode=mode, folder=folder))
        command = ["pgbouncer", str(settings)]
        if getpass.getuser() == "root":
            # It refuses to run as root: as whom PostgreSQL runs, since the socket is in a folder of that one's own.
            for path in (Path(folder), settings):
                shutil.chown(path, Path(host).owner())
            command[1:1] = ["-u", Path(host).owner()]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
            finally:
                process.terminate()


async def answers(url: str) -> None:
    """Waits until there is somebody at the address."""
    parts = urlsplit(url)
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                await writer.wait_closed()
                return


async def by_session(url: str) -> None:
    await answers(url)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            open_sandbox() as sandbox,
            serving(Path(folder) / "data", sandbox.url, EVERGREEN_DATABASE_URL=url) as api,
        ):
            made = await asyncio.gather(*(api.generate() for _ in range(JOBS)))
            ended = await asyncio.gather(*(api.finished(job.job_id) for job in made))
    assert {job.state for job in ended} == {video_pb2.JOB_STATE_SUCCEEDED}, ended


async def by_transaction(url: str) -> None:
    await answers(url)
    with pytest.raises(DatabaseUnusable, match=r"pool_mode|pooling mode"):
        async with open_database(url):
            pass


def main() -> None:
    with own_postgres() as server:
        for mode, check in (("session", by_session), ("transaction", by_transaction), ("statement", by_transaction)):
            with pgbouncer(server.create(), mode) as url:
                asyncio.run(check(url))
            print(f"pool_mode = {mode}: as it should be")


if __name__ == "__main__":
    main()
