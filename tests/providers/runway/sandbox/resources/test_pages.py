"""Lists: bounds of their parameters, pages by cursor, and order."""

import pytest

from tests.providers.runway.sandbox.driver import Caller
from tests.providers.runway.sandbox.resources.samples import DOCUMENT, found, made

LISTS = (
    "voices",
    "avatars",
    "documents",
    "routers",
    "avatar_conversations",
    "organization/webapp/audit_logs",
)


async def documents(runway: Caller, count: int) -> list[str]:
    ids = []
    for number in range(count):
        ids.append((await made(runway, "documents", DOCUMENT, name=f"number {number}"))["id"])
        await runway.advance(1)
    return ids


@pytest.mark.parametrize("path", LISTS)
async def test_an_empty_list_is_one_page(runway: Caller, path: str) -> None:
    assert await found(runway, path) == {"data": [], "hasMore": False, "nextCursor": None}


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1_0", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("cursor=", "cursor"),
        ("cursor=" + "x" * 1001, "cursor"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%00%FF", "cursor"),
        ("cursor=" + "WzFlOTk5LCAiYSJd" * 3, "cursor"),
    ],
)
async def test_parameters_out_of_bounds_are_named(runway: Caller, path: str, query: str, field: str) -> None:
    reply = await runway.call("GET", f"/v1/{path}?{query}")

    assert reply.status == 400
    assert [issue["path"] for issue in reply.json["issues"]] == [[field]]


async def test_pages_follow_each_other_newest_first_and_end_with_null(runway: Caller) -> None:
    ids = await documents(runway, 5)
    seen, cursor, sizes = [], "", []

    while cursor is not None:
        page = await found(runway, f"documents?limit=2{cursor}")
        seen += [item["id"] for item in page["data"]]
        sizes.append(len(page["data"]))
        assert page["hasMore"] is (page["nextCursor"] is not None)
        cursor = page["nextCursor"] and f"&cursor={page['nextCursor']}"

    assert (seen, sizes) == (ids[::-1], [2, 2, 1])


async def test_what_was_made_in_one_instant_is_listed_in_the_order_of_making(runway: Caller) -> None:
    ids = [(await made(runway, "documents", DOCUMENT))["id"] for _ in range(9)]

    first = await found(runway, "documents?limit=5")
    rest = await found(runway, f"documents?limit=5&cursor={first['nextCursor']}")
    oldest = await found(runway, "documents?order=asc")

    assert [item["id"] for item in first["data"] + rest["data"]] == ids[::-1]
    assert [item["id"] for item in oldest["data"]] == ids


async def test_a_cursor_holds_when_the_item_that_it_names_is_gone(runway: Caller) -> None:
    ids = await documents(runway, 3)
    page = await found(runway, "documents?limit=1&order=asc")
    await runway.call("DELETE", f"/v1/documents/{ids[0]}")

    rest = await found(runway, f"documents?order=asc&cursor={page['nextCursor']}")

    assert [item["id"] for item in rest["data"]] == ids[1:]


async def test_documents_are_sorted_as_asked(runway: Caller) -> None:
    ids = await documents(runway, 2)
    await runway.call("PATCH", f"/v1/documents/{ids[0]}", json={"name": "newer"})

    by_change = await found(runway, "documents?sort=updatedAt")
    bad = await runway.call("GET", "/v1/documents?sort=name&order=up")

    assert [item["id"] for item in by_change["data"]] == ids
    assert [issue["path"] for issue in bad.json["issues"]] == [["sort"], ["order"]]
