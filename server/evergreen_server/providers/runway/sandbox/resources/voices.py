"""Voices of the account's own, made from a recording or a description. They serve avatars."""

import hashlib
import uuid
from dataclasses import replace

from evergreen_server.providers.runway.catalog.models import Issue, Json, Kind
from evergreen_server.providers.runway.catalog.rules import OneOf, Text
from evergreen_server.providers.runway.catalog.shapes import Object, Uri, tagged
from evergreen_server.providers.runway.sandbox.http.answers import Answer
from evergreen_server.providers.runway.sandbox.http.routes import Asked, Route
from evergreen_server.providers.runway.sandbox.resources.bodies import (
    Media,
    Nullable,
    Rules,
    body_issues,
    no_resource,
    refused,
    text_of,
)
from evergreen_server.providers.runway.sandbox.resources.previews import SAMPLE_SECONDS, Previews
from evergreen_server.providers.runway.sandbox.resources.queries import Query, page
from evergreen_server.providers.runway.sandbox.resources.records import Voice
from evergreen_server.providers.runway.sandbox.resources.shelves import Shelves
from evergreen_server.providers.runway.sandbox.state.clock import timestamp

__all__ = ["NEW", "Voices"]

_MODEL = OneOf(("eleven_ttv_v3", "eleven_multilingual_ttv_v2"))
_PROMPT = Text(1000, 20)
_SOURCE = tagged({"audio": {"audio!": Uri(Kind.AUDIO)}, "text": {"prompt!": _PROMPT, "model!": _MODEL}})
_ABOUT: Rules = {"name": Text(100), "description": Nullable(Text(1024))}
NEW = Object({**_ABOUT, "from": _SOURCE}, frozenset({"name", "from"}), closed=False)
_CHANGE = Object(_ABOUT)
_PREVIEW = Object({"prompt": _PROMPT, "model": _MODEL}, frozenset({"prompt", "model"}), closed=False)


class Voices:
    """Answers /v1/voices."""

    def __init__(self, *, shelves: Shelves, media: Media, previews: Previews) -> None:
        self._shelves = shelves
        self._media = media
        self._previews = previews

    def routes(self) -> list[Route]:
        many, one = "/v1/voices", "/v1/voices/{id}"
        return [
            Route(operation="list_voices", method="GET", path=many, handler=self._list),
            Route(operation="create_voice", method="POST", path=many, handler=self._create),
            Route(operation="preview_voice", method="POST", path="/v1/voices/preview", handler=self._preview),
            Route(operation="get_voice", method="GET", path=one, handler=self._get),
            Route(operation="update_voice", method="PATCH", path=one, handler=self._update),
            Route(operation="delete_voice", method="DELETE", path=one, handler=self._delete),
        ]

    async def _list(self, asked: Asked) -> Answer:
        shelf = self._shelves.voices
        return page(Query(asked.query), shelf.all(), lambda voice: self._shown(voice, asked), number=shelf.number)

    async def _create(self, asked: Asked) -> Answer:
        if issues := body_issues(NEW, asked):
            return refused(issues)
        source = asked.body["from"]
        if isinstance(source, dict) and source["type"] == "audio":
            taken = await self._media.take(asked, ("from", "audio"), source["audio"], "audio")
            if isinstance(taken, Issue):
                return refused([taken])
        voice = Voice(
            id=str(uuid.uuid4()),
            created_at=asked.now,
            ready_at=asked.now + asked.settings.preparing_seconds,
            name=str(asked.body["name"]),
            description=text_of(asked.body, "description"),
            failure=asked.failure,
        )
        self._shelves.voices.put(voice, asked.now)
        return Answer(status=200, body={"id": voice.id})

    async def _preview(self, asked: Asked) -> Answer:
        if issues := body_issues(_PREVIEW, asked):
            return refused(issues)
        name = hashlib.sha256(f"{asked.body['model']}:{asked.body['prompt']}".encode()).hexdigest()[:32]
        url = self._previews.sample(name, asked)
        return Answer(status=200, body={"url": url, "durationSecs": SAMPLE_SECONDS})

    async def _get(self, asked: Asked) -> Answer:
        voice = self._shelves.voices.get(asked.parts["id"])
        return no_resource("Voice") if voice is None else Answer(status=200, body=self._shown(voice, asked))

    async def _update(self, asked: Asked) -> Answer:
        voice = self._shelves.voices.get(asked.parts["id"])
        if voice is None:
            return no_resource("Voice")
        if issues := body_issues(_CHANGE, asked):
            return refused(issues)
        kept = None if "description" in asked.body else voice.description
        changed = replace(
            voice,
            name=text_of(asked.body, "name") or voice.name,
            description=text_of(asked.body, "description", kept),
        )
        self._shelves.voices.put(changed, asked.now)
        return Answer(status=200, body=self._shown(changed, asked))

    async def _delete(self, asked: Asked) -> Answer:
        voice = self._shelves.voices.get(asked.parts["id"])
        if voice is None:
            return no_resource("Voice")
        self._shelves.voices.remove(voice.id, asked.now)
        return Answer(status=204)

    def _shown(self, voice: Voice, asked: Asked) -> dict[str, Json]:
        shown: dict[str, Json] = {
            "id": voice.id,
            "name": voice.name,
            "description": voice.description,
            "createdAt": timestamp(voice.created_at),
        }
        if asked.now < voice.ready_at:
            return {**shown, "status": "PROCESSING"}
        if voice.failure:
            return {**shown, "status": "FAILED", "failureReason": voice.failure}
        return {**shown, "status": "READY", "previewUrl": self._previews.sample(voice.id, asked)}
