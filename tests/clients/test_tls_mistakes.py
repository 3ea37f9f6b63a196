"""TLS mistakes that everybody makes once: each client says in a sentence which one it was."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest

from evergreen import Tls, Unavailable, WireClient
from tests.clients.command_line import CommandLine
from tests.clients.node import run_node
from tests.clients.scripted import ScriptedService
from tests.clients.test_security import CALLER, SERVER

TOLD = (
    "it does not speak TLS, or another one",
    "its certificate is not trusted here; see `tls`",
    "its certificate is not trusted here; see `tls`",
    "its certificate is for another name; see `tls`",
)
"""Of TLS to a service without it, to an authority that nobody knows, to another one's, and to another name."""


class Services(NamedTuple):
    """Addresses of a service with TLS and of one without, and the folder with the certificates."""

    secured: str
    plain: str
    folder: Path


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    (tmp_path / "own").write_bytes(SERVER.certificate)
    (tmp_path / "other").write_bytes(CALLER.certificate)
    credentials = grpc.ssl_server_credentials([(SERVER.key, SERVER.certificate)])
    async with ScriptedService(credentials=credentials) as secured, ScriptedService() as plain:
        yield Services(secured.target, plain.target, tmp_path)


async def test_the_python_client_says_what_is_wrong_with_tls(services: Services) -> None:
    ways = [
        (services.secured, None),
        (services.plain, Tls()),
        (services.secured, Tls()),
        (services.secured, Tls(root_certificates=CALLER.certificate)),
        (services.secured, Tls(root_certificates=SERVER.certificate, server_name="elsewhere.example")),
    ]
    told = []
    for target, tls in ways:
        async with WireClient(target, tls=tls, timeout=60, options=[("grpc.enable_retries", 0)]) as client:
            with pytest.raises(Unavailable) as caught:
                await client.models()
            told.append(str(caught.value).partition(": ")[2])

    assert [each.partition(" (")[0] for each in told] == ["it closed the connection; it may want TLS", *TOLD]


async def test_the_command_says_which_option_is_missing_or_too_much(services: Services) -> None:
    evergreen = CommandLine(services.secured)

    ways: list[tuple[str, ...]] = [
        (),
        ("--tls", "--endpoint", services.plain),
        ("--tls",),
        ("--tls-ca", str(services.folder / "other")),
    ]
    ended = [await evergreen("models", "--timeout", "60", *way) for way in ways]
    credentials = grpc.ssl_server_credentials([(CALLER.key, CALLER.certificate)])
    async with ScriptedService(credentials=credentials) as other:
        trusted = str(services.folder / "other")
        misnamed = await evergreen("models", "--timeout", "60", "--tls-ca", trusted, "--endpoint", other.target)

    secured, plain = services.secured, services.plain
    untrusted = f"Error: {secured} has a certificate that is not trusted here: name its authority, --tls-ca FILE\n"
    assert [each.code for each in ended] == [1] * len(ways)
    closed = f"{secured} closes the connection. If it uses TLS: --tls, or --tls-ca FILE for an authority of your own"
    assert [each.stderr for each in ended] == [
        f"Error: {closed}\n",
        f"Error: {plain} does not use TLS: leave out --tls and --tls-ca\n",
        untrusted,
        untrusted,
    ]
    text = f"Error: {other.target} has a certificate for another name: --endpoint must have the name that it is for\n"
    assert (misnamed.code, misnamed.stderr) == (1, text)


async def test_the_client_of_node_says_what_is_wrong_with_tls(services: Services) -> None:
    printed = await run_node("mistakes.js", services.secured, services.plain, str(services.folder))

    assert printed.splitlines() == [
        f"the service cannot be reached: {told} (Unavailable)"
        for told in ("it closed the connection; it may want TLS", *TOLD)
    ]
