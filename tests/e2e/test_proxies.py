"""A provider that can be reached through a proxy alone, by tunnels with a password."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from evergreen.v1 import video_pb2 as v1
from tests.loopback import serving_app
from tests.providers.runway.proxy import PASSWORD, proxy
from tests.rpc.identities import certificate
from tests.serving import Control, ServerProcess, first_frame

PROVIDER = "localhost:9"
"""Where the provider is said to be; nobody listens there."""


@asynccontextmanager
async def encrypted(sandbox_url: str, folder: Path) -> AsyncIterator[int]:
    """Serves the sandbox by TLS as PROVIDER would be; gives the port. The authority's certificate is ca.pem."""
    authority = certificate("authority")
    identity = certificate("localhost", authority)
    for name, pem in (("ca.pem", authority.pem), ("cert.pem", identity.pem), ("key.pem", identity.key)):
        (folder / name).write_bytes(pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    async with aiohttp.ClientSession() as session:

        async def pass_on(request: web.Request) -> web.Response:
            kept = ("Authorization", "X-Runway-Version", "Content-Type", "Range")
            headers = {name: request.headers[name] for name in kept if name in request.headers}
            async with session.request(
                request.method, sandbox_url + request.path_qs, data=await request.read(), headers=headers
            ) as answer:
                body = (await answer.read()).replace(sandbox_url.encode(), f"https://{PROVIDER}".encode())
                return web.Response(status=answer.status, body=body, content_type=answer.content_type)

        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{rest:.*}", pass_on)
        async with serving_app(app, ssl=context) as address:
            yield int(address.rpartition(":")[2])


@pytest.mark.parametrize("loses_its_way", [False, True], ids=["a proxy", "a proxy that comes late"])
async def test_a_job_is_done_through_a_proxy_and_its_password_is_in_no_log(
    tmp_path: Path, sandbox: Control, loses_its_way: bool
) -> None:
    leads_to: dict[str, int] = {PROVIDER: 9} if loses_its_way else {}
    async with encrypted(sandbox.url, tmp_path) as port, proxy(leads_to) as passed:
        if not loses_its_way:
            leads_to[PROVIDER] = port
        settings = {
            "EVERGREEN_PROVIDER_PROXY": passed.url,
            "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
            "EVERGREEN_LOG_LEVEL": "DEBUG",
        }
        async with ServerProcess(tmp_path / "data", f"https://{PROVIDER}", settings) as process:
            api = await process.start()
            job = await api.generate(media=[first_frame()], model="gen4_turbo", duration_seconds=3)
            if loses_its_way:
                await api.warned(job.job_id, "PROVIDER_UNAVAILABLE")
                leads_to[PROVIDER] = port
            done = await api.finished(job.job_id)

    log = await asyncio.to_thread((tmp_path / "data.log").read_text)
    assert done.state == v1.JOB_STATE_SUCCEEDED
    assert len(await sandbox.tasks()) == 1
    assert set(passed.asked) == {("CONNECT", PROVIDER)}
    for secret in (PASSWORD, "p%40ss"):
        assert secret not in log
