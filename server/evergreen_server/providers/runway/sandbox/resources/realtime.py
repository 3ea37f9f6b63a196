"""Realtime sessions: live calls with an avatar, which are kept as conversations.

A session waits for a caller to connect until its key expires, and runs until its time is over or it is deleted. Its
price is 2 credits and 2 more for each 6 seconds begun; what a call did not use of its time is given back.
"""

import math
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

from evergreen_server.providers.runway.catalog.models import AVATARS, Issue, Json
from evergreen_server.providers.runway.catalog.rules import Flag, Number, OneOf, Text, Whole, custom
from evergreen_server.providers.runway.catalog.shapes import Items, Object, part, tagged
from evergreen_server.providers.runway.sandbox.http.answers import Answer, refusal
from evergreen_server.providers.runway.sandbox.http.routes import Asked, Route
from evergreen_server.providers.runway.sandbox.resources.bodies import (
    UUID,
    Rules,
    body_issues,
    no_resource,
    refused,
    text_of,
)
from evergreen_server.providers.runway.sandbox.resources.records import Session
from evergreen_server.providers.runway.sandbox.resources.shelves import Shelves
from evergreen_server.providers.runway.sandbox.state.books import Books, NotEnoughCredits
from evergreen_server.providers.runway.sandbox.state.clock import timestamp
from evergreen_server.providers.runway.sandbox.state.tasks import MILLI

__all__ = ["NEW", "Realtime", "State", "seconds_of", "state_of"]

MODEL = "gwm1_avatars"

State: TypeAlias = Literal["NOT_READY", "READY", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]

_READY_AFTER, _KEY_LIFE = 3.0, 300.0
_STEP_SECONDS, _STEP_PRICE = 6, 2 * MILLI

_NAME = Text(64, pattern="[a-zA-Z_][a-zA-Z0-9_]*")
_SIMPLE = ("string", "integer", "number", "boolean")
_PARAMETER: Rules = {"name!": _NAME, "description!": Text(1024), "required": Flag()}
_PARAMETERS = Items(
    tagged(
        {
            "string": {**_PARAMETER, "enum": Items(Text(64, 0), 20)},
            **dict.fromkeys(("integer", "number", "boolean"), _PARAMETER),
            "array": {**_PARAMETER, "items!": part({"type!": OneOf(_SIMPLE)})},
            "object": {**_PARAMETER, "properties!": Items(Object({}, closed=False), 20)},
        }
    ),
    20,
)
_TOOL: Rules = {"name!": _NAME, "description!": Text(1024), "parameters": _PARAMETERS}
_LIVEKIT: Rules = {"url!": Text(), "token!": Text(2048), "roomName!": Text(256), "agentIdentity": Text()}
NEW = Object(
    {
        "model": OneOf((MODEL,)),
        "avatar": tagged(
            {
                "runway-preset": {"presetId!": OneOf(AVATARS)},
                "custom": {"avatarId!": Text(pattern=UUID)},
            }
        ),
        "maxDuration": Whole(10, 1800),
        "personality": Text(10_000),
        "startScript": Text(2000),
        "tools": Items(tagged({"client_event": _TOOL, "backend_rpc": {**_TOOL, "timeoutSeconds": Number(1, 8)}}), 20),
        "integration": tagged({"elevenlabs": {"signedUrl!": Text()}, "livekit": _LIVEKIT}),
        "livekit": part(_LIVEKIT),
    },
    frozenset({"model", "avatar"}),
    closed=False,
)


