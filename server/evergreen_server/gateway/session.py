"""Sessions of browsers: a token is traded once for a cookie that scripts cannot read, and that holds the token itself.

So there is no store: a session works on every replica and through restarts, and ends as soon as its token does.
"""

import grpc
from aiohttp import web

from evergreen.v1 import video_pb2
from evergreen_server.gateway.bodies import read_body, refuse_compression
from evergreen_server.gateway.messages import read_object, to_json
from evergreen_server.gateway.names import caller_of
from evergreen_server.gateway.places import Logins, Places
from evergreen_server.gateway.problems import Refused, invalid, problem, refused
from evergreen_server.gateway.upstream import Metadata, Upstream
from evergreen_server.gateway.visitors import TOKEN, Visitor, only, visitor_of

__all__ = ["Sessions"]

PATH = "/session"
COOKIE_SECONDS = 43_200
BODY_BYTES = 8 << 10


class Sessions:
    """The handlers of `/session`: who am I, log in, log out."""

    def __init__(self, *, upstream: Upstream, places: Places, logins: Logins) -> None:
        self._upstream = upstream
        self._places = places
        self._logins = logins

    def routes(self) -> list[web.RouteDef]:
        """Returns the routes."""
        return [web.get(PATH, self._show), web.post(PATH, self._log_in), web.delete(PATH, self._log_out)]

    async def _show(self, request: web.Request) -> web.Response:
        visitor = visitor_of(request)
        try:
            return _json(await self._caller(visitor, visitor.metadata()))
        except Refused as exc:
            response = problem(exc.fault, visitor.request_id)
            if exc.fault.code is grpc.StatusCode.UNAUTHENTICATED and visitor.authorization and not visitor.by_header:
                # The token is gone, and so is the session.
                _forget(response, visitor)
            return response

    async def _log_in(self, request: web.Request) -> web.Response:
        visitor = visitor_of(request)
        token = await self._token(request)
        self._logins.begin(visitor.address)
        kept = False
        try:
            caller = await self._caller(visitor, (("x-request-id", visitor.request_id), *_bearer(token)))
            kept = True
        except Refused as exc:
            # Only what the server said of the token counts.
            kept = exc.fault.code is not grpc.StatusCode.UNAUTHENTICATED
            raise
        finally:
            if kept:
                self._logins.succeeded(visitor.address)
        response = _json(caller)
        if caller.tokens_required:
            response.set_cookie(
                visitor.cookie,
                token,
                max_age=COOKIE_SECONDS,
                path="/",
                secure=visitor.https,
                httponly=True,
                samesite="Strict",
            )
        return response

    async def _log_out(self, request: web.Request) -> web.Response:
        response = web.Response(status=204)
        _forget(response, visitor_of(request))
        return response

    async def _caller(self, visitor: Visitor, metadata: Metadata) -> video_pb2.GetCallerResponse:
        return await caller_of(self._upstream, self._places, visitor, metadata)

    async def _token(self, request: web.Request) -> str:
        if only(request, "Content-Type").partition(";")[0].strip().lower() != "application/json":
            raise refused(
                grpc.StatusCode.UNIMPLEMENTED,
                "CONTENT_TYPE_UNSUPPORTED",
                message="a session is asked for by application/json",
                status=415,
                headers={"Accept-Post": "application/json"},
            )
        refuse_compression(request)
        # The struct of it, since no message of the contract has a token.
        document = read_object(await read_body(request, BODY_BYTES, self._places))
        if unknown := sorted(document.keys() - {"token"}):
            raise invalid(unknown[0][:100], "no such member; a session is asked for by token alone")
        token = document.get("token")
        if not isinstance(token, str) or not TOKEN.fullmatch(token):
            raise invalid("token", "must be a token, as `evergreen token` prints it")
        return token


def _bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


def _json(caller: video_pb2.GetCallerResponse) -> web.Response:
    return web.Response(body=to_json(caller), headers={"Content-Type": "application/json"})


def _forget(response: web.Response, visitor: Visitor) -> None:
    response.del_cookie(visitor.cookie, path="/", secure=visitor.https, httponly=True, samesite="Strict")
