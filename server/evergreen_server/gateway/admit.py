"""The one door of the gateway: what every request must be before anything is done for it, and what every answer says.

A browser sends cookies, and on an open server needs none, whichever page made it call. So a request that changes
something must show that it comes from a page of ours, or carry a token of its own; and the name that it came by must be
one that others cannot point here.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

import grpc
from aiohttp import web
from aiohttp.typedefs import Middleware

from evergreen_server.gateway.bodies import leave_rest
from evergreen_server.gateway.problems import Refused, fault_of_http, internal, problem, refused
from evergreen_server.gateway.readers import taken
from evergreen_server.gateway.visitors import Visitor, Visitors, malformed, only, visitor_of

__all__ = ["Door", "is_refused_host", "secure_headers"]

HEAD_BYTES = 8 << 10
OPEN_PATHS = ("/healthz", "/readyz")
"""Supervisors ask by any name, also while the gateway drains."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = SAFE | {"POST", "PUT", "PATCH", "DELETE"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
ALLOWED = (
    "authorization, content-type, idempotency-key, range, last-event-id, connect-protocol-version, connect-timeout-ms, "
    "grpc-timeout, x-grpc-web, x-user-agent, x-request-id, if-none-match, if-range, x-evergreen-crc32c"
)
EXPOSED = (
    "grpc-status, grpc-message, grpc-status-details-bin, content-range, etag, retry-after, x-request-id, "
    "www-authenticate, location, link, accept-ranges"
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """By which names requests may come, beside addresses and localhost, and which origins' pages may call."""

    hosts: Collection[str]
    origins: Collection[str]


class Known(Protocol):
    """The names of tokens."""

    def known(self, visitor: Visitor) -> str: ...

    async def ask(self, visitor: Visitor) -> str: ...


class Door:
    """Admits requests, counts those under way, and logs each in one line. Used on one loop."""

    def __init__(
        self,
        *,
        rules: Rules,
        visitors: Visitors,
        names: Known,
        answered: Callable[[str, int], None],
        stall_seconds: float,
    ) -> None:
        self._rules = rules
        self._visitors = visitors
        self._names = names
        self._answered = answered
        self._stall_seconds = stall_seconds
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False

    async def drained(self, seconds: float) -> None:
        """Refuses new requests from now on, and waits for those under way, so long at most."""
        self.draining = True
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("requests cut off", extra={"requests": self._under_way})

    def middleware(self) -> Middleware:
        """Returns the outermost middleware."""

        @web.middleware
        async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
            began, status = time.monotonic(), 499
            try:
                response = await self._served(request, handler)
                if response.status != HTTPStatus.UNAUTHORIZED and request.path not in OPEN_PATHS:
                    await self._names.ask(visitor_of(request))
                async with taken(request, self._stall_seconds):
                    await response.prepare(request)
                    await response.write_eof()
                status = response.status
                return response
            finally:
                self._note(request, status, time.monotonic() - began)

        return admit

    async def prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """Completes the head of every answer."""
        visitor = self._visitors.seen(request)
        secure_headers(response, https=visitor.https)
        response.headers["X-Request-Id"] = visitor.request_id
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Vary", "Authorization, Cookie")
        if self._rules.origins:
            response.headers["Vary"] += ", Origin"
            if self._is_listed(request):
                response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
                response.headers["Access-Control-Expose-Headers"] = EXPOSED
                response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        if self.draining:
            response.force_close()
            response.headers["Connection"] = "close"

    async def _served(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            visitor = self._visitors.known(request)
            self._check(request, visitor)
            if request.method == "OPTIONS":
                return self._preflight(request)
            if request.path in OPEN_PATHS:
                return await handler(request)
            self._under_way += 1
            self._idle.clear()
            try:
                return await handler(request)
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()
        except Refused as exc:
            fault = exc.fault
        except web.HTTPException as exc:
            fault = fault_of_http(exc)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as exc:
            fault = internal(exc)
        response = problem(fault, visitor_of(request).request_id)
        leave_rest(request, response)
        return response

    def _check(self, request: web.Request, visitor: Visitor) -> None:
        if sum(len(name) + len(value) + 4 for name, value in request.raw_headers) > HEAD_BYTES:
            raise refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                "HEAD_TOO_LARGE",
                message=f"the header fields have more than {HEAD_BYTES} bytes in all",
                status=431,
            )
        if len(request.raw_path) > HEAD_BYTES:
            raise refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                "HEAD_TOO_LARGE",
                message=f"the target has more than {HEAD_BYTES} bytes",
                status=414,
            )
        if not request.raw_path.startswith("/"):
            raise malformed("the target must be a path")
        if only(request, "Transfer-Encoding").lower() not in ("", "chunked"):
            raise malformed("a body must come as it is, whole or in chunks")
        if only(request, "Expect").lower() not in ("", "100-continue"):
            raise refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                "MALFORMED_REQUEST",
                message="nothing is expected here but 100-continue",
                status=417,
            )
        if request.path in OPEN_PATHS:
            return
        if is_refused_host(visitor.host, self._rules.hosts):
            raise refused(
                grpc.StatusCode.PERMISSION_DENIED,
                "HOST_UNKNOWN",
                message="this server is not known by that name; call it by its address, or list the name in "
                "EVERGREEN_HTTP_HOSTS",
                status=421,
            )
        if not visitor.by_header and (request.method not in SAFE or "Upgrade" in request.headers):
            self._check_origin(request, visitor)
        # An EventSource that comes again would give up at 503: its handler tells it when to come once more.
        if self.draining and not (request.method == "GET" and "Last-Event-ID" in request.headers):
            raise refused(
                grpc.StatusCode.UNAVAILABLE,
                "DRAINING",
                message="the server is stopping; call again",
                retry_seconds=1,
            )

    def _check_origin(self, request: web.Request, visitor: Visitor) -> None:
        sites, origins = request.headers.getall("Sec-Fetch-Site", []), request.headers.getall("Origin", [])
        ours = sites == ["same-origin"] if sites else origins in ([], [visitor.origin])
        if ours and len(origins) < 2:
            return
        if request.method == "GET" and self._is_listed(request):
            # A page cannot set the header of a socket, so it says its token first.
            self._visitors.greeting(request)
        else:
            raise refused(
                grpc.StatusCode.PERMISSION_DENIED,
                "ORIGIN_DENIED",
                message="a page of another origin may call only with 'Authorization: Bearer TOKEN', and if it is "
                "listed in EVERGREEN_HTTP_ORIGINS",
            )

    def _is_listed(self, request: web.Request) -> bool:
        """Returns whether a page of an origin sent it that may call."""
        origins = request.headers.getall("Origin", [])
        return len(origins) == 1 and origins[0] in self._rules.origins

    def _preflight(self, request: web.Request) -> web.StreamResponse:
        if not self._is_listed(request):
            raise refused(
                grpc.StatusCode.PERMISSION_DENIED,
                "ORIGIN_DENIED",
                message="pages of this origin may not call; EVERGREEN_HTTP_ORIGINS lists those that may",
            )
        headers = {
            "Access-Control-Allow-Methods": ", ".join(sorted(METHODS)),
            "Access-Control-Allow-Headers": ALLOWED,
            "Access-Control-Max-Age": "7200",
        }
        return web.Response(status=204, headers=headers)

    def _note(self, request: web.Request, status: int, seconds: float) -> None:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "none"
        self._answered(route, status)
        logger.log(
            logging.DEBUG if route in OPEN_PATHS else logging.INFO,
            "http request",
            extra={
                # Whatever else a client calls its method is not repeated.
                "method": request.method if request.method in METHODS else "OTHER",
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1000, 1),
                "caller": self._names.known(visitor_of(request)),
                "request_id": visitor_of(request).request_id,
            },
        )


def is_refused_host(host: str, listed: Collection[str]) -> bool:
    """Returns whether a request may not come by a name, given as in its Host field, with or without a port."""
    try:
        parts = urlsplit(f"//{host}")
        name, _ = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return True
    if not name or parts.netloc != host or "@" in host:
        return True
    try:
        ip_address(name)
    except ValueError:
        return not (name == "localhost" or name.endswith(".localhost") or name in listed)
    return False


def secure_headers(response: web.StreamResponse, *, https: bool) -> None:
    """Sets what browsers must know of every answer, and takes away what nobody must."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if https:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    response.headers.popall("Server", None)
