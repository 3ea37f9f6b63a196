"""Avatars: characters that speak live or in a video."""

import uuid
from collections.abc import Mapping
from dataclasses import replace

from evergreen_server.providers.runway.catalog.models import LIVE_VOICES, Issue, Json, Kind
from evergreen_server.providers.runway.catalog.rules import OneOf, Text, custom
from evergreen_server.providers.runway.catalog.shapes import Items, Object, Uri, tagged
from evergreen_server.providers.runway.sandbox.http.answers import Answer, refusal
from evergreen_server.providers.runway.sandbox.http.routes import Asked, Route
from evergreen_server.providers.runway.sandbox.resources.bodies import (
    UUID,
    Media,
    Nullable,
    Rules,
    body_issues,
    no_resource,
    refused,
    text_of,
)
from evergreen_server.providers.runway.sandbox.resources.previews import Previews
from evergreen_server.providers.runway.sandbox.resources.queries import Query, page
from evergreen_server.providers.runway.sandbox.resources.records import Avatar
from evergreen_server.providers.runway.sandbox.resources.shelves import Shelves
from evergreen_server.providers.runway.sandbox.state.clock import timestamp

__all__ = ["NEW", "Avatars"]

_VOICE = tagged({"runway-live-preset": {"presetId!": OneOf(LIVE_VOICES)}, "custom": {"id!": Text(pattern=UUID)}})
_NEEDED: Rules = {"name": Text(50), "referenceImage": Uri(Kind.PICTURE), "personality": Text(10_000), "voice": _VOICE}
_FURTHER: Rules = {"documentIds": Items(Text(pattern=UUID), 50), "imageProcessing": OneOf(("optimize", "none"))}
_SCRIPT = Text(2000, 0)
NEW = Object({**_NEEDED, **_FURTHER, "startScript": _SCRIPT}, frozenset(_NEEDED), closed=False)
_CHANGE = Object({**_NEEDED, **_FURTHER, "startScript": Nullable(_SCRIPT)}, closed=False)


