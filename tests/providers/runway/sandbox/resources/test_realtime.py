"""Live calls with an avatar, the conversations that stay of them, and their use."""

from typing import Any

import pytest

from tests.providers.runway.sandbox.driver import HEADERS, Caller
from tests.providers.runway.sandbox.resources.samples import AVATAR, SESSION, found, made, wrong

TOOL = {"type": "client_event", "name": "show", "description": "Shows something."}


async def connected(runway: Caller, **changes: Any) -> str:
    """Makes a session and joins it. Returns its id."""
    session_id = str((await made(runway, "realtime_sessions", SESSION, **changes))["id"])
    await runway.advance(3)
    reply = await joined(runway, session_id)
    assert reply.status == 200, reply.data
    return session_id


async def joined(runway: Caller, session_id: str, key: str | None = None) -> Any:
    key = key or (await found(runway, f"realtime_sessions/{session_id}"))["sessionKey"]
    headers = {**HEADERS, "Authorization": f"Bearer {key}"}
    return await runway.call("POST", f"/v1/realtime_sessions/{session_id}/consume", json={}, headers=headers)


async def state(runway: Caller, session_id: str) -> Any:
    return (await found(runway, f"realtime_sessions/{session_id}"))["status"]


async def spent(runway: Caller, before: float) -> float:
    return before - await runway.balance()


async def test_a_session_gets_ready_runs_for_its_time_and_costs_by_six_seconds(runway: Caller) -> None:
    before = await runway.balance()
    session_id = (await made(runway, "realtime_sessions", SESSION, maxDuration=60))["id"]
    assert await state(runway, session_id) == "NOT_READY"
    await runway.advance(3)
    assert (await found(runway, f"realtime_sessions/{session_id}")).keys() >= {"sessionKey", "expiresAt"}
    await joined(runway, session_id)
    assert await state(runway, session_id) == "RUNNING"
    await runway.advance(60)

    ended = await found(runway, f"realtime_sessions/{session_id}")

    assert (ended["status"], ended["duration"]) == ("COMPLETED", 60)
    assert await spent(runway, before) == 2 + 20


async def test_a_call_that_is_ended_early_is_paid_as_far_as_it_went(runway: Caller) -> None:
    before = await runway.balance()
    session_id = await connected(runway)
    await runway.advance(13)

    assert (await runway.call("DELETE", f"/v1/realtime_sessions/{session_id}")).status == 204

    assert await state(runway, session_id) == "CANCELLED"
    assert await spent(runway, before) == 2 + 6
    await runway.advance(24 * 3600)
    usage = (await runway.call("POST", "/v1/organization/usage", json={})).json
    assert usage["results"][0]["usedCredits"] == [{"model": "gwm1_avatars", "amount": 8}]


async def test_nobody_joins_without_the_sessions_own_key_or_twice(runway: Caller) -> None:
    session_id = await connected(runway)

    assert (await joined(runway, session_id, key="key_" + "0" * 128)).status == 401
    other = (await made(runway, "realtime_sessions", SESSION))["id"]
    assert (await joined(runway, other, key="x")).status == 401
    assert (await runway.call("GET", f"/v1/realtime_sessions/{session_id}")).json["status"] == "RUNNING"


async def test_a_session_that_nobody_joins_lapses(runway: Caller) -> None:
    session_id = (await made(runway, "realtime_sessions", SESSION))["id"]
    await runway.advance(303)

    assert await state(runway, session_id) == "CANCELLED"


async def test_a_session_needs_credits(runway: Caller) -> None:
    await runway.control("PATCH", "account", {"creditBalance": 1})

    reply = await runway.call("POST", "/v1/realtime_sessions", json=SESSION)

    assert (reply.status, reply.json["error"]) == (400, "You do not have enough credits to run this task.")


async def test_a_session_can_be_scripted_to_fail(runway: Caller) -> None:
    await runway.fault("failure", rule={"operation": "create_realtime_session"}, message="No room.", failureCode="X")
    session_id = (await made(runway, "realtime_sessions", SESSION))["id"]
    await runway.advance(3)

    session = await found(runway, f"realtime_sessions/{session_id}")
    talk = await found(runway, f"avatar_conversations/{session_id}")

    assert (session["status"], session["failure"], session["failureCode"]) == ("FAILED", "No room.", "X")
    assert (talk["status"], talk["failure"], talk["failureCode"], talk["endedAt"]) == ("failed", "No room.", "X", None)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"model": "gwm2"}, {"model"}),
        ({"avatar": {"type": "runway-preset", "presetId": "dog"}}, {"avatar.presetId"}),
        ({"avatar": {"type": "custom", "avatarId": "00000000-0000-4000-8000-000000000000"}}, {"avatar.avatarId"}),
        ({"maxDuration": 9}, {"maxDuration"}),
        ({"maxDuration": 1801, "personality": "", "startScript": ""}, {"maxDuration", "personality", "startScript"}),
        ({"tools": [TOOL] * 21}, {"tools"}),
        ({"tools": [{**TOOL, "name": "1x"}]}, {"tools.0.name"}),
        ({"tools": [{**TOOL, "timeoutSeconds": 4}]}, {"tools.0"}),
        ({"tools": [{**TOOL, "type": "backend_rpc", "timeoutSeconds": 9}]}, {"tools.0.timeoutSeconds"}),
        (
            {"tools": [{**TOOL, "parameters": [{"type": "array", "name": "a", "description": "b"}]}]},
            {"tools.0.parameters.0.items"},
        ),
        ({"integration": {"type": "elevenlabs", "signedUrl": "http://a.example"}}, {"integration.signedUrl"}),
        (
            {"livekit": {"url": "wss://a.example", "token": "", "roomName": "x" * 257}},
            {"livekit.token", "livekit.roomName"},
        ),
    ],
)
async def test_what_is_wrong_with_a_session_is_named(runway: Caller, changes: dict[str, Any], fields: set[str]) -> None:
    assert await wrong(runway, "POST", "realtime_sessions", {**SESSION, **changes}) == fields


