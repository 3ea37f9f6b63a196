"""The linked workspace of the web app: what was used there, and its audit log. The control API seeds both."""

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.catalog.rules import custom
from evergreen_server.providers.runway.sandbox.http.answers import Answer
from evergreen_server.providers.runway.sandbox.http.routes import Asked, Route
from evergreen_server.providers.runway.sandbox.resources.audit_actions import AUDIT_ACTIONS
from evergreen_server.providers.runway.sandbox.resources.bodies import no_resource
from evergreen_server.providers.runway.sandbox.resources.queries import Query, page, query_refusal
from evergreen_server.providers.runway.sandbox.resources.records import AuditEvent, Charge
from evergreen_server.providers.runway.sandbox.resources.shelves import Shelves
from evergreen_server.providers.runway.sandbox.state.clock import timestamp

__all__ = ["Webapp"]

_WORDS_MOST = 50


class Webapp:
    """Answers /v1/organization/webapp."""

    def __init__(self, *, shelves: Shelves) -> None:
        self._shelves = shelves

    def routes(self) -> list[Route]:
        logs = "/v1/organization/webapp/audit_logs"
        return [
            Route(
                operation="list_webapp_usage", method="GET", path="/v1/organization/webapp/usage", handler=self._usage
            ),
            Route(operation="list_audit_logs", method="GET", path=logs, handler=self._logs),
            Route(operation="get_audit_log", method="GET", path=f"{logs}/{{id}}", handler=self._log),
        ]

    async def _usage(self, asked: Asked) -> Answer:
        query = Query(asked.query)
        start, end = query.moment("from", required=True), query.moment("to", required=True)
        query.uuid("organizationId")
        workspaces = query.words("workspaceIds")
        if start is not None and end is not None and end <= start:
            query.issues.append(custom(("to",), "to must be after from"))
        if query.issues or start is None or end is None:
            return query_refusal(query)
        found = [
            charge
            for charge in self._shelves.charges.all()
            if start <= charge.created_at < end and (not workspaces or str(charge.workspace_id) in workspaces)
        ]
        return page(query, found, _charge, number=self._shelves.charges.number)

    async def _logs(self, asked: Asked) -> Answer:
        query = Query(asked.query)
        start, end = query.moment("from"), query.moment("to")
        query.uuid("organizationId")
        actions = query.words("actions", most=_WORDS_MOST, values=AUDIT_ACTIONS)
        emails = query.words("actorEmails", most=_WORDS_MOST)
        workspaces = query.words("workspaceIds", most=_WORDS_MOST)
        found = [
            event
            for event in self._shelves.audit_events.all()
            if (start is None or event.created_at >= start)
            and (end is None or event.created_at < end)
            and (not actions or event.action in actions)
            and (not emails or event.actor_email in emails)
            and (not workspaces or str(event.workspace_id) in workspaces)
        ]
        return page(query, found, _summary, number=self._shelves.audit_events.number)

    async def _log(self, asked: Asked) -> Answer:
        query = Query(asked.query)
        query.uuid("organizationId")
        if query.issues:
            return query_refusal(query)
        event = self._shelves.audit_events.get(asked.parts["id"])
        if event is None:
            return no_resource("Audit log entry")
        return Answer(status=200, body={**_summary(event), **event.details})


def _charge(charge: Charge) -> dict[str, Json]:
    return {
        "timestamp": timestamp(charge.created_at),
        "type": "refund" if charge.credits < 0 else "charge",
        "credits": charge.credits,
        "email": charge.email,
        "tool": charge.tool,
        "workspaceId": charge.workspace_id,
        "workspaceName": charge.workspace_name,
    }


def _summary(event: AuditEvent) -> dict[str, Json]:
    return {
        "eventId": event.id,
        "action": event.action,
        "actorEmail": event.actor_email,
        "actorUsername": event.actor_username,
        "actorDeleted": event.actor_deleted,
        "timestamp": timestamp(event.created_at),
        "workspaceId": event.workspace_id,
        "workspaceName": event.workspace_name,
    }
