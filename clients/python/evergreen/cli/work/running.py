"""Runs a command's work with a client, and translates what goes wrong into one sentence and an exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from evergreen.cli.exits import ExitCode
from evergreen.cli.failures import Failure
from evergreen.cli.output import plain
from evergreen.cli.session import Session
from evergreen.errors import EvergreenError
from evergreen.security import Tls, is_loopback
from evergreen.wire import WireClient

T = TypeVar("T")


def run(session: Session, work: Callable[[WireClient], Awaitable[T]]) -> T:
    """Runs `work` with a client. Raises ClickException, Exit."""
    try:
        tls = trust(session)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"TLS: {_told(error)}") from error
    if session.token is not None and tls is None and not session.insecure and not is_loopback(session.endpoint):
        raise click.UsageError(
            f"a token is not sent to {session.endpoint} without TLS, where anyone on the way can read it: give --tls, "
            "or --tls-ca FILE; or --insecure, if the way is safe"
        )

    async def connected() -> T:
        async with WireClient(
            session.endpoint, timeout=session.timeout, tls=tls, token=session.token, insecure=session.insecure
        ) as client:
            return await work(client)

    try:
        return asyncio.run(connected())
    except KeyboardInterrupt:
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        raise
    except EvergreenError as error:
        raise Failure(error, session=session) from error
    except (ValueError, TypeError) as error:
        # Values that a message cannot hold: numbers out of range, broken text.
        raise click.UsageError(plain(str(error))) from error
    except OSError as error:
        if error.filename is None:
            # Of stdout, which has no name.
            raise
        raise click.ClickException(plain(_told(error))) from error


def trust(session: Session) -> Tls | None:
    """Returns the settings of TLS, None to go without. Raises OSError, ValueError."""
    files = (session.tls_ca, session.tls_client_cert, session.tls_client_key)
    if not session.tls and not any(files):
        return None
    for option, file in (("--tls-ca", session.tls_ca), ("--tls-client-cert", session.tls_client_cert)):
        if file is not None:
            _check_pem(option, file)
    return Tls.from_files(root_certificates=files[0], certificate_chain=files[1], private_key=files[2])


def _check_pem(option: str, file: str) -> None:
    """Raises ValueError for a file without a certificate, which gRPC would tell as a lost connection."""
    import ssl  # Takes longer to load than all else here, and few need it.

    try:
        text = Path(file).read_text(encoding="latin-1")
        begin = text.index("-----BEGIN CERTIFICATE-----")
        ssl.PEM_cert_to_DER_cert(text[begin : text.index("-----END CERTIFICATE-----") + 25])
    except ValueError:
        raise ValueError(f"{option} {file} holds no certificate in PEM") from None


def _told(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}"
    return str(error)
