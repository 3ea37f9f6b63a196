"""The linked workspace: use and audit log, as they were seeded."""

from typing import Any

from tests.providers.runway.sandbox.driver import Caller
from tests.providers.runway.sandbox.resources.samples import found

USE = {"credits": 12.5, "email": "ada@example.com", "tool": "Gen-4.5", "workspaceId": 7, "workspaceName": "Films"}
EVENT = {"action": "MemberInvited", "actorEmail": "ada@example.com", "workspaceId": 7, "workspaceName": "Films"}


async def test_use_is_filtered_by_time_and_workspace_and_tells_refunds(runway: Caller) -> None:
    for changes in (
        {"timestamp": "2026-01-01T10:00:00Z"},
        {"timestamp": "2026-01-02", "credits": -3},
        {"timestamp": "2026-01-03", "workspaceId": 8},
        {"timestamp": "2026-02-01"},
    ):
        await runway.control("POST", "webapp_usage", {**USE, **changes})
    path = "organization/webapp/usage?from=2026-01-01&to=2026-02-01"

    rows = (await found(runway, path))["data"]

    assert [(row["timestamp"][:10], row["type"]) for row in rows] == [
        ("2026-01-03", "charge"),
        ("2026-01-02", "refund"),
        ("2026-01-01", "charge"),
    ]
    assert len((await found(runway, f"{path}&workspaceIds=7,9"))["data"]) == 2
    bad = await runway.call("GET", "/v1/organization/webapp/usage?from=2026-02-01&to=yesterday&organizationId=x")
    assert [issue["path"] for issue in bad.json["issues"]] == [["to"], ["organizationId"]]


async def test_audit_events_are_filtered_and_one_tells_more_than_the_list(runway: Caller) -> None:
    metadata = {"Member email": "eve@example.com"}
    event = (await runway.control("POST", "audit_logs", {**EVENT, "metadata": metadata}))["eventId"]
    await runway.control("POST", "audit_logs", {**EVENT, "action": "UserLogin", "actorEmail": None})
    logs = "organization/webapp/audit_logs"

    (listed,) = (await found(runway, f"{logs}?actions=MemberInvited,UserLogin&actorEmails=ada@example.com"))["data"]
    whole = await found(runway, f"{logs}/{event}")
    bad = await runway.call("GET", f"/v1/{logs}?actions=Sneezed&workspaceIds={'1,' * 51}")

    assert listed["eventId"] == event
    assert whole == {**listed, "clientIpAddress": "192.0.2.1", "metadata": metadata}
    assert [issue["path"] for issue in bad.json["issues"]] == [["actions"], ["workspaceIds"]]


async def test_a_seed_that_is_wrong_is_refused_by_name(runway: Caller) -> None:
    async def refused(name: str, body: Any) -> str:
        reply = await runway.call("POST", f"/sandbox/{name}", json=body, headers={})
        assert reply.status == 400, reply.data
        return str(reply.json["error"])

    assert "action: " in await refused("audit_logs", {**EVENT, "action": "Sneezed"})
    assert "timestamp" in await refused("webapp_usage", {**USE, "timestamp": "9999-12-31"})
    assert "isoformat" in await refused("webapp_usage", {**USE, "timestamp": "soon"})
    assert "graph" in await refused("workflows", {"name": "x"})
    assert "the body: " in await refused("conversations", [])
