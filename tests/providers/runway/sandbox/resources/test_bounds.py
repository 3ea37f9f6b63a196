"""What is kept of resources is bounded, and every call of the API has its row."""

import json
from pathlib import Path
from typing import get_args

import pytest
from runwayml.types.organization_retrieve_usage_response import ResultUsedCredit

from evergreen_server.providers.runway.sandbox.http.faults import OPERATIONS
from evergreen_server.providers.runway.sandbox.resources.records import Document, Routing
from evergreen_server.providers.runway.sandbox.resources.shelves import ShelfFull, Shelves
from evergreen_server.providers.runway.sandbox.state.journal import Journal
from tests.providers.runway.sandbox.bodies import BODIES
from tests.providers.runway.sandbox.driver import Caller
from tests.providers.runway.sandbox.resources.samples import DOCUMENT


def document(number: int, content: str = "x") -> Document:
    return Document(id=str(number), created_at=0, updated_at=0, name="n", content=content)


async def test_the_number_of_resources_is_bounded_until_one_is_deleted(runway: Caller) -> None:
    for _ in range(1000):
        reply = await runway.call("POST", "/v1/documents", json=DOCUMENT)

    refused = await runway.call("POST", "/v1/documents", json=DOCUMENT)
    await runway.call("DELETE", f"/v1/documents/{reply.json['id']}")

    assert (refused.status, refused.json["error"]) == (400, "You have reached the limit of documents.")
    assert (await runway.call("POST", "/v1/documents", json=DOCUMENT)).status == 200


def test_all_resources_together_are_bounded_in_bytes(tmp_path: Path) -> None:
    shelves = Shelves(journal=Journal(tmp_path / "journal"))
    for number in range(63):
        shelves.documents.put(document(number, "x" * 1024 * 1024), 0)

    with pytest.raises(ShelfFull):
        shelves.documents.put(document(64, "x" * 1024 * 1024), 0)
    shelves.documents.put(document(0), 0)
    shelves.documents.put(document(64, "x" * 1024 * 1024), 0)


def test_a_log_forgets_its_oldest_entries_and_does_so_again_after_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    shelves = Shelves(journal=journal)
    for number in range(10_050):
        shelves.routings.put(Routing(id=str(number), created_at=number, router_id="r", details={}), number)
    kept = shelves.routings.all()
    journal.close()

    again = Shelves(journal=Journal(tmp_path / "journal"))

    assert (len(kept), kept[0].id) == (10_000, "50")
    assert again.routings.all() == kept


KEPT = ("voices", "avatars", "documents", "routers")
CALLS = [
    *((method, name) for name in KEPT for method in ("GET", "POST")),
    *((method, f"{name}/x") for name in KEPT for method in ("GET", "PATCH", "DELETE")),
    ("POST", "voices/preview"),
    ("GET", "routers/x/requests"),
    *(("POST", f"generate/{kind}") for kind in ("video", "image", "audio")),
    ("POST", "realtime_sessions"),
    ("GET", "realtime_sessions/x"),
    ("DELETE", "realtime_sessions/x"),
    ("POST", "realtime_sessions/x/consume"),
    ("GET", "avatar_usage"),
    ("GET", "avatar_conversations"),
    ("GET", "avatar_conversations/x"),
    ("DELETE", "avatar_conversations/x"),
    ("GET", "workflows"),
    ("GET", "workflows/x"),
    ("POST", "workflows/x"),
    ("GET", "workflow_invocations/x"),
    ("GET", "organization"),
    ("POST", "organization/usage"),
    ("GET", "organization/webapp/usage"),
    ("GET", "organization/webapp/audit_logs"),
    ("GET", "organization/webapp/audit_logs/x"),
    ("GET", "tasks/x"),
    ("DELETE", "tasks/x"),
    ("POST", "uploads"),
    *(("POST", path) for path in BODIES),
]
NOT_OF_THE_API = {"send_upload", "output"}


async def test_every_call_of_the_api_has_a_name_by_which_it_can_be_scripted(runway: Caller) -> None:
    await runway.fault("slow", rule={"count": None}, seconds=0)

    for method, path in CALLS:
        await runway.call(method, f"/v1/{path}", json={} if method in ("POST", "PATCH") else None)

    calls = (await runway.control("GET", "calls"))["calls"]
    assert {call["operation"] for call in calls} == set(OPERATIONS) - NOT_OF_THE_API
    assert len(calls) == len(OPERATIONS) - len(NOT_OF_THE_API)
    assert {call["fault"] for call in calls} == {"slow"}


async def test_the_account_names_every_model_of_the_official_sdk(runway: Caller) -> None:
    account = (await runway.call("GET", "/v1/organization")).json

    named = set(get_args(ResultUsedCredit.model_fields["model"].annotation))
    assert set(account["tier"]["models"]) == set(account["usage"]["models"]) == named
    assert json.dumps(account)
