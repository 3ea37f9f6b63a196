"""Seeds what no call of the API makes: workflows, use of a linked workspace, its audit log, old conversations."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeAlias

from evergreen_server.providers.runway.catalog.models import AVATARS, Json
from evergreen_server.providers.runway.catalog.rules import Flag, Number, OneOf, Text, Whole
from evergreen_server.providers.runway.catalog.shapes import Items, Object, part, tagged
from evergreen_server.providers.runway.sandbox.resources.audit_actions import AUDIT_ACTIONS
from evergreen_server.providers.runway.sandbox.resources.bodies import Nullable, Rules, text_of
from evergreen_server.providers.runway.sandbox.resources.records import AuditEvent, Charge, Session, Workflow
from evergreen_server.providers.runway.sandbox.resources.shelves import Shelves
from evergreen_server.providers.runway.sandbox.state.clock import LATEST

__all__ = ["Seed", "seeds"]

Seed: TypeAlias = Callable[[Json, float], Json]
"""Takes a body and the time, and returns what was made. Raises a ValueError that lists all that is wrong with it."""

_OPEN = Object({}, closed=False)
_TEXT, _WHEN = Nullable(Text()), Text(40)
_WORKSPACE: Rules = {"workspaceId!": Whole(0), "workspaceName!": Text(255), "timestamp": _WHEN}
_WORKFLOW = part(
    {
        "name!": Text(255),
        "description": _TEXT,
        "graph!": part({"nodes!": Items(_OPEN, 200), "edges": Items(_OPEN, 1000), "version": Whole(0)}),
    }
)
_USAGE = part({"credits!": Number(), "email!": Text(320), "tool!": Text(255), **_WORKSPACE})
_EVENT = part(
    {
        "action!": OneOf(AUDIT_ACTIONS),
        "actorEmail": _TEXT,
        "actorUsername": _TEXT,
        "actorDeleted": Flag(),
        "clientIpAddress": Text(64),
        "metadata": _OPEN,
        **_WORKSPACE,
    }
)
_AVATAR = tagged(
    {
        "runway-preset": {"presetId!": OneOf(AVATARS), "name": Text(100)},
        "custom": {"id!": Nullable(Text(100)), "name": Nullable(Text(100))},
    }
)
_TOOL = part({"type!": OneOf(("client_event", "backend_rpc")), "name!": Text(64), "description!": Text(1024)})
_CONVERSATION = part(
    {
        "avatar!": _AVATAR,
        "timestamp": _WHEN,
        "duration": Whole(0, 1800),
        "tools": Items(_TOOL, 20),
        "transcript": Items(_OPEN, 1000),
        "failure": Text(1000),
        "failureCode": Text(100),
    }
)


def seeds(shelves: Shelves) -> Mapping[str, Seed]:
    """Returns what can be seeded, by the last part of its path in the control API."""

    def workflow(body: Json, now: float) -> Json:
        given = _checked(_WORKFLOW, body)
        graph, name = given["graph"], str(given["name"])
        assert isinstance(graph, dict)
        made = Workflow(
            id=str(uuid.uuid4()),
            created_at=now,
            name=name,
            description=text_of(given, "description"),
            version=1 + sum(each.name == name for each in shelves.workflows.all()),
            graph={"edges": [], "version": 1, **graph},
        )
        shelves.workflows.put(made, now)
        return {"id": made.id, "version": made.version}

    def usage(body: Json, now: float) -> Json:
        given = _checked(_USAGE, body)
        made = Charge(
            id=str(uuid.uuid4()),
            created_at=_moment(given, now),
            credits=_number(given["credits"]),
            email=str(given["email"]),
            tool=str(given["tool"]),
            workspace_id=int(_number(given["workspaceId"])),
            workspace_name=str(given["workspaceName"]),
        )
        shelves.charges.put(made, now)
        return {"id": made.id}

    def event(body: Json, now: float) -> Json:
        given = _checked(_EVENT, body)
        made = AuditEvent(
            id=str(uuid.uuid4()),
            created_at=_moment(given, now),
            action=str(given["action"]),
            actor_email=text_of(given, "actorEmail"),
            actor_username=text_of(given, "actorUsername"),
            actor_deleted=given.get("actorDeleted") is True,
            workspace_id=int(_number(given["workspaceId"])),
            workspace_name=str(given["workspaceName"]),
            details={
                "clientIpAddress": text_of(given, "clientIpAddress", "192.0.2.1"),
                "metadata": given.get("metadata", {}),
            },
        )
        shelves.audit_events.put(made, now)
        return {"eventId": made.id}

    def conversation(body: Json, now: float) -> Json:
        given = _checked(_CONVERSATION, body)
        lasted = _number(given.get("duration", 0))
        started = _moment(given, now - lasted)
        avatar, tools, transcript = given["avatar"], given.get("tools", []), given.get("transcript", [])
        assert isinstance(avatar, dict)
        failure = text_of(given, "failure", "") or ""
        made = Session(
            id=str(uuid.uuid4()),
            created_at=started,
            ready_at=started,
            expires_at=started,
            key="",
            avatar={"name": str(avatar.get("presetId", "")).replace("-", " ").title() or None, **avatar},
            max_seconds=1800,
            tools=tools if isinstance(tools, list) else [],
            transcript=transcript if isinstance(transcript, list) else [],
            started_at=started,
            ended_at=started + lasted,
            failure=failure,
            failure_code=text_of(given, "failureCode", "INTERNAL") or "" if failure else "",
        )
        shelves.sessions.put(made if failure else replace(made, cancelled=True), now)
        return {"id": made.id}

    return {"workflows": workflow, "webapp_usage": usage, "audit_logs": event, "conversations": conversation}


def _checked(rule: Object, body: Json) -> Mapping[str, Json]:
    issues = list(rule.issues(body, ()))
    if issues or not isinstance(body, dict):
        named = (f"{'.'.join(map(str, issue.path)) or 'the body'}: {issue.message}" for issue in issues)
        raise ValueError("; ".join(named))
    return body


def _moment(given: Mapping[str, Json], now: float) -> float:
    text = text_of(given, "timestamp")
    if text is None:
        return now
    found = datetime.fromisoformat(text)
    at = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    if not 0 <= at <= LATEST:
        raise ValueError("timestamp must lie between the years 1970 and 3000")
    return at


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
