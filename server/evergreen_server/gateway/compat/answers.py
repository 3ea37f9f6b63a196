"""Answers in the shapes of others: JSON, and faults as these write them."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from evergreen_server.gateway.bodies import leave_rest
from evergreen_server.gateway.problems import Fault, Refused, internal

__all__ = ["Handler", "json_answer", "shaped"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def json_answer(document: object, status: int = 200) -> web.Response:
    """Returns a document as an answer."""
    body = json.dumps(document, ensure_ascii=False).encode()
    return web.Response(status=status, body=body, headers={"Content-Type": "application/json"})


def shaped(handler: Handler, written: Callable[[web.Request, Fault], web.Response]) -> Handler:
    """Returns a handler whose faults, also those of our own, are answered as `written` has them."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as exc:
            fault = exc.fault
        except (asyncio.CancelledError, ConnectionError, web.HTTPException):
            raise
        except Exception as exc:
            fault = internal(exc)
        response = written(request, fault)
        response.headers.update(fault.all_headers())
        leave_rest(request, response)
        return response

    return handle
