"""The commands `evergreen serve`, `sandbox` and `token`. stdout gets one line, stderr the rest."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import click
import uvloop

from evergreen_server.config import Config, ConfigError
from evergreen_server.runtime.addresses import listen_parts
from evergreen_server.runtime.gc import tune_gc
from evergreen_server.runtime.logs import set_up_logs


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Address of the gRPC server; port 0 picks one.")
@click.option("--sandbox", is_flag=True, help="Use a local sandbox as the provider; needs no key.")
@click.option("--insecure", is_flag=True, help="Serve beyond this machine without tokens or TLS.")
def serve(listen: str | None, sandbox: bool, insecure: bool) -> None:
    """Serve the gRPC API until SIGTERM or SIGINT."""
    # Imported here, since the client's commands and every --help would otherwise wait for it.
    from evergreen_server import app
    from evergreen_server.jobs.db.connect import DatabaseUnusable
    from evergreen_server.rpc.server import CannotListen, SlowProtobuf
    from evergreen_server.runtime.reload import FileUnusable
    from evergreen_storage import StorageError

    try:
        config = Config.from_env(os.environ, sandbox=sandbox, listen=listen, insecure=insecure)
    except ConfigError as exc:
        for error in exc.errors:
            click.echo(error, err=True)
        raise SystemExit(2) from exc
    set_up_logs(config.log_level, config.log_format)

    def ready(address: str, provider_url: str) -> None:
        tune_gc()
        click.echo(f"evergreen serves on {address}" + (f", sandbox on {provider_url}" if sandbox else ""))
        sys.stdout.flush()

    try:
        _run(lambda stop: app.serve(config, stop=stop, ready=ready))
    except (DatabaseUnusable, StorageError, CannotListen, FileUnusable, SlowProtobuf, OSError) as exc:
        raise click.ClickException(str(exc)) from exc


@click.command()
@click.option("--listen", default="127.0.0.1:50052", metavar="HOST:PORT", show_default=True, help="Port 0 picks one.")
@click.option("--speed", default=1.0, show_default=True, help="Simulated seconds per real second.")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Folder that keeps tasks across restarts.")
@click.option("--tier", default=5, show_default=True, type=click.IntRange(1, 5), help="The account's tier.")
@click.option("--render-scale", default=1.0, show_default=True, help="Output pixels per requested pixel, per side.")
def sandbox(listen: str, speed: float, state_dir: Path | None, tier: int, render_scale: float) -> None:
    """Run a local Runway for tests: its API, real MP4s, scripted faults."""
    from aiohttp import ThreadedResolver

    from evergreen_server.media.guard import guarded_connector
    from evergreen_server.providers.runway.sandbox import SANDBOX_KEY, Sandbox, Settings
    from evergreen_server.providers.runway.sandbox.state.clock import check_speed

    set_up_logs("INFO", "text")
    try:
        host, port = listen_parts(listen, port=50052)
        check_speed(speed)
        settings = Settings(render_scale=render_scale)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc

    async def work(stop: asyncio.Event) -> None:
        async with Sandbox(
            host=host,
            port=port,
            speed=speed,
            state_dir=state_dir,
            tier=tier,
            settings=settings,
            connector=lambda: guarded_connector(ThreadedResolver()),
        ) as opened:
            click.echo(f"evergreen sandbox on {opened.url}, key {SANDBOX_KEY}")
            sys.stdout.flush()
            await stop.wait()

    try:
        _run(work)
    except (OSError, RuntimeError) as exc:
        raise click.ClickException(f"the sandbox cannot start: {exc}") from exc


@click.command()
@click.option("--name", required=True, help="The owner's name; identifies the line in the tokens file.")
@click.option(
    "--project", "projects", multiple=True, metavar="ID", help="A project that the token is valid for. Can be repeated."
)
@click.option("--all-projects", is_flag=True, help="The token is valid for every project, including new ones.")
@click.option(
    "--right",
    "rights",
    multiple=True,
    type=click.Choice(["read", "write", "admin"]),
    help="A right of the token. Can be repeated. Default: read and write.",
)
@click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    help="json prints the token and its line on stdout.",
)
def token(name: str, projects: tuple[str, ...], all_projects: bool, rights: tuple[str, ...], output: str) -> None:
    """Create a token. Prints its line for EVERGREEN_TOKENS_FILE and, on stderr, the token itself, only this once.

    evergreen token --name studio --project film >> tokens
    """
    from evergreen_server.rpc.access.policy import Right
    from evergreen_server.rpc.access.tokens import new_token

    if bool(projects) == all_projects:
        raise click.UsageError("say whose jobs and scenes it is for: --project ID, or --all-projects")
    try:
        made, line = new_token(name, projects, [Right(right) for right in dict.fromkeys(rights or ("read", "write"))])
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    if output == "json":
        click.echo(json.dumps({"token": made, "entry": json.loads(line)}))
    else:
        click.echo(line)
        click.echo(f"The token, which is kept nowhere: {made}", err=True)


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
main.add_command(token)

if __name__ == "__main__":
    main()
