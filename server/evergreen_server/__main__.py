"""The commands `evergreen serve` and `gateway`, and with them those of an operator. stdout is for data."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import click

from evergreen.cli.session import global_options, session
from evergreen_server.commands.doctor import doctor
from evergreen_server.commands.provider import provider
from evergreen_server.commands.sandbox import sandbox
from evergreen_server.commands.shared import named, run, settings
from evergreen_server.commands.token import token

__all__ = ["doctor", "gateway", "provider", "sandbox", "serve", "token"]


# Whatever else is needed is imported by the command that needs it: every --help of the command line loads this module.


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
    config = settings(sandbox=sandbox, insecure=insecure, listen=listen, http=http)
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
        run(lambda stop: app.serve(config, stop=stop, ready=ready))
    except StorageError as exc:
        raise click.ClickException(named(exc, "EVERGREEN_STORAGE_URL", "EVERGREEN_STORAGE_OPTIONS")) from exc
    except DatabaseUnusable as exc:
        raise click.ClickException(named(exc, "EVERGREEN_DATABASE_URL", "EVERGREEN_DATA_DIR")) from exc
    except FileUnusable as exc:
        files = [name for name, value in os.environ.items() if name.startswith("EVERGREEN_") and value in str(exc)]
        raise click.ClickException(named(exc, *files)) from exc
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
    found = settings(sandbox=True, insecure=True, http=http)
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
        run(
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
