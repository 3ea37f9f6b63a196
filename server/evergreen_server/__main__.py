"""The commands `evergreen serve`, `gateway`, `sandbox`, `token`, `provider` and `doctor`. stdout is for data."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

import click

from evergreen.cli.session import global_options, session

# Whatever else is needed is imported by the command that needs it: every --help of the command line loads this module.
if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Coroutine

    from evergreen_server.config import Config
    from evergreen_server.providers.runway.http.raw import RawAnswer

BODY_LIMIT = 16 << 20
"""Bytes of a body that an operator sends."""


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Address of the gRPC server; port 0 picks one.")
@click.option("--sandbox", is_flag=True, help="Use a local sandbox as the provider; needs no key.")
@click.option("--http", metavar="HOST:PORT", help="Address of the HTTP gateway for browsers; port 0 picks one.")
@click.option("--insecure", is_flag=True, help="Serve beyond this machine without tokens or TLS.")
def serve(listen: str | None, sandbox: bool, http: str | None, insecure: bool) -> None:
    """Serve the gRPC API until SIGTERM or SIGINT."""
    from evergreen_server.runtime.arenas import bound_arenas
    from evergreen_server.runtime.logs import set_up_logs

    bound_arenas()
    # Before all else is loaded, which takes seconds: what is wrong is told at once.
    config = _config(sandbox=sandbox, insecure=insecure, listen=listen, http=http)
    set_up_logs(config.log_level, config.log_format)
    from evergreen_server import app
    from evergreen_server.jobs.db.connect import DatabaseUnusable
    from evergreen_server.ports.tracing import TracingUnusable
    from evergreen_server.rpc.server import CannotListen, SlowProtobuf
    from evergreen_server.runtime.gc import tune_gc
    from evergreen_server.runtime.reload import FileUnusable
    from evergreen_storage import StorageError

    def ready(address: str, provider_url: str, http_url: str) -> None:
        tune_gc()
        parts = [f"evergreen serves on {address}"]
        if http_url:
            parts.append(f"HTTP on {http_url}")
        if sandbox:
            parts.append(f"sandbox on {provider_url}")
        click.echo(", ".join(parts))
        sys.stdout.flush()

    try:
        _run(lambda stop: app.serve(config, stop=stop, ready=ready))
    except StorageError as exc:
        raise click.ClickException(_named(exc, "EVERGREEN_STORAGE_URL", "EVERGREEN_STORAGE_OPTIONS")) from exc
    except DatabaseUnusable as exc:
        raise click.ClickException(_named(exc, "EVERGREEN_DATABASE_URL", "EVERGREEN_DATA_DIR")) from exc
    except FileUnusable as exc:
        files = [name for name, value in os.environ.items() if name.startswith("EVERGREEN_") and value in str(exc)]
        raise click.ClickException(_named(exc, *files)) from exc
    except (CannotListen, SlowProtobuf, TracingUnusable, OSError) as exc:
        raise click.ClickException(str(exc)) from exc


@click.command()
@click.option("--http", metavar="HOST:PORT", help="Where to serve; port 0 picks one. Default: 127.0.0.1:8080.")
@global_options()
@click.pass_context
def gateway(context: click.Context, http: str | None) -> None:
    """Serve HTTP for the gRPC server at --endpoint until SIGTERM or SIGINT.

    It is what `evergreen serve --http` serves, as a process of its own. With --insecure also beyond this machine
    without TLS, and for a server that requires no tokens or that is called over the network without TLS.
    """
    import grpc

    from evergreen.security import check_token_is_safe
    from evergreen_server import gateway_app
    from evergreen_server.gateway.server import CannotListen
    from evergreen_server.runtime.gc import tune_gc
    from evergreen_server.runtime.logs import set_up_logs
    from evergreen_server.runtime.reload import FileUnusable

    chosen = session(context)
    found = _config(sandbox=True, insecure=True, http=http)
    config = replace(found, http_listen=found.http_listen or "127.0.0.1:8080")
    set_up_logs(config.log_level, config.log_format)
    try:
        tls = chosen.trust()
        check_token_is_safe(chosen.endpoint, plaintext=tls is None, insecure=chosen.insecure)
    except (OSError, ValueError) as exc:
        raise click.UsageError(str(exc)) from exc
    credentials = None
    if tls is not None:
        credentials = grpc.ssl_channel_credentials(tls.root_certificates, tls.private_key, tls.certificate_chain)

    def ready(url: str) -> None:
        tune_gc()
        click.echo(f"evergreen gateway on {url}, for {chosen.endpoint}")
        sys.stdout.flush()

    try:
        _run(
            lambda stop: gateway_app.serve(
                config,
                target=chosen.endpoint,
                credentials=credentials,
                insecure=chosen.insecure,
                stop=stop,
                ready=ready,
            )
        )
    except (CannotListen, FileUnusable, gateway_app.NotSafe, OSError) as exc:
        raise click.ClickException(str(exc)) from exc


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
    type=click.Choice(["read", "write", "approve", "admin"]),
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

    if projects and all_projects:
        raise click.UsageError("it is for all projects, or for some: give --all-projects or --project, not both")
    if not projects and not all_projects:
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
            click.echo(f"{finding.state:<8} {finding.check:<9} {_readable(finding.text.encode())}")
            if finding.advice:
                click.echo(f"{'':<18} {finding.advice}")
        # Not by returning: a thread that waits for a database which never answers would keep the process.
        os._exit(0 if well else 1)

    uvloop.run(tell())


@click.group()
def provider() -> None:
    """Call the provider's own API, as an operator."""


