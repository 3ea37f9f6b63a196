"""What every call has in common: its deadline, who makes it, and errors that have a type."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import grpc

from evergreen.home import Home
from evergreen.security import Token, bearer
from evergreen.status import call_error

_Request = TypeVar("_Request", contravariant=True)
_Response = TypeVar("_Response", covariant=True)


class Method(Protocol[_Request, _Response]):
    """A call of a stub that has one request and one answer."""

    def __call__(
        self, request: _Request, *, timeout: float | None = None, metadata: grpc.aio.Metadata | None = None
    ) -> Awaitable[_Response]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Makes calls in the name of `token`, each within `timeout` seconds, retries included."""

    timeout: float
    token: Token | None
    home: Home | None = None
    """Where calls may be made; None for anywhere."""

    def metadata(self) -> grpc.aio.Metadata | None:
        """Tells who calls. Raises ValueError, and RuntimeError where no call may be made."""
        if self.home is not None:
            self.home.check()
        return None if self.token is None else grpc.aio.Metadata(("authorization", bearer(self.token)))

    async def unary(self, method: Method[_Request, _Response], request: _Request) -> _Response:
        """Makes a call and returns its answer. Raises CallError."""
        try:
            return await method(request, timeout=self.timeout, metadata=self.metadata())
        except grpc.aio.AioRpcError as error:
            raise call_error(error) from error
