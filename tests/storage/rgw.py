"""Ceph's object gateway on this machine: a real S3 server, with real signatures, over a cluster of one in memory.

Debian and Ubuntu have it: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common.
"""

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.storage.emulators import S3Bucket, request

KEY, SECRET = "key", "secret-value"
PROGRAMS: Final = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
START_SECONDS: Final = 60

# Without the two `update on start` the OSD refuses this cluster's id.
CONFIGURATION: Final = """
[global]
fsid = {fsid}
auth cluster required = none
auth service required = none
auth client required = none
mon host = v1:127.0.0.1:{monitor}
mon allow pool size one = true
mon data = {folder}/mon
osd data = {folder}/osd
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
run dir = {folder}
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 4294967296
osd class update on start = false
osd crush update on start = false
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{gateway} tcp_nodelay=1
rgw gc obj min wait = 5
rgw data = {folder}/rgw
"""

_NUMBERS = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RgwBucket(S3Bucket):
    """A bucket of the gateway, which takes no request without a signature."""

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        unsigned = AWSRequest(method=method, url=f"http://{self.address}{path}", data=body)
        S3SigV4Auth(Credentials(KEY, SECRET), "s3", "us-east-1").add_auth(unsigned)
        headers: Mapping[str, str] = dict(unsigned.headers)
        return request(self.address, method, path, body, headers)


class RgwEmulator:
    """A monitor, an object store daemon in memory, and the gateway."""

    def __init__(self, address: str) -> None:
        self.address = address

    @classmethod
    @contextmanager
    def start(cls, folder: Path) -> Iterator["RgwEmulator"]:
        """Starts a cluster in this folder. Fails, and says what to install, where it cannot be had."""
        if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
            raise AssertionError(
                f"Ceph's object gateway is not installed: {', '.join(missing)} not found. On Debian and Ubuntu: "
                "apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common"
            )
        monitor, gateway = _free_port(), _free_port()
        cluster, osd = str(uuid.uuid4()), str(uuid.uuid4())
        configuration = folder / "ceph.conf"
        configuration.write_text(CONFIGURATION.format(fsid=cluster, folder=folder, monitor=monitor, gateway=gateway))
        for name in ("mon", "osd", "rgw"):
            (folder / name).mkdir()

        def ceph(program: str, *arguments: str) -> None:
            command = [program, "-c", str(configuration), *arguments]
            with (folder / "start.log").open("ab") as log:
                subprocess.run(command, stdout=log, stderr=log, timeout=START_SECONDS, check=True)

        with ExitStack() as stack:

            def daemon(program: str, *arguments: str) -> None:
                command = [program, "-c", str(configuration), "-f", *arguments]
                with (folder / "start.log").open("ab") as log:
                    process = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
                stack.callback(process.kill)

            address = f"[v1:127.0.0.1:{monitor}]"
            ceph("monmaptool", "--create", "--fsid", cluster, "--addv", "a", address, str(folder / "monmap"))
            ceph("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(folder / "monmap"))
            daemon("ceph-mon", "-i", "a")
            ceph("ceph", "osd", "new", osd)
            ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
            daemon("ceph-osd", "-i", "0")
            ceph("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=here")
            user = ["--uid=tests", "--display-name=tests", f"--access-key={KEY}", f"--secret={SECRET}"]
            ceph("radosgw-admin", "user", "create", *user)
            daemon("radosgw", "-n", "client.rgw")
            _wait(gateway)
            started = cls(f"127.0.0.1:{gateway}")
            # The first object and the first upload make the cluster's pools, for which no test's time limit is meant.
            first = started.bucket()
            first.put("first", b"1")
            first.request("POST", f"/{first.name}/second?uploads")
            yield started

    def bucket(self) -> RgwBucket:
        made = RgwBucket(address=self.address, name=f"bucket-{os.getpid()}-{next(_NUMBERS)}")
        made.request("PUT", f"/{made.name}")
        return made


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait(port: int) -> None:
    """Waits until something listens; the gateway says so nowhere."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
