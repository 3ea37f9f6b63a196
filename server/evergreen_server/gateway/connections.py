"""The gateway's connections: how many there may be, in all and from one address, and what each answers by itself."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import grpc
from aiohttp import web
from aiohttp.http import HttpProcessingError

from evergreen_server.gateway.admit import secure_headers
from evergreen_server.gateway.problems import problem, refused
from evergreen_server.gateway.visitors import bucket_of

__all__ = ["Brief", "Connection", "Connections"]


class Connections:
    """Places of connections by address: one gets a further place only while it holds fewer than are free.

    So one alone has at most half of `most`. Behind an address of which `proxy` is true are many: it may have them all.
    """

    def __init__(self, *, most: int, proxy: Callable[[str], bool]) -> None:
        self._free = most
        self._proxy = proxy
        self._held: Counter[str] = Counter()

    def take(self, address: str) -> bool:
        """Returns whether there is a place, which is held until it is given back."""
        owner = bucket_of(address)
        # Not by the counter's own item, which would stay.
        held = self._held.get(owner, 0)
        if not self._free or (held >= self._free and not self._proxy(address)):
            return False
        self._held[owner] = held + 1
        self._free -= 1
        return True

    def give_back(self, address: str) -> None:
        """Gives a place back."""
        owner = bucket_of(address)
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]


class Brief(logging.LoggerAdapter[logging.Logger]):
    """Logs what could not be read as HTTP in one line; our own errors with their traceback."""

    def exception(self, msg: object, *args: object, exc_info: object = True, **more: object) -> None:
        if isinstance(exc_info, HttpProcessingError):
            self.logger.info("request not read", extra={"cause": type(exc_info).__name__})
        elif isinstance(exc_info, ConnectionError):
            self.logger.debug("client left", extra={"cause": type(exc_info).__name__})
        else:
            self.logger.error("internal error", exc_info=exc_info if isinstance(exc_info, BaseException) else True)


class _Unrouted(web.Response):
    """An answer to what no route was found for, which passes no signal."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


class Connection(web.RequestHandler):
    """A connection: closed at once if there is no place for it; it answers what is no HTTP as it does all else."""

    __slots__ = ("_address", "_connections")

    def __init__(self, connections: Connections, *manager: Any, **settings: Any) -> None:
        super().__init__(*manager, **settings)
        self._connections = connections
        self._address: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        address = str((transport.get_extra_info("peername") or ("",))[0])
        if not self._connections.take(address):
            # What arrives nevertheless is dropped.
            self._force_close = True
            transport.close()
            return
        self._address = address
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._address is not None:
            self._connections.give_back(self._address)
            self._address = None
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            # Nobody is there for an answer.
            raise exc
        self.log_exception("request not read", exc_info=exc)
        if status < 500:
            refusal = refused(
                grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST", message="not a request as HTTP/1.1 has it"
            )
        else:
            refusal = refused(grpc.StatusCode.INTERNAL, "INTERNAL", message="internal error")
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        answer = problem(refusal.fault, uuid4().hex)
        response = _Unrouted(status=answer.status, body=answer.body, headers=answer.headers)
        response.headers["Cache-Control"] = "no-store"
        secure_headers(response, https=request.secure)
        response.force_close()
        return response
