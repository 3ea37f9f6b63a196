"""Calls that were refused: each is logged, and so that a storm of them fills no disk, of a caller only a few a minute,
with how many more there were. Those that were refused for their token are recorded besides.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import grpc
from sqlalchemy.exc import SQLAlchemyError

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import audit
from evergreen_server.jobs.store.audit import row_of
from evergreen_server.ports.audit import Action, Origin
from evergreen_server.rpc.access.policy import AccessDenied, TokenInvalid, TokenRequired
from evergreen_server.rpc.trailers import Status

__all__ = ["Refusals"]

INTERVAL_SECONDS = 60.0
LINES = 10
"""Of one caller, or of one address where callers are not known, in an interval."""
MOST = 100
"""Addresses that are told apart in an interval; all others share one place."""
OTHERS = "others"
OF_TOKENS = (TokenRequired, TokenInvalid, AccessDenied)
EXPECTED = frozenset({"ACCESS_CHANGED", "BROKEN_OFF", "DRAINING"})
"""Ends of calls that nobody refused."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Refused:
    """What was refused to a token at an address."""

    at: datetime
    origin: Origin
    method: str
    reason: str
    count: int = 0


class Refusals:
    """Counts refused calls. Used on one loop."""

    def __init__(
        self, *, database: Database, clock: Callable[[], datetime], interval_seconds: float = INTERVAL_SECONDS
    ) -> None:
        self._database = database
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._lines: dict[str, int] = {}
        self._tokens: dict[tuple[str, str], _Refused] = {}
        self._some = asyncio.Event()
        self._some_token = asyncio.Event()

    def refused(self, origin: Origin, method: str, exc: Exception, status: Status) -> None:
        """Takes note of a call that ends with this status. An internal error is logged where it is handled."""
        if status.reason in EXPECTED or status.code is grpc.StatusCode.INTERNAL:
            return
        self._some.set()
        who = origin.caller or self._place(origin.address, self._lines)
        self._lines[who] = number = self._lines.get(who, 0) + 1
        if number <= LINES:
            facts = {"method": method, "code": status.code.name, "reason": status.reason, **origin.facts()}
            if status.cause:
                logger.error("request failed", extra={**facts, "cause": status.cause})
            else:
                logger.info("request refused", extra=facts)
        if isinstance(exc, OF_TOKENS):
            key = origin.caller, self._place(origin.address, {address for _, address in self._tokens})
            known = self._tokens.get(key)
            if known is None:
                known = _Refused(at=self._clock(), origin=origin, method=method, reason=status.reason)
                self._tokens[key] = known
            known.count += 1
            self._some_token.set()

    async def run(self) -> None:
        """Records refused tokens: the first at once, and those of an interval at its end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell_all(), name="refused calls")
                tasks.create_task(self._record_all(), name="refused tokens")
        finally:
            self._tell()
            await self._record()

    async def _tell_all(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            await asyncio.sleep(self._interval_seconds)
            self._tell()

    async def _record_all(self) -> None:
        while True:
            await self._some_token.wait()
            self._some_token.clear()
            await self._record()
            await asyncio.sleep(self._interval_seconds)

    def _place(self, address: str, places: "dict[str, int] | set[str]") -> str:
        return address if address in places or len(places) < MOST else OTHERS

    def _tell(self) -> None:
        """Logs how many were not logged by themselves, and begins another interval."""
        for who, number in self._lines.items():
            if number > LINES:
                logger.warning("requests refused", extra={"of": who, "more": number - LINES})
        self._lines.clear()

    async def _record(self) -> None:
        refused = self._tokens
        if not refused:
            return
        self._tokens = {}
        rows = [
            row_of(
                each.at,
                each.origin.did(Action.TOKEN_REFUSED, reason=each.reason, method=each.method, count=each.count),
            )
            for each in refused.values()
        ]
        try:
            await self._database.write(lambda db: db.execute(audit.insert(), rows))
        except SQLAlchemyError as exc:
            logger.warning("refused tokens not recorded", extra={"cause": type(exc).__name__, "entries": len(rows)})
