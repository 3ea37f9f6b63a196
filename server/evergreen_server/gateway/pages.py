"""The dashboard: one page, and the files that it is made of, built from `dashboard/` and kept in this package."""

import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

import grpc
from aiohttp import web

from evergreen_server.gateway.problems import refused
from evergreen_server.gateway.rest.reading import matches, tag_of_bytes

__all__ = ["Dashboard"]

PAGE = "index.html"
FOREVER = "private, max-age=31536000, immutable"
"""A file has another name as soon as it has other contents."""
HASHED = re.compile(r".+-[0-9A-Z]{8}\.\w+")
TYPES: Mapping[str, str] = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    body: bytes
    content_type: str


class Dashboard:
    """The handlers of `/` and `/static/*`. All of it is read at once, and is a quarter of a megabyte."""

    def __init__(self) -> None:
        folder = files("evergreen_server.gateway") / "static"
        self._files = {each.name: _read(each) for each in folder.iterdir() if HASHED.fullmatch(each.name)}
        self._page = _read(folder / PAGE)
        self._etag = tag_of_bytes(self._page.body)

    def routes(self) -> list[web.RouteDef]:
        """Returns the routes."""
        return [web.get("/", self._show), web.get("/static/{name}", self._file)]

    async def _show(self, request: web.Request) -> web.Response:
        headers = {"Cache-Control": "no-cache", "ETag": self._etag}
        if matches(request, self._etag):
            return web.Response(status=304, headers=headers)
        return web.Response(body=self._page.body, headers={**headers, "Content-Type": self._page.content_type})

    async def _file(self, request: web.Request) -> web.Response:
        found = self._files.get(request.match_info["name"])
        if found is None:
            raise refused(
                grpc.StatusCode.UNIMPLEMENTED, "PATH_UNKNOWN", message="there is nothing at this path", status=404
            )
        return web.Response(body=found.body, headers={"Content-Type": found.content_type, "Cache-Control": FOREVER})


def _read(file: Traversable) -> _File:
    ending = file.name[file.name.rfind(".") :]
    guessed = TYPES.get(ending) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return _File(body=file.read_bytes(), content_type="text/html; charset=utf-8" if ending == ".html" else guessed)
