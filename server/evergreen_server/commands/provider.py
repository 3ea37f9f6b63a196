"""The commands `evergreen provider …`."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING

import click

from evergreen_server.commands.shared import readable, settings

if TYPE_CHECKING:
    from evergreen_server.providers.runway.http.raw import RawAnswer

__all__ = ["provider"]

BODY_LIMIT = 16 << 20
"""Bytes of a body that an operator sends."""


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
    config = settings(sandbox=False, insecure=True)
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
    click.echo(readable(answer.body))
    click.echo(f"HTTP {answer.status}" + ("" if answer.whole else ", and the answer is not whole"), err=True)
    if not 200 <= answer.status < 300:
        raise SystemExit(1)


def _json(file: IO[bytes]) -> bytes:
    data = file.read(BODY_LIMIT + 1)
    if len(data) > BODY_LIMIT:
        raise click.BadParameter(f"may have {BODY_LIMIT:,} bytes", param_hint="--body")
    try:
        json.loads(data)
    except ValueError:
        raise click.BadParameter("is not JSON", param_hint="--body") from None
    return data
