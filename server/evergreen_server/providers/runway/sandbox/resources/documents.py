"""Documents: texts that avatars know."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.catalog.rules import Text
from evergreen_server.providers.runway.catalog.shapes import Object
from evergreen_server.providers.runway.sandbox.http.answers import Answer
from evergreen_server.providers.runway.sandbox.http.routes import Asked, Route
from evergreen_server.providers.runway.sandbox.resources.bodies import body_issues, no_resource, refused, text_of
from evergreen_server.providers.runway.sandbox.resources.previews import Previews
from evergreen_server.providers.runway.sandbox.resources.queries import Query, page
from evergreen_server.providers.runway.sandbox.resources.records import Avatar, Document
from evergreen_server.providers.runway.sandbox.resources.shelves import Shelves
from evergreen_server.providers.runway.sandbox.state.clock import timestamp

__all__ = ["NEW", "Documents"]

_MEMBERS = {"name": Text(255), "content": Text(200_000)}
NEW = Object(_MEMBERS, frozenset(_MEMBERS), closed=False)
_CHANGE = Object(_MEMBERS, closed=False)


class Documents:
    """Answers /v1/documents."""

    def __init__(self, *, shelves: Shelves, previews: Previews) -> None:
        self._shelves = shelves
        self._previews = previews

    def routes(self) -> list[Route]:
        many, one = "/v1/documents", "/v1/documents/{id}"
        return [
            Route(operation="list_documents", method="GET", path=many, handler=self._list),
            Route(operation="create_document", method="POST", path=many, handler=self._create),
            Route(operation="get_document", method="GET", path=one, handler=self._get),
            Route(operation="update_document", method="PATCH", path=one, handler=self._update),
            Route(operation="delete_document", method="DELETE", path=one, handler=self._delete),
        ]

    async def _list(self, asked: Asked) -> Answer:
        query = Query(asked.query)
        by_change = query.one_of("sort", ("createdAt", "updatedAt")) == "updatedAt"
        ascending = query.one_of("order", ("desc", "asc")) == "asc"

        users = self._users()

        def show(document: Document) -> Json:
            shown = self._shown(document, users.get(document.id, ()), asked)
            return {name: value for name, value in shown.items() if name != "content"}

        return page(
            query,
            self._shelves.documents.all(),
            show,
            number=self._shelves.documents.number,
            key=lambda document: document.updated_at if by_change else document.created_at,
            newest_first=not ascending,
        )

    async def _create(self, asked: Asked) -> Answer:
        if issues := body_issues(NEW, asked):
            return refused(issues)
        name, content = str(asked.body["name"]), str(asked.body["content"])
        document = Document(
            id=str(uuid.uuid4()), created_at=asked.now, updated_at=asked.now, name=name, content=content
        )
        self._shelves.documents.put(document, asked.now)
        return Answer(status=200, body=self._shown(document, (), asked))

    async def _get(self, asked: Asked) -> Answer:
        document = self._shelves.documents.get(asked.parts["id"])
        if document is None:
            return no_resource("Document")
        return Answer(status=200, body=self._shown(document, self._users().get(document.id, ()), asked))

    async def _update(self, asked: Asked) -> Answer:
        document = self._shelves.documents.get(asked.parts["id"])
        if document is None:
            return no_resource("Document")
        if issues := body_issues(_CHANGE, asked, some=True):
            return refused(issues)
        changed = replace(
            document,
            updated_at=asked.now,
            name=text_of(asked.body, "name") or document.name,
            content=text_of(asked.body, "content") or document.content,
        )
        self._shelves.documents.put(changed, asked.now)
        return Answer(status=204)

    async def _delete(self, asked: Asked) -> Answer:
        document = self._shelves.documents.get(asked.parts["id"])
        if document is None:
            return no_resource("Document")
        for avatar in self._shelves.avatars.all():
            if document.id in avatar.document_ids:
                left = [each for each in avatar.document_ids if each != document.id]
                self._shelves.avatars.put(replace(avatar, document_ids=left), asked.now)
        self._shelves.documents.remove(document.id, asked.now)
        return Answer(status=204)

    def _users(self) -> Mapping[str, Sequence[Avatar]]:
        """Returns the avatars that know a document, by its id."""
        users: dict[str, list[Avatar]] = {}
        for avatar in self._shelves.avatars.all():
            for document_id in dict.fromkeys(avatar.document_ids):
                users.setdefault(document_id, []).append(avatar)
        return users

    def _shown(self, document: Document, users: Sequence[Avatar], asked: Asked) -> dict[str, Json]:
        shown: list[Json] = [
            {"id": avatar.id, "name": avatar.name, "imageUrl": self._previews.processed(avatar, asked)}
            for avatar in users
        ]
        return {
            "id": document.id,
            "name": document.name,
            "type": "text",
            "content": document.content,
            "usedBy": shown,
            "createdAt": timestamp(document.created_at),
            "updatedAt": timestamp(document.updated_at),
        }
