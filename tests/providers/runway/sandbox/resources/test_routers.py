"""Routers: how they are made, changed and removed."""

from typing import Any

import pytest

from tests.providers.runway.sandbox.driver import Caller
from tests.providers.runway.sandbox.resources.samples import found, made, wrong

ROUTER = {"slug": "films"}


async def test_a_router_is_named_like_its_slug_and_cheap_unless_told_otherwise(runway: Caller) -> None:
    router = await made(runway, "routers", ROUTER)

    assert (router["name"], router["description"], router["version"]) == ("films", None, 1)
    assert router["settings"] == {"schemaVersion": 1, "optimizeFor": "cost"}
    assert await found(runway, f"routers/{router['id']}") == router


async def test_a_slug_is_given_once(runway: Caller) -> None:
    router = await made(runway, "routers", ROUTER)

    assert (await runway.call("POST", "/v1/routers", json=ROUTER)).status == 409
    await runway.call("DELETE", f"/v1/routers/{router['id']}")
    assert await made(runway, "routers", ROUTER)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"slug": "1films"}, {"slug"}),
        ({"slug": "a" * 65}, {"slug"}),
        ({"slug": None, "name": "", "description": "x" * 2001}, {"slug", "name", "description"}),
        ({"settings": {"models": {"mode": "allowlist_only", "ids": ["gen4.5", "gen9"]}}}, {"settings.models.ids.1"}),
        ({"settings": {"models": {"ids": []}}}, {"settings.models.mode"}),
        ({"settings": {"maxCreditsPerGeneration": {"video": 0}}}, {"settings.maxCreditsPerGeneration.video"}),
        (
            {"settings": {"optimizeFor": "beauty", "schemaVersion": 2}},
            {"settings.optimizeFor", "settings.schemaVersion"},
        ),
        ({"settings": {"colour": 1}}, {"settings"}),
    ],
)
async def test_what_is_wrong_with_a_router_is_named(runway: Caller, changes: dict[str, Any], fields: set[str]) -> None:
    assert await wrong(runway, "POST", "routers", {**ROUTER, **changes}) == fields


async def test_a_change_is_merged_and_only_settings_raise_the_version(runway: Caller) -> None:
    settings = {
        "models": {"mode": "allowlist_only", "ids": ["gen4.5"]},
        "maxCreditsPerGeneration": {"video": 100, "image": 10},
    }
    router = await made(runway, "routers", ROUTER, settings=settings)
    path = f"/v1/routers/{router['id']}"

    renamed = (await runway.call("PATCH", path, json={"name": "New", "description": "d"})).json
    changes = {"models": {"ids": ["veo3.1"]}, "maxCreditsPerGeneration": {"image": None}, "optimizeFor": "quality"}
    changed = (await runway.call("PATCH", path, json={"settings": changes, "description": None})).json
    uncapped = (await runway.call("PATCH", path, json={"settings": {"maxCreditsPerGeneration": None}})).json

    assert (renamed["name"], renamed["version"], renamed["settings"]) == ("New", 1, router["settings"])
    assert (changed["version"], changed["description"]) == (2, None)
    assert changed["settings"] == {
        "schemaVersion": 1,
        "optimizeFor": "quality",
        "models": {"mode": "allowlist_only", "ids": ["veo3.1"]},
        "maxCreditsPerGeneration": {"video": 100},
    }
    assert (uncapped["version"], "maxCreditsPerGeneration" in uncapped["settings"]) == (3, False)


async def test_a_change_cannot_leave_half_a_list_of_models_or_another_slug(runway: Caller) -> None:
    router = await made(runway, "routers", ROUTER)

    half = {"settings": {"models": {"ids": ["gen4.5"]}}, "slug": "other"}
    assert await wrong(runway, "PATCH", f"routers/{router['id']}", half) == {""}
    del half["slug"]
    assert await wrong(runway, "PATCH", f"routers/{router['id']}", half) == {"settings.models.mode"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "routers/x"),
        ("PATCH", "routers/x"),
        ("DELETE", "routers/x"),
        ("GET", "routers/x/requests"),
        ("GET", "documents/x"),
        ("PATCH", "documents/x"),
        ("DELETE", "documents/x"),
        ("GET", "avatars/x"),
        ("PATCH", "avatars/x"),
        ("DELETE", "avatars/x"),
        ("GET", "realtime_sessions/x"),
        ("DELETE", "realtime_sessions/x"),
        ("POST", "realtime_sessions/x/consume"),
        ("GET", "avatar_conversations/x"),
        ("DELETE", "avatar_conversations/x"),
        ("GET", "workflows/x"),
        ("POST", "workflows/x"),
        ("GET", "workflow_invocations/x"),
        ("GET", "organization/webapp/audit_logs/x"),
    ],
)
async def test_what_is_not_there_is_not_found(runway: Caller, method: str, path: str) -> None:
    reply = await runway.call(method, f"/v1/{path}", json={} if method in ("POST", "PATCH") else None)

    assert reply.status == 404
    assert reply.json["error"].startswith("Could not find ")
    assert reply.json.keys() == {"error"}
