"""Restricts who may call: programs, but no web page that a browser on the same machine has open.

A page can send simple requests anywhere, and by a name that it has resolve to this machine (rebinding) read answers
too. It can choose neither its `Origin` nor a `Host` of ours, nor send JSON as such without being asked first.
"""

from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Middleware

from evergreen_server.providers.runway.sandbox.http.answers import compact
from evergreen_server.runtime.addresses import on_loopback
from evergreen_server.runtime.doors import Handler

__all__ = ["own_hosts_only", "visitor_fault"]


def own_hosts_only(host: str) -> Middleware:
    """Returns the middleware of a server that listens on `host`.

    On loopback every call must name this machine or that very host. A server for others goes by names that it cannot
    know; its control API asks for loopback all the same.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if on_loopback(host) and not _is_own(request.headers.get("Host", ""), host):
            return refused("the Host header names another machine", 403)
        return await handler(request)

    return middleware


def visitor_fault(request: web.Request, host: str) -> web.Response | None:
    """Returns the refusal of a call of the control API that a page may have sent; None for all others."""
    if request.remote is None or not ip_address(request.remote).is_loopback:
        return refused("the control API answers to this machine alone", 403)
    if not _is_own(request.headers.get("Host", ""), host):
        return refused("the Host header names another machine", 403)
    origin = request.headers.get("Origin")
    if origin is not None and not (origin.startswith("http://") and _is_own(origin.removeprefix("http://"), host)):
        return refused("the control API answers no page of another origin", 403)
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return refused("the control API answers no page of another origin", 403)
    if request.method in ("POST", "PATCH", "PUT") and request.content_type != "application/json":
        return refused("the Content-Type must be application/json", 415)
    return None


def _is_own(authority: str, host: str) -> bool:
    """Returns whether `name` or `name:port` is this machine, or the host that the sandbox listens on."""
    name, colon, port = authority.rpartition(":")
    if not colon or not port.isdecimal() or authority.endswith("]"):
        name = authority
    name = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    return on_loopback(name) or (name.lower() == host.lower() and not _is_wildcard(host))


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def refused(error: str, status: int) -> web.Response:
    return web.Response(status=status, body=compact({"error": error}), content_type="application/json", charset="utf-8")