class Realtime:
    """Answers /v1/realtime_sessions."""

    def __init__(self, *, shelves: Shelves, books: Books) -> None:
        self._shelves = shelves
        self._books = books

    def routes(self) -> list[Route]:
        many, one = "/v1/realtime_sessions", "/v1/realtime_sessions/{id}"
        return [
            Route(operation="create_realtime_session", method="POST", path=many, handler=self._create),
            Route(operation="get_realtime_session", method="GET", path=one, handler=self._get),
            Route(operation="delete_realtime_session", method="DELETE", path=one, handler=self._delete),
            Route(
                operation="consume_realtime_session",
                method="POST",
                path=f"{one}/consume",
                handler=self._consume,
                keyed=False,
            ),
        ]

    async def _create(self, asked: Asked) -> Answer:
        body = asked.body
        if issues := [*body_issues(NEW, asked), *_urls(body), *self._unknown(body, asked)]:
            return refused(issues)
        longest, avatar, tools = body.get("maxDuration", 300), body["avatar"], body.get("tools")
        ready_at = asked.now + _READY_AFTER
        opening = text_of(body, "startScript") or self._script(avatar)
        session = Session(
            id=str(uuid.uuid4()),
            created_at=asked.now,
            ready_at=ready_at,
            expires_at=ready_at + _KEY_LIFE,
            key=secrets.token_urlsafe(32),
            avatar=self._named(avatar),
            max_seconds=int(longest) if isinstance(longest, int | float) else 300,
            tools=tools if isinstance(tools, list) else [],
            transcript=[{"role": "assistant", "content": opening, "timestamp": None}] if opening else [],
            failure=asked.failure,
            failure_code=asked.failure_code or ("INTERNAL" if asked.failure else ""),
        )
        if not session.failure:
            try:
                self._books.charge(MODEL, _STEP_PRICE, asked.now)
            except NotEnoughCredits:
                return refusal(400, "You do not have enough credits to run this task.")
        self._shelves.sessions.put(session, asked.now)
        return Answer(status=200, body={"id": session.id})

    async def _get(self, asked: Asked) -> Answer:
        session = self._shelves.sessions.get(asked.parts["id"])
        if session is None:
            return no_resource("Realtime session")
        state = state_of(session, asked.now)
        shown: dict[str, Json] = {"id": session.id, "createdAt": timestamp(session.created_at), "status": state}
        match state:
            case "READY":
                shown |= {"sessionKey": session.key, "expiresAt": timestamp(session.expires_at)}
            case "COMPLETED":
                shown["duration"] = seconds_of(session, asked.now)
            case "FAILED":
                shown |= {"failure": session.failure, "failureCode": session.failure_code}
        return Answer(status=200, body=shown)

    async def _consume(self, asked: Asked) -> Answer:
        """Connects a caller, which in truth would lead to a room with the avatar in it."""
        session = self._shelves.sessions.get(asked.parts["id"])
        if session is None:
            return no_resource("Realtime session")
        if not secrets.compare_digest(asked.key.encode(errors="surrogateescape"), session.key.encode()):
            return refusal(401, "The session key that was provided is not valid.")
        if state_of(session, asked.now) != "READY":
            return refusal(409, "The session is not ready to be consumed.")
        try:
            self._books.charge(MODEL, _price(session.max_seconds), asked.now)
        except NotEnoughCredits:
            return refusal(400, "You do not have enough credits to run this task.")
        said = [
            {**entry, "timestamp": timestamp(asked.now)} if isinstance(entry, dict) else entry
            for entry in session.transcript
        ]
        self._shelves.sessions.put(replace(session, started_at=asked.now, transcript=said), asked.now)
        room = {"url": f"{asked.origin}/rooms/{session.id}", "token": secrets.token_urlsafe(32), "roomName": session.id}
        return Answer(status=200, body={**room})

    async def _delete(self, asked: Asked) -> Answer:
        session = self._shelves.sessions.get(asked.parts["id"])
        if session is None:
            return no_resource("Realtime session")
        match state_of(session, asked.now):
            case "RUNNING":
                ended = replace(session, ended_at=asked.now, cancelled=True)
                unused = _price(session.max_seconds) - _price(seconds_of(ended, asked.now) or 0)
                self._books.charge(MODEL, -unused, asked.now)
                self._shelves.sessions.put(ended, asked.now)
            case "NOT_READY" | "READY":
                self._shelves.sessions.put(replace(session, ended_at=asked.now, cancelled=True), asked.now)
        return Answer(status=204)

    def _unknown(self, body: Mapping[str, Json], asked: Asked) -> list[Issue]:
        place = ("avatar", "avatarId")
        match body.get("avatar"):
            case {"type": "custom", "avatarId": str(avatar_id)}:
                avatar = self._shelves.avatars.get(avatar_id)
                if avatar is None:
                    return [custom(place, "Avatar not found")]
                if asked.now < avatar.ready_at or avatar.failure:
                    return [custom(place, "Avatar is not ready")]
        return []

    def _named(self, avatar: Json) -> dict[str, Json]:
        """Returns an avatar with the name that it has now."""
        match avatar:
            case {"type": "custom", "avatarId": str(avatar_id)}:
                found = self._shelves.avatars.get(avatar_id)
                return {"type": "custom", "id": avatar_id, "name": found.name if found else None}
            case {"presetId": str(preset)}:
                return {"type": "runway-preset", "presetId": preset, "name": preset.replace("-", " ").title()}
        return {}

    def _script(self, avatar: Json) -> str | None:
        match avatar:
            case {"avatarId": str(avatar_id)} if found := self._shelves.avatars.get(avatar_id):
                return found.start_script
        return None


def state_of(session: Session, now: float) -> State:
    """Returns where a session is at a time."""
    if session.cancelled:
        return "CANCELLED"
    if now < session.ready_at:
        return "NOT_READY"
    if session.failure:
        return "FAILED"
    if session.started_at is None:
        # Nobody came.
        return "READY" if now < session.expires_at else "CANCELLED"
    return "RUNNING" if now < session.started_at + session.max_seconds else "COMPLETED"


def seconds_of(session: Session, now: float) -> int | None:
    """Returns the whole seconds that a call lasted up to a time; None if it never began."""
    if session.started_at is None:
        return None
    end = min(now, session.started_at + session.max_seconds)
    return round(min(end, session.ended_at or end) - session.started_at)


def _price(seconds: float) -> int:
    return math.ceil(seconds / _STEP_SECONDS) * _STEP_PRICE


def _urls(body: Mapping[str, Json]) -> list[Issue]:
    """Returns an issue for each server that is not named by a secure URL."""
    issues = []
    for name, members in (("integration", ("signedUrl", "url")), ("livekit", ("url",))):
        found = body.get(name)
        for member in members:
            url = found.get(member) if isinstance(found, dict) else None
            if isinstance(url, str) and not url.startswith(("wss://", "https://")):
                issues.append(custom((name, member), "Must be a wss:// or https:// URL"))
    return issues
