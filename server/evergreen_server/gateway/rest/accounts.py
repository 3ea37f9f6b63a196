"""What the provider says of the account: asked at most every ten seconds for each caller and project."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import grpc

from evergreen.v1 import video_pb2
from evergreen_server.gateway.problems import Refused, refused

__all__ = ["Accounts"]

KEPT_SECONDS = 10.0
WAIT_SECONDS = 30.0
MOST = 1000

Account = video_pb2.GetAccountResponse


@dataclass(slots=True)
class _Scope:
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    found: Account | Refused | None = None
    since: float = float("-inf")


class Accounts:
    """The newest answers, by owner and project, 1,000 at most. Used on one loop."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._scopes: OrderedDict[tuple[str, str], _Scope] = OrderedDict()

    async def of(self, owner: str, project_id: str, ask: Callable[[], Awaitable[Account]]) -> Account:
        """Returns an answer that is no older than ten seconds; one question for all who wait for it.

        Raises Refused, also as what became of that question.
        """
        scope, came = self._scopes.setdefault((owner, project_id), _Scope()), self._monotonic()
        self._scopes.move_to_end((owner, project_id))
        if len(self._scopes) > MOST:
            self._scopes.popitem(last=False)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await scope.asking.acquire()
        except TimeoutError:
            raise refused(
                grpc.StatusCode.UNAVAILABLE,
                "PROVIDER_UNAVAILABLE",
                message="the provider has not answered; try again",
                retry_seconds=1,
            ) from None
        try:
            kept = scope.since + KEPT_SECONDS > came if isinstance(scope.found, Account) else scope.since >= came
            if scope.found is None or not kept:
                try:
                    scope.found = await ask()
                except Refused as exc:
                    scope.found = exc
                scope.since = self._monotonic()
            if isinstance(scope.found, Refused):
                # Of each caller its own, since an exception collects where it was raised.
                raise Refused(scope.found.fault)
            return scope.found
        finally:
            scope.asking.release()
