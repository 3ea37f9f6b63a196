"""What is kept of resources is bounded, and every call of the API has its row."""

import json
from pathlib import Path

import pytest

from evergreen_server.providers.runway.sandbox.http.faults import OPERATIONS
from evergreen_server.providers.runway.sandbox.resources.records import Document, Routing
from evergreen_server.providers.runway.sandbox.resources.shelves import ShelfFull, Shelves
from evergreen_server.providers.runway.sandbox.state.journal import Journal
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


async def test_every_call_of_the_api_can_be_scripted_by_its_name(runway: Caller) -> None:
    """A rule without an operation applies to all that there are."""
    await runway.fault("slow", rule={"count": None}, seconds=0)

    (rule,) = (await runway.control("GET", "faults"))["faults"]

    assert set(rule["operations"]) == set(OPERATIONS)
    for method, path in (("GET", "voices"), ("POST", "routers"), ("GET", "workflow_invocations/x")):
        await runway.call(method, f"/v1/{path}", json={} if method == "POST" else None)
    calls = (await runway.control("GET", "calls"))["calls"]
    assert [(call["operation"], call["fault"]) for call in calls] == [
        ("list_voices", "slow"),
        ("create_router", "slow"),
        ("get_workflow_invocation", "slow"),
    ]


async def test_the_account_names_every_model_of_the_official_sdk(runway: Caller) -> None:
    from typing import get_args

    from runwayml.types.organization_retrieve_usage_response import ResultUsedCredit

    account = (await runway.call("GET", "/v1/organization")).json

    named = set(get_args(ResultUsedCredit.model_fields["model"].annotation))
    assert set(account["tier"]["models"]) == set(account["usage"]["models"]) == named
    assert json.dumps(account)
