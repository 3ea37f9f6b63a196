"""The command `evergreen sandbox`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evergreen_server.commands.shared import run

if TYPE_CHECKING:
    import asyncio

__all__ = ["sandbox"]


@click.command()
@click.option("--listen", default="127.0.0.1:50052", metavar="HOST:PORT", show_default=True, help="Port 0 picks one.")
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Simulated seconds per real second.",
)
@click.option("--state-dir", type=click.Path(path_type=Path), help="Folder that keeps tasks across restarts.")
@click.option("--tier", default=5, show_default=True, type=click.IntRange(1, 5), help="The account's tier.")
@click.option("--render-scale", default=1.0, show_default=True, help="Output pixels per requested pixel, per side.")
@click.option("--api-key", "keys", multiple=True, metavar="KEY", help="Take this key, of any form. Can be repeated.")
@click.option("--insecure", is_flag=True, help="Listen beyond this machine, for whoever reaches it.")
def sandbox(
    listen: str,
    speed: float,
    state_dir: Path | None,
    tier: int,
    render_scale: float,
    keys: tuple[str, ...],
    insecure: bool,
) -> None:
    """Run a local Runway for tests: its API, real MP4s, scripted faults."""
    from aiohttp import ThreadedResolver

    from evergreen_server.media.guard import guarded_connector
    from evergreen_server.providers.runway.sandbox import SANDBOX_KEY, Sandbox, Settings
    from evergreen_server.providers.runway.sandbox.state.clock import check_speed
    from evergreen_server.runtime.addresses import listen_parts, on_loopback
    from evergreen_server.runtime.logs import set_up_logs

    set_up_logs("INFO", "text")
    try:
        host, port = listen_parts(listen, port=50052)
        if not insecure and not on_loopback(host):
            raise ValueError(
                f"{listen} can be reached from other machines, and fetches what its callers name: --insecure"
            )
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
            keys=keys,
            connector=lambda: guarded_connector(ThreadedResolver()),
        ) as opened:
            click.echo(f"evergreen sandbox on {opened.url}, key {keys[0] if keys else SANDBOX_KEY}")
            sys.stdout.flush()
            await stop.wait()

    try:
        run(work)
    except (OSError, RuntimeError) as exc:
        raise click.ClickException(f"the sandbox cannot start: {exc}") from exc
