"""Conversations: what is kept of realtime sessions, and how much they were used."""

import math
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.catalog.rules import custom
from evergreen_server.providers.runway.sandbox.http.answers import Answer
from evergreen_server.providers.runway.sandbox.http.routes import Asked, Route
from evergreen_server.providers.runway.sandbox.resources.bodies import no_resource
from evergreen_server.providers.runway.sandbox.resources.previews import Previews
from evergreen_server.providers.runway.sandbox.resources.queries import Query, page, query_refusal
from evergreen_server.providers.runway.sandbox.resources.realtime import seconds_of, state_of
from evergreen_server.providers.runway.sandbox.resources.records import Session
from evergreen_server.providers.runway.sandbox.resources.shelves import Shelves
from evergreen_server.providers.runway.sandbox.state.clock import timestamp

__all__ = ["Conversations"]

_USUAL_LIMIT = 20
_DAYS_MOST = 90


class Conversations:
    """Answers /v1/avatar_conversations and /v1/avatar_usage."""

    def __init__(self, *, shelves: Shelves, previews: Previews) -> None:
        self._shelves = shelves
        self._previews = previews

    def routes(self) -> list[Route]:
        many, one = "/v1/avatar_conversations", "/v1/avatar_conversations/{id}"
        return [
            Route(operation="list_conversations", method="GET", path=many, handler=self._list),
            Route(operation="get_conversation", method="GET", path=one, handler=self._get),
            Route(operation="delete_conversation", method="DELETE", path=one, handler=self._delete),
            Route(operation="get_avatar_usage", method="GET", path="/v1/avatar_usage", handler=self._usage),
        ]

    async def _list(self, asked: Asked) -> Answer:
        query = Query(asked.query)
        avatar, start, end = query.uuid("avatar"), query.moment("startDate"), query.moment("endDate")
        found = [
            session
            for session in self._shelves.sessions.all()
            if not session.forgotten
            and (avatar is None or session.avatar.get("id") == avatar)
            and (start is None or session.created_at >= start)
            and (end is None or session.created_at < end)
        ]
        return page(
            query,
            found,
            lambda session: self._summary(session, asked.now),
            number=self._shelves.sessions.number,
            limit=_USUAL_LIMIT,
        )

    async def _get(self, asked: Asked) -> Answer:
        session = self._found(asked)
        return no_resource("Conversation") if session is None else Answer(status=200, body=self._whole(session, asked))

    async def _delete(self, asked: Asked) -> Answer:
        session = self._found(asked)
        if session is None:
            return no_resource("Conversation")
        self._shelves.sessions.put(replace(session, forgotten=True, transcript=[]), asked.now)
        return Answer(status=204)

    async def _usage(self, asked: Asked) -> Answer:
        query = Query(asked.query)
        start, end = query.moment("startDate", required=True), query.moment("endDate", required=True)
        if start is not None and end is not None and not 0 < end - start <= _DAYS_MOST * 24 * 3600:
            query.issues.append(custom(("endDate",), f"endDate must be after startDate, by at most {_DAYS_MOST} days"))
        if query.issues or start is None or end is None:
            return query_refusal(query)
        seconds: defaultdict[date, int] = defaultdict(int)
        sessions: defaultdict[date, int] = defaultdict(int)
        measured = []
        for session in self._shelves.sessions.all():
            if start <= session.created_at < end:
                day = _day(session.created_at)
                sessions[day] += 1
                lasted = seconds_of(session, asked.now)
                if lasted is not None and state_of(session, asked.now) != "RUNNING":
                    seconds[day] += lasted
                    measured.append(lasted)
        first, last = _day(start), _day(end - 0.001)
        days = [first + timedelta(days=count) for count in range((last - first).days + 1)]
        body: dict[str, Json] = {
            "totalSeconds": sum(measured),
            "totalSessions": sum(sessions.values()),
            "avgDurationSeconds": round(sum(measured) / len(measured)) if measured else 0,
            "byDay": [{"date": day.isoformat(), "seconds": seconds[day], "sessions": sessions[day]} for day in days],
        }
        return Answer(status=200, body=body)

    def _found(self, asked: Asked) -> Session | None:
        session = self._shelves.sessions.get(asked.parts["id"])
        return None if session is None or session.forgotten else session

    def _summary(self, session: Session, now: float) -> dict[str, Json]:
        return {
            "id": session.id,
            "name": f"Conversation of {timestamp(session.created_at)[:16].replace('T', ' ')}",
            "status": _status(session, now),
            "avatar": self._avatar(session),
            "createdAt": timestamp(session.created_at),
            "duration": seconds_of(session, now),
            "hasTools": bool(session.tools),
        }

    def _whole(self, session: Session, asked: Asked) -> dict[str, Json]:
        shown = {name: value for name, value in self._summary(session, asked.now).items() if name != "hasTools"}
        status = shown["status"]
        tools: list[Json] = [
            {name: tool[name] for name in ("type", "name", "description")}
            for tool in session.tools
            if isinstance(tool, dict)
        ]
        more: dict[str, Json] = {
            "avatar": self._whole_avatar(session, asked),
            "startedAt": None if session.started_at is None else timestamp(session.started_at),
            "maxDuration": session.max_seconds,
            "recordingUrl": None,
            "tools": tools,
            "transcript": list(session.transcript) if session.started_at is not None else [],
        }
        if status != "in_progress":
            more["endedAt"] = _ended(session)
        if status == "failed":
            more |= {"failure": session.failure, "failureCode": session.failure_code}
        return {**shown, **more}

    def _avatar(self, session: Session) -> dict[str, Json] | None:
        """Returns the avatar by its name of then; a custom one that was deleted has neither id nor name."""
        avatar = session.avatar
        if avatar.get("type") == "custom" and self._shelves.avatars.get(str(avatar.get("id"))) is None:
            return {"type": "custom", "id": None, "name": None}
        return dict(avatar) or None

    def _whole_avatar(self, session: Session, asked: Asked) -> dict[str, Json] | None:
        shown = self._avatar(session)
        if shown is None or shown["type"] == "runway-preset":
            return None if shown is None else {name: value for name, value in shown.items() if name != "name"}
        avatar = self._shelves.avatars.get(str(shown["id"]))
        return {**shown, "imageUrl": None if avatar is None else self._previews.processed(avatar, asked)}


def _status(session: Session, now: float) -> str:
    match state_of(session, now):
        case "COMPLETED" | "CANCELLED":
            return "ended"
        case "FAILED":
            return "failed"
        case _:
            return "in_progress"


def _ended(session: Session) -> str | None:
    if session.started_at is None:
        return None
    return timestamp(min(session.ended_at or math.inf, session.started_at + session.max_seconds))


def _day(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()
