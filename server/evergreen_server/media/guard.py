"""Keeps fetches away from every address that is not public, however a URL refers to it.

The check is made on the address that the socket is about to connect to. So it holds for literals,
redirects and names whose answer changes between two look-ups, and nothing is sent before it.
"""

import asyncio
import socket
from concurrent.futures import Executor
from functools import partial
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import AddrInfoType, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

_GLOBAL_UNICAST = IPv6Network("2000::/3")

# The standard library of some supported versions calls these global: protocol assignments, the 6to4
# relays, documentation, and prefixes in which another address is hidden (Teredo, 6to4). The other
# hiding places (NAT64, IPv4-compatible) lie outside of global unicast.
_NOT_PUBLIC_4 = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
_NOT_PUBLIC_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


class NotPublic(OSError):
    """A connection was refused because its address is not public."""


def is_public(address: str) -> bool:
    """Returns whether an IP address, as text, belongs to the public internet."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip not in _GLOBAL_UNICAST or any(ip in network for network in _NOT_PUBLIC_6):
            return False
    elif any(ip in network for network in _NOT_PUBLIC_4):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def guarded_socket(addr_info: AddrInfoType) -> socket.socket:
    """Creates the socket for one connection. Raises NotPublic before there is one."""
    family, kind, protocol, _, address = addr_info
    host = address[0]
    if family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(host, str) or not is_public(host):
        raise NotPublic("the address is not public")
    return socket.socket(family=family, type=kind, proto=protocol)


class GuardedResolver(AbstractResolver):
    """Refuses a name if any of its addresses is not public, with one clear error."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answers = await self._resolver.resolve(host, port, family)
        if not all(is_public(answer["host"]) for answer in answers):
            raise NotPublic("the name resolves to an address that is not public")
        return answers

    async def close(self) -> None:
        """Closes nothing: the creator of the inner resolver closes it."""


def trusting_connector(resolver: AbstractResolver) -> TCPConnector:
    """Returns a connector that connects to any address, for hosts that the operator has named."""
    return TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True, limit=0)


def guarded_connector(resolver: AbstractResolver) -> TCPConnector:
    """Returns a connector that connects to public addresses only."""
    return TCPConnector(
        resolver=GuardedResolver(resolver),
        socket_factory=guarded_socket,
        use_dns_cache=False,
        force_close=True,
        limit=0,
    )


class ThreadResolver(AbstractResolver):
    """Resolves names in threads of its own, since a hostile name server can be slow."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        look_up = partial(
            socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        found = await asyncio.get_running_loop().run_in_executor(self._executor, look_up)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for family, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Closes nothing: the creator of the executor closes it."""
