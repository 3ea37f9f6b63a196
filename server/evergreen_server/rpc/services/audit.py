"""AuditService: tells who did what."""

from evergreen.v1 import audit_pb2
from evergreen_server.jobs.store.audit import AuditReader
from evergreen_server.rpc.handlers import Context
from evergreen_server.rpc.messages.audit import entry_message, read_audit_request
from evergreen_server.rpc.messages.paging import make_token

PAGE_SIZE = 50


class AuditService:
    """The methods of evergreen.v1.AuditService; each may raise any exception of the error table."""

    def __init__(self, *, reader: AuditReader) -> None:
        self._reader = reader

    async def ListAuditEntries(
        self, message: audit_pb2.ListAuditEntriesRequest, context: Context
    ) -> audit_pb2.ListAuditEntriesResponse:
        question, scope, after = read_audit_request(message)
        owner = context.caller.owner(message.project_id)
        page = await self._reader.page(question, after=after, limit=message.page_size or PAGE_SIZE, owner=owner)
        return audit_pb2.ListAuditEntriesResponse(
            entries=map(entry_message, page.entries), next_page_token=make_token(page.more, scope) if page.more else ""
        )