@provider.command()
@click.argument("method", type=click.Choice(["GET", "POST", "PUT", "PATCH", "DELETE"], case_sensitive=False))
@click.argument("path")
@click.option("--body", type=click.File("rb"), metavar="FILE", help="The request's JSON; - is stdin.")
@click.option("--yes", is_flag=True, help="Send it although it may change the account or cost credits.")
@click.option(
    "--timeout",
    default=120.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long to wait for the answer.",
)
def call(method: str, path: str, body: IO[bytes] | None, yes: bool, timeout: float) -> None:
    """Send one request to PATH, such as /v1/organization, with the server's key, and print the answer.

    Uses RUNWAYML_API_SECRET, RUNWAYML_BASE_URL and EVERGREEN_PROVIDER_PROXY, as the server does. Sends the request
    once. Exits with 1 if the provider answers with an error, or not at all.

    What a POST creates here costs the account's credits, and no ledger, limit or queue of the service knows it.
    """
    import uvloop

    from evergreen_server.ports.provider import ProviderUnavailable
    from evergreen_server.providers.runway.http.proxies import Proxies
    from evergreen_server.providers.runway.http.raw import call_once, path_error

    method = method.upper()
    if wrong := path_error(path):
        raise click.BadParameter(wrong, param_hint="PATH")
    if method != "GET" and not yes:
        raise click.UsageError(
            f"{method} may change the provider's account or cost credits, which no ledger or limit of the service "
            "would know; repeat it with --yes"
        )
    config = _config(sandbox=False, insecure=True)
    data = None if body is None else _json(body)

    async def ask() -> RawAnswer:
        return await call_once(
            method,
            path,
            data,
            base_url=config.base_url,
            api_key=config.api_secret,
            proxies=Proxies(**config.provider_proxies),
            seconds=timeout,
        )

    try:
        answer = uvloop.run(ask())
    except ProviderUnavailable as exc:
        hint = "" if method == "GET" else " Whether it was carried out is not known."
        raise click.ClickException(f"{exc}{hint}") from exc
    click.echo(_readable(answer.body))
    click.echo(f"HTTP {answer.status}" + ("" if answer.whole else ", and the answer is not whole"), err=True)
    if not 200 <= answer.status < 300:
        raise SystemExit(1)


def _named(exc: Exception, *names: str) -> str:
    """Returns what is wrong with those of the settings that are set, which the text of a fault does not know."""
    given = [name for name in names if os.environ.get(name)]
    return f"{exc} ({', '.join(given)})" if given else str(exc)


def _config(*, sandbox: bool, insecure: bool, listen: str | None = None, http: str | None = None) -> Config:
    """Returns the settings; ends the process if they are invalid, with every error."""
    from evergreen_server.config import Config, ConfigError

    try:
        return Config.from_env(os.environ, sandbox=sandbox, listen=listen, insecure=insecure, http=http)
    except ConfigError as exc:
        for error in exc.errors:
            click.echo(error, err=True)
        raise SystemExit(2) from exc


def _json(file: IO[bytes]) -> bytes:
    data = file.read(BODY_LIMIT + 1)
    if len(data) > BODY_LIMIT:
        raise click.BadParameter(f"may have {BODY_LIMIT:,} bytes", param_hint="--body")
    try:
        json.loads(data)
    except ValueError:
        raise click.BadParameter("is not JSON", param_hint="--body") from None
    return data


def _readable(body: bytes) -> str:
    """Returns an answer for a terminal: JSON indented, and no control characters."""
    text = body.decode(errors="replace")
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return "".join(letter if letter == "\n" or letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _run(work: Callable[[asyncio.Event], Coroutine[object, object, None]]) -> None:
    import asyncio

    import uvloop

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
main.add_command(gateway)
main.add_command(sandbox)
main.add_command(token)
main.add_command(provider)
main.add_command(doctor)

if __name__ == "__main__":
    main()
