"""Bodies that the calls about resources accept."""

from typing import Any

from tests.providers.runway.sandbox.driver import Caller, data_uri, picture

VOICE = {
    "name": "Ada",
    "from": {"type": "text", "prompt": "a low and calm voice of an old sailor", "model": "eleven_ttv_v3"},
}
AVATAR = {
    "name": "Guide",
    "referenceImage": data_uri(picture()),
    "personality": "Helps people to find their way.",
    "voice": {"type": "runway-live-preset", "presetId": "adrian"},
}
DOCUMENT = {"name": "Map", "content": "# North is up"}
SESSION = {"model": "gwm1_avatars", "avatar": {"type": "runway-preset", "presetId": "cat-character"}}


async def made(runway: Caller, path: str, body: dict[str, Any], **changes: Any) -> Any:
    """Creates something and returns the answer."""
    reply = await runway.call("POST", f"/v1/{path}", json={**body, **changes})
    assert reply.status == 200, reply.data
    return reply.json


async def found(runway: Caller, path: str) -> Any:
    reply = await runway.call("GET", f"/v1/{path}")
    assert reply.status == 200, reply.data
    return reply.json


async def wrong(runway: Caller, method: str, path: str, body: dict[str, Any]) -> set[str]:
    """Returns the fields that a refusal names."""
    reply = await runway.call(method, f"/v1/{path}", json=body)
    assert reply.status == 400, reply.data
    return {".".join(map(str, issue["path"])) for issue in reply.json["issues"]}