async def test_an_avatar_of_ones_own_must_be_ready_and_lends_its_script(runway: Caller) -> None:
    avatar = await made(runway, "avatars", AVATAR, startScript="Welcome.")
    own = {**SESSION, "avatar": {"type": "custom", "avatarId": avatar["id"]}}

    assert await wrong(runway, "POST", "realtime_sessions", own) == {"avatar.avatarId"}
    await runway.advance(10)
    talk = await found(runway, f"avatar_conversations/{await connected(runway, **own)}")

    assert [(entry["role"], entry["content"]) for entry in talk["transcript"]] == [("assistant", "Welcome.")]
    assert (talk["avatar"]["name"], talk["avatar"]["imageUrl"] is None) == ("Guide", False)


async def test_conversations_are_filtered_and_outlive_their_avatar(runway: Caller) -> None:
    avatar = await made(runway, "avatars", AVATAR)
    await runway.advance(10)
    own = await connected(runway, avatar={"type": "custom", "avatarId": avatar["id"]}, tools=[TOOL])
    other = await connected(runway)

    (with_avatar,) = (await found(runway, f"avatar_conversations?avatar={avatar['id']}"))["data"]
    both = (await found(runway, "avatar_conversations"))["data"]
    none = (await found(runway, "avatar_conversations?startDate=2999-01-01"))["data"]
    await runway.call("DELETE", f"/v1/avatars/{avatar['id']}")
    orphan = (await found(runway, f"avatar_conversations/{own}"))["avatar"]

    assert (with_avatar["id"], with_avatar["hasTools"], with_avatar["status"]) == (own, True, "in_progress")
    assert ([item["id"] for item in both], none) == ([other, own], [])
    assert orphan == {"type": "custom", "id": None, "name": None, "imageUrl": None}


async def test_a_deleted_conversation_is_gone_but_still_counts_as_use(runway: Caller) -> None:
    session_id = await connected(runway, maxDuration=10)
    await runway.advance(10)
    created = (await found(runway, f"avatar_conversations/{session_id}"))["createdAt"]
    assert (await runway.call("DELETE", f"/v1/avatar_conversations/{session_id}")).status == 204
    start, end = created[:10], f"{int(created[:4]) + 1}{created[4:10]}"

    usage = await found(runway, f"avatar_usage?startDate={start}T00:00:00Z&endDate={start}T23:59:59.999Z")
    year = await runway.call("GET", f"/v1/avatar_usage?startDate={start}&endDate={end}")
    missing = await runway.call("GET", "/v1/avatar_usage")

    assert (await runway.call("GET", f"/v1/avatar_conversations/{session_id}")).status == 404
    assert usage == {
        "totalSeconds": 10,
        "totalSessions": 1,
        "avgDurationSeconds": 10,
        "byDay": [{"date": start, "seconds": 10, "sessions": 1}],
    }
    assert [issue["path"] for issue in year.json["issues"]] == [["endDate"]]
    assert [issue["path"] for issue in missing.json["issues"]] == [["startDate"], ["endDate"]]


async def test_every_day_of_a_range_is_present(runway: Caller) -> None:
    usage = await found(runway, "avatar_usage?startDate=2026-01-30&endDate=2026-02-02")

    assert [day["date"] for day in usage["byDay"]] == ["2026-01-30", "2026-01-31", "2026-02-01"]
    assert (usage["totalSessions"], usage["avgDurationSeconds"]) == (0, 0)


async def test_an_old_conversation_can_be_seeded(runway: Caller) -> None:
    said = [{"role": "user", "content": "Hi", "timestamp": None}]
    seed = {"avatar": {"type": "runway-preset", "presetId": "influencer", "name": "Influencer"}, "transcript": said}

    made_id = (await runway.control("POST", "conversations", {**seed, "duration": 42}))["id"]

    talk = await found(runway, f"avatar_conversations/{made_id}")
    assert (talk["status"], talk["duration"], talk["transcript"]) == ("ended", 42, said)
