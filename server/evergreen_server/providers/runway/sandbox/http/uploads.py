"""How an ephemeral upload is asked for; `files.py` receives it."""

import secrets
from collections.abc import Mapping

from evergreen_server.providers.runway.catalog.models import Issue, Json
from evergreen_server.providers.runway.sandbox.http.answers import Answer, invalid
from evergreen_server.providers.runway.sandbox.http.routes import Asked, Route
from evergreen_server.providers.runway.sandbox.state.books import Books
from evergreen_server.providers.runway.sandbox.state.uploads import Upload, type_of

__all__ = ["upload_routes"]


def upload_routes(books: Books, secret: bytes) -> list[Route]:
    """Returns the row of POST /v1/uploads; `secret` signs the form."""

    async def create(asked: Asked) -> Answer:
        if issues := _issues(asked.body):
            return invalid([issue.record() for issue in issues])
        name = str(asked.body["filename"])
        upload = Upload(id=secrets.token_urlsafe(24), filename=name, created_at=asked.now)
        books.keep_upload(upload, asked.now)
        fields: dict[str, Json] = dict(upload.fields(secret))
        url = f"{asked.origin}/uploads/{upload.id}"
        return Answer(status=200, body={"uploadUrl": url, "fields": fields, "runwayUri": upload.uri})

    return [Route(operation="create_upload", method="POST", path="/v1/uploads", handler=create)]


def _issues(body: Mapping[str, Json]) -> list[Issue]:
    name, issues = body.get("filename"), []
    if not isinstance(name, str):
        text = "Invalid input: expected string, received " + ("undefined" if name is None else "another type")
        issues.append(Issue(("filename",), "invalid_type", text))
    elif not 3 <= len(name) <= 255:
        issues.append(Issue(("filename",), "custom", "filename must have 3 to 255 characters"))
    elif type_of(name) is None:
        issues.append(Issue(("filename",), "custom", "filename must end in a supported media extension"))
    if body.get("type") != "ephemeral":
        issues.append(Issue(("type",), "invalid_value", 'Invalid input: expected "ephemeral"'))
    return issues
