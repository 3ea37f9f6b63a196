"""`evergreen gateway`: the HTTP side as a process of its own, before a server that comes and goes."""

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from evergreen.v1 import video_pb2 as v1
from tests.rpc.identities import Certificate, Tokens, certificate
from tests.serving import START_SECONDS, WAIT_SECONDS, Control, serving

GATEWAY = ("-m", "evergreen.cli", "gateway")
TOKENS_NEEDED = "requires no tokens, so that on 0.0.0.0:0 everybody could do everything"


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    out: str
    err: str


async def start(*options: str, **environ: str) -> asyncio.subprocess.Process:
    own = {name: value for name, value in os.environ.items() if not name.startswith("EVERGREEN_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *GATEWAY, *options),
        env={**own, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(*options: str, **environ: str) -> Ended:
    process = await start(*options, **environ)
    async with asyncio.timeout(START_SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(code=process.returncode, out=out.decode(), err=err.decode())


@asynccontextmanager
async def gateway(*options: str, **environ: str) -> AsyncIterator[str]:
    """A gateway that ends as it should; yields its URL."""
    process = await start(*options, **environ)
    assert process.stdout is not None
    assert process.stderr is not None
    # Read all along, so that no log stops it.
    log = asyncio.create_task(process.stderr.read())
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), START_SECONDS)).decode()
        assert line.startswith("evergreen gateway on http"), (line, log)
        yield line.split()[3].rstrip(",")
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), START_SECONDS)
        await log
    assert code == 0, log.result()


async def until(session: aiohttp.ClientSession, status: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while (await session.get("/readyz")).status != status:
            pass


def pems(folder: Path, shown: Certificate) -> tuple[Path, Path]:
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(shown.pem)
    key.write_bytes(shown.key)
    return cert, key


async def test_it_serves_a_server_that_goes_and_comes_back(tmp_path: Path, sandbox: Control) -> None:
    async with serving(tmp_path / "data", sandbox.url) as api:
        address = api.address
        job_id = (await api.generate()).job_id
    async with (
        gateway("--endpoint", address, "--http", "127.0.0.1:0") as url,
        aiohttp.ClientSession(url) as session,
    ):
        await until(session, 503)
        async with session.get(f"/api/v1/videos/{job_id}") as away:
            assert (away.status, away.headers["Retry-After"]) == (503, "1")

        async with serving(tmp_path / "data", sandbox.url, EVERGREEN_LISTEN=address) as api:
            await until(session, 200)
            assert (await api.finished(job_id)).state == v1.JOB_STATE_SUCCEEDED
            async with session.get(f"/api/v1/videos/{job_id}") as answer:
                job = (await answer.json())["job"]

    assert (job["jobId"], job["state"]) == (job_id, "JOB_STATE_SUCCEEDED")


async def test_beyond_this_machine_it_wants_tls_and_a_server_that_wants_tokens(
    tmp_path: Path, sandbox: Control
) -> None:
    ours = certificate("ours")
    cert, key = pems(tmp_path, certificate("server", ours))
    files = {"EVERGREEN_TLS_CERT": str(cert), "EVERGREEN_TLS_KEY": str(key)}
    ca = tmp_path / "ca.pem"
    ca.write_bytes(ours.pem)
    tokens = Tokens(tmp_path / "tokens")
    token = tokens.give("film")
    everywhere = ("--http", "0.0.0.0:0")
    async with serving(tmp_path / "open", sandbox.url) as api:
        plain = await ended("--endpoint", api.address, *everywhere)
        unknown = await ended("--endpoint", api.address, *everywhere, **files)
    async with (
        serving(tmp_path / "data", sandbox.url, EVERGREEN_TOKENS_FILE=str(tokens.path), **files) as api,
        gateway("--endpoint", api.address, "--tls-ca", str(ca), *everywhere, **files) as url,
        aiohttp.ClientSession(url.replace("0.0.0.0", "127.0.0.1")) as session,
    ):
        trust = ssl.create_default_context(cadata=ours.pem.decode())
        bearer = {"Authorization": f"Bearer {token}"}
        async with session.get("/api/v1/caller", headers=bearer, ssl=trust) as answer:
            told = await answer.json()
        async with session.get("/api/v1/caller", ssl=trust) as nobody:
            assert nobody.status == 401

    assert (plain.code, unknown.code) == (1, 1)
    assert "EVERGREEN_TLS_CERT and EVERGREEN_TLS_KEY" in plain.err
    assert TOKENS_NEEDED in unknown.err
    assert told["name"] == "film"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        pytest.param(("--endpoint", "192.0.2.1:50051"), "without TLS", id="tokens over the network"),
        pytest.param(("--http", "nowhere"), "EVERGREEN_HTTP_LISTEN: must be HOST:PORT", id="no address"),
        pytest.param(("--tls-ca", "missing.pem"), "missing.pem", id="no such file"),
        pytest.param(("--tls-client-cert", "missing.pem"), "missing.pem", id="no such certificate"),
    ],
)
async def test_what_it_cannot_use_is_named(options: tuple[str, ...], word: str) -> None:
    found = await ended(*options)

    assert (found.code, found.out) == (2, "")
    assert word in found.err
    assert "Traceback" not in found.err
