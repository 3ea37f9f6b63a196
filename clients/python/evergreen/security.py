"""The client's identity and trust: TLS, the bearer token, and where a token must not be sent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from os import PathLike
from pathlib import Path
from typing import Self, TypeAlias

import grpc

Token: TypeAlias = str | Callable[[], str]
"""A bearer token, or a function that returns the current one before each call; it must return at once."""


SCHEMES = frozenset({"dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds"})
"""Of gRPC's own names of targets (its naming.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS settings; certificates and keys are PEM. `Tls()` trusts the root certificates that gRPC includes.

    `root_certificates` replaces those. `certificate_chain` and `private_key` belong together and identify the caller
    to the service (mutual TLS). `server_name` is the name that the service's certificate must contain, if it differs
    from the target's.
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
        """Reads the files once; the next client reads renewed files. Raises OSError, ValueError."""

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
    """Opens a channel, without TLS if `tls` is None."""
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
    """Raises ValueError if a token would be sent unencrypted over the network, unless `insecure` allows that."""
    if plaintext and not insecure and not is_loopback(target):
        raise ValueError(
            f"a token is not sent to {target} without TLS, where anyone on the way can read it: give `tls`, or "
            "`insecure=True` if the way is safe"
        )


def check_target(target: str) -> None:
    """Raises ValueError with one sentence for what is neither HOST:PORT nor a gRPC target with one of its schemes."""
    scheme, _, rest = target.partition(":")
    if scheme in SCHEMES and rest.strip("/"):
        return
    host, _, port = target.rpartition(":")
    wrong = not host.strip("[]") or not port.isascii() or not port.isdigit() or not 1 <= int(port[:6]) <= 65_535
    if wrong or "/" in target or (":" in host and not host.startswith("[")):
        raise ValueError(f"the service's address must be HOST:PORT, such as 127.0.0.1:50051, not {target[:200]!r}")


def is_loopback(target: str) -> bool:
    """Returns whether a gRPC target is certainly this machine."""
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
    """Returns the value of the `authorization` metadata. Raises ValueError for an invalid token."""
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
