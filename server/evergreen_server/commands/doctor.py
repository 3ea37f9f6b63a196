"""The command `evergreen doctor`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn

import click

from evergreen_server.commands.shared import readable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["doctor"]


@click.command()
@click.option("--sandbox", is_flag=True, help="As for `serve --sandbox`: no provider is asked.")
@click.option("--insecure", is_flag=True, help="As for `serve --insecure`.")
@click.option(
    "--output", type=click.Choice(["table", "json"]), default="table", help="json prints one object for each check."
)
@click.option(
    "--timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long each check may take.",
)
def doctor(sandbox: bool, insecure: bool, output: str, timeout: float) -> None:
    """Check what a server with these settings needs: database, storage, provider, clock, limits.

    Says for each what is wrong and what to do, and exits with 1 if anything is. It can run beside a server.
    """
    import uvloop

    from evergreen_server.config import Config, ConfigError
    from evergreen_server.doctor import Finding, examine

    async def findings() -> AsyncIterator[Finding]:
        try:
            config = Config.from_env(os.environ, sandbox=sandbox, insecure=insecure)
        except ConfigError as exc:
            for error in exc.errors:
                yield Finding(check="settings", state="wrong", text=error, advice="see docs/settings.md")
            return
        async for finding in examine(config, seconds=timeout):
            yield finding

    async def tell() -> NoReturn:
        well = True
        async for finding in findings():
            well = well and finding.state != "wrong"
            if output == "json":
                click.echo(json.dumps(asdict(finding), ensure_ascii=False))
                continue
            click.echo(f"{finding.state:<8} {finding.check:<9} {readable(finding.text.encode())}")
            if finding.advice:
                click.echo(f"{'':<18} {finding.advice}")
        # Not by returning: a thread that waits for a database which never answers would keep the process.
        os._exit(0 if well else 1)

    uvloop.run(tell())
