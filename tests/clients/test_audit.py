"""Who did what, from Python and from the command line."""

import json
from datetime import UTC, datetime

import pytest

from evergreen import AuditAction, AuditEntry, WireClient
from evergreen.v1.audit_pb2 import ListAuditEntriesRequest, ListAuditEntriesResponse
from tests.clients.scripted import UNAVAILABLE, ScriptedService
from tests.clients.test_cli import CommandLine

WHEN = datetime(2030, 1, 1, tzinfo=UTC)
CANCEL = AuditAction.AUDIT_ACTION_CANCEL
ENTRY = AuditEntry(
    entry_id="e",
    action=CANCEL,
    project_id="film",
    scene_id="scene-1",
    subject="j",
    caller="ann\x1b[2J",
    call_id="c",
    address="192.0.2.7",
    details={"b": "2", "a": "1"},
)


async def test_entries_come_page_by_page_with_what_was_asked_for(service: ScriptedService, client: WireClient) -> None:
    service.answers["ListAuditEntries"] = [
        UNAVAILABLE,
        ListAuditEntriesResponse(entries=[AuditEntry(entry_id="b")], next_page_token="next"),
        ListAuditEntriesResponse(next_page_token="more"),
        ListAuditEntriesResponse(entries=[AuditEntry(entry_id="a")]),
    ]
    asked = {"project_id": "film", "actions": [CANCEL], "caller": "ann", "subject": "j", "page_size": 1}

    found = [entry.entry_id async for entry in client.audit.entries(**asked, since=WHEN, until=WHEN)]

    first = ListAuditEntriesRequest(**asked, since_time=WHEN, until_time=WHEN)
    assert found == ["b", "a"]
    assert service.requests["ListAuditEntries"][:2] == [first, first]
    assert [request.page_token for request in service.requests["ListAuditEntries"]] == ["", "", "next", "more"]


async def test_what_cannot_be_meant_is_refused_before_anything_is_sent(
    service: ScriptedService, client: WireClient
) -> None:
    for wrong, error in (({"actions": "CANCEL"}, TypeError), ({"since": datetime(2030, 1, 1)}, ValueError)):
        with pytest.raises(error):
            await anext(client.audit.entries(**wrong))

    assert not service.requests["ListAuditEntries"]


async def test_the_command_shows_a_table_or_json(service: ScriptedService) -> None:
    service.answers["ListAuditEntries"] = [ListAuditEntriesResponse(entries=[ENTRY])] * 2
    evergreen = CommandLine(service.target)

    table = await evergreen("audit", "--project", "film", "--action", "cancel", "--action", "TOKEN_REFUSED")
    lines = await evergreen("audit", "--since", "2030-01-01T00:00:00Z", "--limit", "1", "--output", "json")

    first, second = service.requests["ListAuditEntries"]
    assert (table.code, lines.code) == (0, 0)
    assert first == ListAuditEntriesRequest(
        project_id="film", actions=[CANCEL, AuditAction.AUDIT_ACTION_TOKEN_REFUSED], page_size=50
    )
    assert second == ListAuditEntriesRequest(since_time=WHEN, page_size=1)
    assert table.stdout.splitlines()[1].split()[1:] == [
        "ann\N{REPLACEMENT CHARACTER}[2J",
        *("cancel", "film", "j", "192.0.2.7", "c", "a=1", "b=2"),
    ]
    assert json.loads(lines.stdout)["action"] == "cancel"
