"""The commands `evergreen serve` and `evergreen sandbox`. stdout gets one line, the address; stderr the rest."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import click
import uvloop

from evergreen_server.collector import calm_collector
from evergreen_server.config import Config, ConfigError
from evergreen_server.logs import set_up_logs


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Address of the gRPC server; port 0 picks one.")
@click.option("--sandbox", is_flag=True, help="Use a local sandbox as the provider; needs no key.")
def serve(listen: str | None, sandbox: bool) -> None:
    """Serve the gRPC API until SIGTERM or SIGINT."""
    # Here, not above: the client's verbs and every --help would wait for it.
    from evergreen_server import app
    from evergreen_server.jobs.connecting import DatabaseUnusable
    from evergreen_server.rpc.server import CannotListen, SlowProtobuf
    from evergreen_storage import StorageError

    try:
        config = Config.from_env(os.environ, sandbox=sandbox, listen=listen)
    except ConfigError as exc:
        for fault in exc.faults:
            click.echo(fault, err=True)
        raise SystemExit(2) from exc
    set_up_logs(config.log_level, config.log_format)

    def ready(address: str, provider_url: str) -> None:
        calm_collector()
        click.echo(f"evergreen serves on {address}" + (f", sandbox on {provider_url}" if sandbox else ""))
        sys.stdout.flush()

    try:
        _run(lambda stop: app.serve(config, stop=stop, ready=ready))
    except (DatabaseUnusable, StorageError, CannotListen, SlowProtobuf, OSError) as exc:
        raise click.ClickException(str(exc)) from exc


@click.command()
@click.option("--listen", default="127.0.0.1:50052", metavar="HOST:PORT", show_default=True, help="Port 0 picks one.")
@click.option("--speed", default=1.0, show_default=True, help="Simulated seconds per real second.")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Keep tasks here over a restart.")
@click.option("--tier", default=5, show_default=True, type=click.IntRange(1, 5), help="The account's tier.")
@click.option("--render-scale", default=1.0, show_default=True, help="Output pixels per asked pixel, per side.")
def sandbox(listen: str, speed: float, state_dir: Path | None, tier: int, render_scale: float) -> None:
    """Run a local Runway for tests: its API, real MP4s, scripted faults."""
    from evergreen_server.sandbox import SANDBOX_KEY, Sandbox, Settings

    set_up_logs("INFO", "text")
    host, _, port = listen.rpartition(":")

    async def work(stop: asyncio.Event) -> None:
        settings = Settings(render_scale=render_scale)
        async with Sandbox(
            host=host, port=int(port), speed=speed, state_dir=state_dir, tier=tier, settings=settings
        ) as opened:
            click.echo(f"evergreen sandbox on {opened.url}, key {SANDBOX_KEY}")
            sys.stdout.flush()
            await stop.wait()

    _run(work)


def _run(work: Callable[[asyncio.Event], Coroutine[object, object, None]]) -> None:
    async def until_signalled() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await work(stop)

    uvloop.run(until_signalled())


@click.group()
def main() -> None:
    """Run without the client's command line, as in `python -m evergreen_server serve`."""


main.add_command(serve)
main.add_command(sandbox)

if __name__ == "__main__":
    main()