class Avatars:
    """Answers /v1/avatars."""

    def __init__(self, *, shelves: Shelves, media: Media, previews: Previews) -> None:
        self._shelves = shelves
        self._media = media
        self._previews = previews

    def routes(self) -> list[Route]:
        many, one = "/v1/avatars", "/v1/avatars/{id}"
        return [
            Route(operation="list_avatars", method="GET", path=many, handler=self._list),
            Route(operation="create_avatar", method="POST", path=many, handler=self._create),
            Route(operation="get_avatar", method="GET", path=one, handler=self._get),
            Route(operation="update_avatar", method="PATCH", path=one, handler=self._update),
            Route(operation="delete_avatar", method="DELETE", path=one, handler=self._delete),
        ]

    async def _list(self, asked: Asked) -> Answer:
        shelf = self._shelves.avatars
        return page(Query(asked.query), shelf.all(), lambda avatar: self._shown(avatar, asked), number=shelf.number)

    async def _create(self, asked: Asked) -> Answer:
        if issues := [*body_issues(NEW, asked), *self._unknown(asked.body)]:
            return refused(issues)
        taken = await self._media.take(asked, ("referenceImage",), asked.body["referenceImage"], "image")
        if isinstance(taken, Issue):
            return refused([taken])
        avatar = Avatar(
            id=str(uuid.uuid4()),
            created_at=asked.now,
            updated_at=asked.now,
            ready_at=asked.now + asked.settings.preparing_seconds,
            name=str(asked.body["name"]),
            personality=str(asked.body["personality"]),
            start_script=text_of(asked.body, "startScript"),
            voice=_object(asked.body["voice"]),
            document_ids=_texts(asked.body.get("documentIds")),
            digest=taken.digest,
            failure=asked.failure,
        )
        self._shelves.avatars.put(avatar, asked.now)
        return Answer(status=200, body=self._shown(avatar, asked))

    async def _get(self, asked: Asked) -> Answer:
        avatar = self._shelves.avatars.get(asked.parts["id"])
        return no_resource("Avatar") if avatar is None else Answer(status=200, body=self._shown(avatar, asked))

    async def _update(self, asked: Asked) -> Answer:
        avatar, body = self._shelves.avatars.get(asked.parts["id"]), asked.body
        if avatar is None:
            return no_resource("Avatar")
        if issues := [*body_issues(_CHANGE, asked, some=True), *self._unknown(body)]:
            return refused(issues)
        digest, ready_at, failure = avatar.digest, avatar.ready_at, avatar.failure
        if "referenceImage" in body:
            if asked.now < avatar.ready_at:
                return refusal(409, "The avatar's image cannot be changed while the avatar is processing.")
            taken = await self._media.take(asked, ("referenceImage",), body["referenceImage"], "image")
            if isinstance(taken, Issue):
                return refused([taken])
            digest, ready_at, failure = taken.digest, asked.now + asked.settings.preparing_seconds, asked.failure
        changed = replace(
            avatar,
            updated_at=asked.now,
            ready_at=ready_at,
            name=text_of(body, "name") or avatar.name,
            personality=text_of(body, "personality") or avatar.personality,
            start_script=text_of(body, "startScript") if "startScript" in body else avatar.start_script,
            voice=_object(body["voice"]) if "voice" in body else avatar.voice,
            document_ids=_texts(body["documentIds"]) if "documentIds" in body else avatar.document_ids,
            digest=digest,
            failure=failure,
        )
        self._shelves.avatars.put(changed, asked.now)
        return Answer(status=200, body=self._shown(changed, asked))

    async def _delete(self, asked: Asked) -> Answer:
        avatar = self._shelves.avatars.get(asked.parts["id"])
        if avatar is None:
            return no_resource("Avatar")
        self._shelves.avatars.remove(avatar.id, asked.now)
        return Answer(status=204)

    def _unknown(self, body: Mapping[str, Json]) -> list[Issue]:
        """Returns an issue for each voice and document that the body names and the account has not."""
        issues = []
        match body.get("voice"):
            case {"type": "custom", "id": str(voice_id)} if self._shelves.voices.get(voice_id) is None:
                issues.append(custom(("voice", "id"), "Voice not found"))
        for index, document_id in enumerate(_texts(body.get("documentIds"))):
            if self._shelves.documents.get(document_id) is None:
                issues.append(custom(("documentIds", index), "Document not found"))
        return issues

    def _shown(self, avatar: Avatar, asked: Asked) -> dict[str, Json]:
        shown: dict[str, Json] = {
            "id": avatar.id,
            "name": avatar.name,
            "personality": avatar.personality,
            "startScript": avatar.start_script,
            "voice": self._voice(avatar),
            "referenceImageUri": self._previews.reference(avatar, asked),
            "processedImageUri": self._previews.processed(avatar, asked),
            "documentIds": list(avatar.document_ids),
            "createdAt": timestamp(avatar.created_at),
            "updatedAt": timestamp(avatar.updated_at),
        }
        if asked.now < avatar.ready_at:
            return {**shown, "status": "PROCESSING"}
        if avatar.failure:
            return {**shown, "status": "FAILED", "failureReason": avatar.failure}
        return {**shown, "status": "READY"}

    def _voice(self, avatar: Avatar) -> Json:
        chosen = avatar.voice
        if chosen["type"] == "runway-live-preset":
            name = str(chosen["presetId"])
            return {**chosen, "name": name.capitalize(), "description": f"The preset voice {name.capitalize()}."}
        voice = self._shelves.voices.get(str(chosen["id"]))
        if voice is None:
            return {**chosen, "deleted": True}
        return {**chosen, "deleted": False, "name": voice.name, "description": voice.description}


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _texts(value: Json) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
