"""Our HTTP servers: what each of them refuses by itself, logged in one line without a traceback."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

__all__ = ["BACKLOG", "Handler", "http_runner", "refuse_long_heads"]

BACKLOG = 1024
"""Connections that may wait to be accepted; with less, a burst of creates overflows it and looks like lost answers."""
HEAD_BYTES = 16 << 10
"""The most of a request's line and of its headers, each; a key, a signed URL and a few headers need far less."""
READ_BYTES = 1 << 20
"""How much of either is read before the connection is closed, so that the answer can say what was too long."""
SHUTDOWN_SECONDS = 1.0

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Brief(logging.LoggerAdapter[logging.Logger]):
    """Logs what could not be read as HTTP in one line; our own errors with their traceback."""

    def exception(self, msg: object, *args: object, exc_info: Any = True, **more: Any) -> None:
        if isinstance(exc_info, HttpProcessingError):
            self.logger.info("request not read", extra={"cause": type(exc_info).__name__})
        elif isinstance(exc_info, ConnectionError):
            # Nobody is left to be answered, as at a stop during a download.
            self.logger.debug("client left", extra={"cause": type(exc_info).__name__})
        else:
            super().exception(msg, *args, exc_info=exc_info, **more)


@web.middleware
async def refuse_long_heads(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers 431 to headers, and 414 to a target, beyond `HEAD_BYTES`."""
    headers = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
    target = len(request.raw_path)
    if max(headers, target) <= HEAD_BYTES:
        return await handler(request)
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if headers > HEAD_BYTES else HTTPStatus.REQUEST_URI_TOO_LONG
    logger.info("request refused", extra={"status": status.value, "bytes": max(headers, target)})
    response = web.Response(status=status, text=f"{status.value} {status.phrase}\n")
    response.force_close()
    return response


def http_runner(app: web.Application) -> web.AppRunner:
    """Returns the runner of an app whose first middleware is `refuse_long_heads`."""
    return web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
        max_line_size=READ_BYTES,
        max_field_size=READ_BYTES,
        logger=_Brief(logger),
    )
