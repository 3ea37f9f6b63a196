"""Who did what: the calls of `AuditService`."""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from evergreen.calls import Calls
from evergreen.fields import check_values
from evergreen.requests import timestamp
from evergreen.v1.audit_pb2 import AuditAction, AuditEntry, ListAuditEntriesRequest

if TYPE_CHECKING:
    # Exists only in the stubs' type information.
    from evergreen.v1.audit_pb2_grpc import AuditServiceAsyncStub


class Audit:
    """The record of who did what, available as `Client.audit`. It needs the right `ADMIN`."""

    def __init__(self, stub: "AuditServiceAsyncStub", *, calls: Calls) -> None:
        self._stub = stub
        self._calls = calls

    async def entries(
        self,
        *,
        project_id: str = "",
        actions: Iterable[AuditAction.ValueType] = (),
        caller: str = "",
        subject: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 0,
    ) -> AsyncIterator[AuditEntry]:
        """Yields what was done, newest first; what is not given matches all. Times are in a time zone.

        Raises TypeError for a string in place of a list, ValueError for a time without a zone; InvalidRequest.
        """
        check_values(actions=actions)
        request = ListAuditEntriesRequest(
            project_id=project_id, actions=actions, caller=caller, subject=subject, page_size=page_size
        )
        if since is not None:
            request.since_time.CopyFrom(timestamp(since, "since"))
        if until is not None:
            request.until_time.CopyFrom(timestamp(until, "until"))
        while True:
            page = await self._calls.unary(self._stub.ListAuditEntries, request)
            for entry in page.entries:
                yield entry
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
