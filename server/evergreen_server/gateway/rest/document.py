"""Serves the OpenAPI document, which is built from the contract and the table of bindings."""

from collections.abc import Iterable
from importlib.resources import files

from aiohttp import web

from evergreen_server.gateway.rest.reading import matches, tag_of_bytes
from evergreen_server.gateway.rest.routes import ROOT

__all__ = ["OpenApi"]


class OpenApi:
    """The handler of the document."""

    def __init__(self) -> None:
        self._document = files("evergreen_server.gateway").joinpath("static/openapi.json").read_bytes()

    def routes(self) -> Iterable[web.RouteDef]:
        """Returns the route."""
        return [web.get(f"{ROOT}/openapi.json", self._get)]

    async def _get(self, request: web.Request) -> web.Response:
        headers = {"ETag": tag_of_bytes(self._document), "Cache-Control": "no-cache"}
        if matches(request, headers["ETag"]):
            return web.Response(status=304, headers=headers)
        return web.Response(body=self._document, headers={**headers, "Content-Type": "application/json"})
