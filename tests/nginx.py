"""`python -m tests.nginx`: the service behind a real nginx, with the settings of docs/proxies.md as they stand.

Takes `nginx` from the path, such as Debian's.
"""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import video_pb2 as v1
from tests.rpc.identities import certificate
from tests.rpc.scenes import download, upload
from tests.serving import Api, free_address, open_sandbox, serving, violations_of

PAGE = Path(__file__).parents[1] / "docs" / "proxies.md"
MAIN = """\
daemon off;
pid {folder}/pid;
error_log {folder}/log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{ours}
}}
"""
QUIET_SECONDS = 70.0
"""Longer than nginx waits by itself for the next bytes of an answer or a request."""


@asynccontextmanager
async def nginx(folder: Path, target: str) -> AsyncIterator[str]:
    """Runs one before the service at an address, and gives its own. `ca.pem` is what its clients are to trust."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "nginx is needed: apt-get install nginx-light"
    address = free_address()
    authority = certificate("authority")
    identity = certificate("localhost", authority)
    for name, pem in (("ca.pem", authority.pem), ("cert.pem", identity.pem), ("key.pem", identity.key)):
        (folder / name).write_bytes(pem)
    found = re.search(r"^```nginx\n(.*?)```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    ours = found[1].replace("127.0.0.1:50051", target).replace("listen 443", f"listen {address}")
    ours = re.sub(r"(cert|key)\.pem", rf"{folder}/\1.pem", ours)
    settings = folder / "nginx.conf"
    settings.write_text(MAIN.format(folder=folder, ours=ours))
    process = await asyncio.create_subprocess_exec(program, "-c", str(settings), "-p", str(folder))
    try:
        yield address
    finally:
        process.terminate()
        await process.wait()


async def check(api: Api, direct: Api) -> None:
    """Does through the proxy what its defaults would break."""
    await api.channel.channel_ready()
    data = os.urandom(9 << 20)
    asset = await upload(api, data, path="images/a.bin")
    assert asset.size_bytes == len(data)
    _, chunks = await download(api, "images/a.bin")
    assert b"".join(chunks) == data
    print("9 MiB up and down: as it should be")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await api.generate(labels={f"{number}{'x' * 70}": "" for number in range(1000)})
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT, error.value
    assert len(violations_of(error.value)) > 10
    print("a thousand field errors: as it should be")
    watched = api.video.WatchProgress(v1.WatchProgressRequest(project_id="film", after_revision=0))
    seen: list[int] = []

    async def watch() -> None:
        async for message in watched:
            if message.HasField("event"):
                seen.append(message.event.job.state)
                if message.event.job.state == v1.JOB_STATE_SUCCEEDED:
                    return

    watching = asyncio.create_task(watch(), name="a watch")
    await asyncio.sleep(QUIET_SECONDS)
    await direct.generate()
    await asyncio.wait_for(watching, 60)
    assert seen[-1] == v1.JOB_STATE_SUCCEEDED
    print(f"a watch that was quiet for {QUIET_SECONDS:.0f} s: as it should be")


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Its workers are of another user, where it is started by root.
        os.chmod(folder, 0o755)
        async with (
            open_sandbox() as sandbox,
            serving(folder / "data", sandbox.url) as direct,
            nginx(folder, direct.address) as address,
        ):
            trusted = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes())
            async with grpc.aio.secure_channel(address, trusted) as channel:
                await check(Api(channel, address), direct)


if __name__ == "__main__":
    asyncio.run(main())
