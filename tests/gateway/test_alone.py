"""The gateway alone, built in this process before a server that is faked at the wire."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from evergreen.v1 import video_pb2
from evergreen_server import gateway_app
from evergreen_server.config import Config
from tests.documented import documented
from tests.rpc.identities import certificate

WAIT_SECONDS = 60


@asynccontextmanager
async def alone(path: str, *, insecure: bool = True, **environ: str) -> AsyncIterator[asyncio.Task[None]]:
    """A gateway before whatever serves gRPC at a path; gives its task, which ends with the context at the latest."""
    config = Config.from_env(
        {"EVERGREEN_GRACE_SECONDS": "1", "EVERGREEN_HTTP_LISTEN": "127.0.0.1:0", **environ}, sandbox=True, insecure=True
    )
    stop, ready = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(
        gateway_app.serve(
            config,
            target=f"unix:{path}",
            credentials=None,
            insecure=insecure,
            stop=stop,
            ready=lambda _: ready.set(),
            again_seconds=0.05,
        )
    )
    try:
        await asyncio.wait_for(ready.wait(), WAIT_SECONDS)
        yield serving
    finally:
        stop.set()
        await asyncio.wait([serving], timeout=WAIT_SECONDS)


async def test_it_measures_how_late_its_loop_is(path: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with alone(path, EVERGREEN_METRICS_LISTEN="127.0.0.1:0"), aiohttp.ClientSession() as session:
        address = next(record.address for record in caplog.records if record.getMessage() == "metrics served")
        text = "evergreen_loop_lag_seconds_count 0.0"
        async with asyncio.timeout(WAIT_SECONDS):
            while "evergreen_loop_lag_seconds_count 0.0" in text:
                async with session.get(f"http://{address}/metrics") as answer:
                    text = await answer.text()

    assert "evergreen_loop_lag_seconds_count" in text
    # As the page says below its table.
    known, others = (
        documented(),
        ("evergreen_build_info", "evergreen_loop_lag_seconds", "evergreen_background_failures"),
    )
    ours = {name for name in known if name.startswith(("evergreen_http_", "evergreen_gateway_", "process_"))}
    served = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert served == {name: known[name].type for name in (*ours, *others)}


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:9000"])
async def test_metrics_that_others_could_read_are_refused(path: str, listen: str) -> None:
    config = Config.from_env({"EVERGREEN_METRICS_LISTEN": listen}, sandbox=True, insecure=True)

    with pytest.raises(gateway_app.NotSafe, match="everybody could read the metrics"):
        await gateway_app.serve(
            replace(config, http_listen="127.0.0.1:0"),
            target=f"unix:{path}",
            credentials=None,
            insecure=False,
            stop=asyncio.Event(),
            ready=lambda url: pytest.fail(f"it serves {url}"),
        )


class Server(grpc.GenericRpcHandler):
    """A server that says whether it requires tokens, or is not to be asked."""

    def __init__(self) -> None:
        self.requires = True
        self.away = False
        self.asked = asyncio.Queue[bool]()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        called = details.method.rpartition("/")[2] == "GetCaller"
        return grpc.unary_unary_rpc_method_handler(self.caller) if called else None

    async def caller(self, _: bytes, call: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        self.asked.put_nowait(self.requires)
        if self.away:
            await call.abort(grpc.StatusCode.INTERNAL, "odd")
        return video_pb2.GetCallerResponse(tokens_required=self.requires).SerializeToString()


@pytest.mark.parametrize("away", [False, True])
async def test_beyond_this_machine_it_ends_once_the_server_requires_no_tokens(
    path: str, tmp_path: Path, away: bool
) -> None:
    ours = certificate("ours")
    shown = certificate("server", ours)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(shown.pem)
    key.write_bytes(shown.key)
    files = {"EVERGREEN_TLS_CERT": str(cert), "EVERGREEN_TLS_KEY": str(key)}
    fake, server = Server(), grpc.aio.server()
    server.add_generic_rpc_handlers((fake,))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        async with alone(path, insecure=False, EVERGREEN_HTTP_LISTEN="0.0.0.0:0", **files) as serving:
            fake.away = away
            async with asyncio.timeout(WAIT_SECONDS):
                # The first before it began; that others go well, or get no answer, ends nothing.
                for _ in range(3):
                    assert await fake.asked.get()
                assert not serving.done()
                fake.requires = fake.away = False

                with pytest.raises(gateway_app.NotSafe, match="requires no tokens"):
                    await serving
    finally:
        await server.stop(0)
