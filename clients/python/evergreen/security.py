"""Who the client is and whom it trusts: TLS, the bearer token, and where a token may not go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from os import PathLike
from pathlib import Path
from typing import Self, TypeAlias

import grpc

Token: TypeAlias = str | Callable[[], str]
"""A bearer token, or what is asked for the present one before each call; it must return at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS with the service, all of it PEM. `Tls()` trusts the roots that gRPC brings along.

    `root_certificates` is whom to trust instead. `certificate_chain` and `private_key` go together and tell the
    service who is calling (mutual TLS). `server_name` is the name that the service's certificate must bear, where
    it is not the target's.
    """

    root_certificates: bytes | None = None
    certificate_chain: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)
    server_name: str = ""

    def __post_init__(self) -> None:
        if (self.certificate_chain is None) != (self.private_key is None):
            raise ValueError("a client's certificate needs its private key, and the key its certificate: give both")

    @classmethod
    def from_files(
        cls,
        *,
        root_certificates: "str | PathLike[str] | None" = None,
        certificate_chain: "str | PathLike[str] | None" = None,
        private_key: "str | PathLike[str] | None" = None,
        server_name: str = "",
    ) -> Self:
        """Reads the files now; renewed ones are taken by the next client. Raises OSError, ValueError."""

        def read(path: "str | PathLike[str] | None") -> bytes | None:
            return None if path is None else Path(path).read_bytes()

        return cls(
            root_certificates=read(root_certificates),
            certificate_chain=read(certificate_chain),
            private_key=read(private_key),
            server_name=server_name,
        )


def open_channel(
    target: str, *, tls: Tls | grpc.ChannelCredentials | None, options: Sequence[tuple[str, str | int]]
) -> grpc.aio.Channel:
    """Opens a channel, without TLS where none is given."""
    match tls:
        case None:
            return grpc.aio.insecure_channel(target, options=options)
        case Tls():
            credentials = grpc.ssl_channel_credentials(tls.root_certificates, tls.private_key, tls.certificate_chain)
            named = [("grpc.ssl_target_name_override", tls.server_name)] if tls.server_name else []
            return grpc.aio.secure_channel(target, credentials, options=[*named, *options])
        case _:
            return grpc.aio.secure_channel(target, tls, options=options)


def check_token_is_safe(target: str, *, plaintext: bool, insecure: bool) -> None:
    """Raises ValueError where a token would be sent for anyone on the way to read, unless that is wanted."""
    if plaintext and not insecure and not is_loopback(target):
        raise ValueError(
            f"a token is not sent to {target} without TLS, where anyone on the way can read it: give `tls`, or "
            "`insecure=True` if the way is safe"
        )


def is_loopback(target: str) -> bool:
    """Tells whether a gRPC target is surely this machine."""
    scheme, _, rest = target.partition(":")
    match scheme:
        case "unix" | "unix-abstract":
            return True
        case "dns" | "ipv4" | "ipv6":
            addresses = rest.rpartition("/")[2]
        case _:
            addresses = target
    return all(_is_loopback_host(_host(address)) for address in addresses.split(","))


def bearer(token: Token) -> str:
    """Makes the value of the `authorization` metadata. Raises ValueError for what no token can be."""
    value = token if isinstance(token, str) else token()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("a token is visible ASCII without spaces")
    return f"Bearer {value}"


def _host(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address if address.count(":") > 1 else address.partition(":")[0]


def _is_loopback_host(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
