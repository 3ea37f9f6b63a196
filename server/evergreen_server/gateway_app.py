"""The gateway alone, before a gRPC server that runs elsewhere: builds it as `app` builds the whole service."""

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import grpc
from prometheus_client import CollectorRegistry

from evergreen_server.config import Config
from evergreen_server.gateway.asking import Unreachable, requires_tokens
from evergreen_server.gateway.server import serve as serve_http
from evergreen_server.media.tools import Thumbnailer
from evergreen_server.metrics.edges import GatewayMetrics
from evergreen_server.metrics.exposition import Exposition, serve_metrics
from evergreen_server.metrics.process import ProcessMetrics
from evergreen_server.parts.ground import THUMBNAIL_LIMITS, open_gate
from evergreen_server.rpc.connections import raise_file_limit
from evergreen_server.runtime.addresses import listen_parts, on_loopback
from evergreen_server.runtime.background import Background
from evergreen_server.runtime.temp import socket_folder

__all__ = ["NotSafe", "serve"]

AGAIN_SECONDS = 15.0
"""After so long the server is asked again whether it requires tokens: it may have been started anew without."""

WANTED = "give --insecure if the network is safe"


class NotSafe(Exception):
    """Others could do everything here; the text says what to do."""


async def serve(
    config: Config,
    *,
    target: str,
    credentials: grpc.ChannelCredentials | None,
    insecure: bool,
    stop: asyncio.Event,
    ready: Callable[[str], None],
    again_seconds: float = AGAIN_SECONDS,
) -> None:
    """Serves HTTP until `stop` for the gRPC server at `target`; calls `ready` with the URL.

    That server may come and go meanwhile. Unless `insecure`, only a server that requires tokens is served over TLS
    beyond loopback; it is asked again every `again_seconds`, and `stop` set once it requires none. Raises NotSafe, and
    what else keeps it from starting.
    """
    guard = None
    if not insecure and config.metrics_listen and not on_loopback(listen_parts(config.metrics_listen)[0]):
        raise NotSafe(f"on {config.metrics_listen} everybody could read the metrics: choose 127.0.0.1, or {WANTED}")
    if not insecure and not on_loopback(listen_parts(config.http_listen)[0]):
        guard = _Guard(config, target, credentials)
        await guard.check()
    async with AsyncExitStack() as stack:
        registry = CollectorRegistry()
        metrics, visits = ProcessMetrics(registry), GatewayMetrics(registry)
        # Tokens are for the server to judge.
        gate = open_gate(replace(config, tokens_file=None))
        background = await stack.enter_async_context(Background(failed=metrics.task_failed))
        for name, work in gate.tasks:
            background.start(work, name=name)
        if guard is not None:
            background.start(partial(guard.run, again_seconds, stop), name="tokens of the server")
        if config.metrics_listen:
            background.start(metrics.watch_loop, name="loop lag")
            await stack.enter_async_context(serve_metrics(config.metrics_listen, Exposition(registry)))
        temp_dir = stack.enter_context(socket_folder(tempfile.gettempdir()))
        url = await stack.enter_async_context(
            serve_http(
                listen=config.http_listen,
                target=target,
                credentials=credentials,
                tls=gate.http_tls.context if gate.http_tls is not None else None,
                hosts=config.http_hosts,
                origins=config.http_origins,
                proxies=config.http_proxies,
                models=config.http_models,
                files=raise_file_limit(),
                grace_seconds=config.grace_seconds,
                answered=visits.answered,
                opened=visits.opened,
                thumbnailer=await _thumbnailer(stack, temp_dir),
            )
        )
        ready(url)
        await stop.wait()
    if guard is not None and guard.found is not None:
        raise guard.found


async def _thumbnailer(stack: AsyncExitStack, temp_dir: Path) -> Thumbnailer:
    return await stack.enter_async_context(Thumbnailer(limits=THUMBNAIL_LIMITS, temp_dir=temp_dir))


class _Guard:
    """Keeps a server from being shown to others that requires no tokens. `found` is why it must not be any more."""

    def __init__(self, config: Config, target: str, credentials: grpc.ChannelCredentials | None) -> None:
        self._config = config
        self._target = target
        self._credentials = credentials
        self.found: NotSafe | None = None

    async def check(self) -> None:
        """Raises NotSafe unless the server may be shown, or if it cannot be asked."""
        if not self._config.tls_files:
            raise NotSafe(
                f"on {self._config.http_listen} others could read every token on its way: set EVERGREEN_TLS_CERT and "
                f"EVERGREEN_TLS_KEY, or {WANTED}"
            )
        try:
            await self._ask()
        except Unreachable as exc:
            raise NotSafe(
                f"{self._target} must be asked whether it requires tokens, and does not say ({exc})"
            ) from None

    async def run(self, again_seconds: float, stop: asyncio.Event) -> None:
        """Asks again and again, and stops the gateway if the server requires no tokens any more."""
        while True:
            await asyncio.sleep(again_seconds)
            try:
                await self._ask()
            except Unreachable:
                # Whoever cannot be asked shows nothing either.
                continue
            except NotSafe as exc:
                self.found = exc
                stop.set()

    async def _ask(self) -> None:
        if not await requires_tokens(self._target, self._credentials):
            raise NotSafe(
                f"{self._target} requires no tokens, so that on {self._config.http_listen} everybody could do "
                f"everything: give that server EVERGREEN_TOKENS_FILE, or {WANTED}"
            )
