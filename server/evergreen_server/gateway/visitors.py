"""Who sends a request, and by which names and addresses, as far as its head tells; nothing in it is trusted yet."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from ipaddress import ip_address, ip_network
from uuid import uuid4

import grpc
from aiohttp import web

from evergreen_server.gateway.problems import refused
from evergreen_server.gateway.upstream import Metadata

__all__ = ["Visitor", "Visitors", "bucket_of", "malformed", "only", "visitor_of"]

COOKIE = "evergreen"
SECURE_COOKIE = "__Host-evergreen"
"""Browsers take this name only over https and for the whole host, so that no neighbour can plant it."""
LONGESTTOKEN = 4096
_AUTHORIZATION = re.compile(r"[!-~]+( [!-~]+)?")
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,4096}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_IN_URL = re.compile(r"(?i)evg_[A-Za-z0-9_-]{20}|[?&](access_token|authorization|bearer|token)=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """The sender of a request. `authorization` is what goes on to the server, from its head or from the cookie."""

    host: str
    https: bool
    address: str
    request_id: str
    authorization: str = field(default="", repr=False)
    by_header: bool = False
    greets: bool = False
    """Whether a socket of a listed origin's page was let in, which must show a token of its own first."""
    trace: str = ""

    @property
    def origin(self) -> str:
        """Returns the origin of pages that come from here."""
        return f"{'https' if self.https else 'http'}://{self.host}"

    @property
    def owner(self) -> str:
        """Returns the owner of shared places: the token's digest, empty where none came."""
        return sha256(self.authorization.encode()).hexdigest() if self.authorization else ""

    @property
    def cookie(self) -> str:
        """Returns the name of the session's cookie."""
        return SECURE_COOKIE if self.https else COOKIE

    def metadata(self) -> Metadata:
        """Returns what goes on to the server with a call, and nothing else of the request does."""
        # Of the address the server takes note only where nobody but this gateway can call, at its own socket.
        pairs = [("x-request-id", self.request_id), ("x-forwarded-for", self.address)]
        if self.authorization:
            pairs.append(("authorization", self.authorization))
        if self.trace:
            pairs.append(("traceparent", self.trace))
        return tuple(pairs)


_VISITOR = web.RequestKey("visitor", Visitor)


class Visitors:
    """Reads who sends a request; the forwarding headers of `proxies` are believed, and nobody else's."""

    def __init__(self, *, proxies: Iterable[str]) -> None:
        self._proxies = [ip_network(proxy) for proxy in proxies]

    def known(self, request: web.Request) -> Visitor:
        """Keeps and returns the sender of a request. Raises Refused for a head that says two things or nonsense."""
        visitor = self.request_only(request)
        request[_VISITOR] = visitor
        host, by_header = only(request, "Host"), "Authorization" in request.headers
        forwarded = self.trusts(request.remote or "") and _last(request, "X-Forwarded-Host")
        authorization = ""
        if by_header:
            authorization = _authorization(request)
        elif token := request.cookies.get(visitor.cookie):
            authorization = f"Bearer {token}" if TOKEN.fullmatch(token) else ""
        if _IN_URL.search(request.raw_path):
            raise refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                "TOKEN_IN_URL",
                message="a token does not belong into a URL, which is logged on its way: send it as "
                "'Authorization: Bearer TOKEN', and have this one replaced",
            )
        trace = only(request, "traceparent")
        visitor = Visitor(
            host=(forwarded or host).lower(),
            https=visitor.https,
            address=visitor.address,
            request_id=visitor.request_id,
            authorization=authorization,
            by_header=by_header,
            trace=trace if _TRACE.fullmatch(trace) else "",
        )
        request[_VISITOR] = visitor
        return visitor

    def greeting(self, request: web.Request) -> None:
        """Keeps the sender of a request as one that has shown no token yet, whatever cookie came along."""
        request[_VISITOR] = replace(visitor_of(request), authorization="", greets=True)

    def seen(self, request: web.Request) -> Visitor:
        """Returns the sender of a request, whether or not it came as far as to be admitted."""
        return visitor_of(request) if _VISITOR in request else self.request_only(request)

    def request_only(self, request: web.Request) -> Visitor:
        """Returns what is known of the sender whatever it says."""
        peer = request.remote or ""
        trusted = self.trusts(peer)
        given = request.headers.get("X-Request-Id", "")
        return Visitor(
            host="",
            https=_last(request, "X-Forwarded-Proto").lower() == "https"
            if trusted and "X-Forwarded-Proto" in request.headers
            else request.secure,
            address=bucket_of(self._client(request, peer) if trusted else peer),
            request_id=given if _REQUEST_ID.fullmatch(given) else uuid4().hex,
        )

    def _client(self, request: web.Request, peer: str) -> str:
        """Returns the last address of the chain that is none of our proxies."""
        chain = [part.strip() for line in request.headers.getall("X-Forwarded-For", []) for part in line.split(",")]
        for address in reversed(chain):
            if not self.trusts(address):
                return address if _is_ip(address) else peer
        return peer

    def trusts(self, address: str) -> bool:
        """Returns whether an address is one of a proxy of ours."""
        return _is_ip(address) and any(ip_address(address) in network for network in self._proxies)


def visitor_of(request: web.Request) -> Visitor:
    """Returns the sender of a request that was admitted."""
    return request[_VISITOR]


def only(request: web.Request, name: str) -> str:
    """Returns a header field that may come once, empty if it did not.

    Raises Refused if it came more often, or is no text.
    """
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise malformed(f"{name} came {len(values)} times")
    if any(not value.isascii() and not _is_text(value) for value in values):
        raise malformed(f"{name} is not UTF-8")
    return values[0].strip() if values else ""


def _is_text(value: str) -> bool:
    """Returns whether a field was UTF-8: what was not is read as surrogates, which no message could carry on."""
    return not any("\ud800" <= char <= "\udfff" for char in value)


def malformed(message: str) -> Exception:
    """Returns the refusal of a request whose head or frame is not as it must be."""
    return refused(grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST", message=message)


def _authorization(request: web.Request) -> str:
    values = request.headers.getall("Authorization")
    if len(values) == 1 and len(values[0]) <= LONGESTTOKEN and _AUTHORIZATION.fullmatch(values[0]):
        return values[0]
    raise refused(
        grpc.StatusCode.UNAUTHENTICATED,
        "TOKEN_INVALID",
        message="the header must come once, as 'Authorization: Bearer TOKEN'",
    )


def _last(request: web.Request, name: str) -> str:
    """Returns what the nearest proxy said."""
    values = request.headers.getall(name, [])
    return values[-1].rpartition(",")[2].strip() if values else ""


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def bucket_of(address: str) -> str:
    """Returns the owner of an address: of IPv6 the network of 64 bits, which one customer has."""
    if not _is_ip(address):
        return address
    ip = ip_address(address)
    mapped = getattr(ip, "ipv4_mapped", None)
    return str(mapped or (ip if ip.version == 4 else ip_network(f"{address.partition('%')[0]}/64", strict=False)))
