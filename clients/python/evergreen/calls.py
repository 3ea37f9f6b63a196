"""What all calls share: a deadline, the caller's token, and typed errors."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import grpc

from evergreen.connection.home import Home
from evergreen.security import Token, bearer
from evergreen.status import call_error

_Request = TypeVar("_Request", contravariant=True)
_Response = TypeVar("_Response", covariant=True)


class Method(Protocol[_Request, _Response]):
    """A unary method of a stub: one request and one response."""

    def __call__(
        self, request: _Request, *, timeout: float | None = None, metadata: grpc.aio.Metadata | None = None
    ) -> Awaitable[_Response]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Makes calls with `token`, each within `timeout` seconds, including retries."""

    timeout: float
    token: Token | None
    home: Home | None = None
    """The process and event loop that may make calls; None for any."""

    def metadata(self) -> grpc.aio.Metadata | None:
        """Returns the metadata that identifies the caller. Raises ValueError, and RuntimeError away from `home`."""
        if self.home is not None:
            self.home.check()
        return None if self.token is None else grpc.aio.Metadata(("authorization", bearer(self.token)))

    async def unary(self, method: Method[_Request, _Response], request: _Request) -> _Response:
        """Makes a call and returns its response. Raises CallError."""
        try:
            return await method(request, timeout=self.timeout, metadata=self.metadata())
        except grpc.aio.AioRpcError as error:
            raise call_error(error) from error
