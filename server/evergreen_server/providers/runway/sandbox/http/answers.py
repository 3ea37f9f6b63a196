"""The provider's answers, literally where they are known: compact JSON and its headers."""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from evergreen_server.providers.runway.catalog.models import Json

DOCUMENTATION = "https://docs.dev.runwayml.com/api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer before it is sent. `task_id` is the task it is about, for the log of calls."""

    status: int
    body: Json = None
    task_id: str | None = None
    content: bytes | None = None
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> bytes:
        if self.content is not None:
            return self.content
        return b"" if self.status == 204 else compact(self.body)

    def response(self) -> web.Response:
        body = self.bytes
        headers = {
            "apigw-requestid": secrets.token_urlsafe(11) + "=",
            "strict-transport-security": "max-age=31536000",
            "x-powered-by": "Express",
            **self.headers,
        }
        if body:
            mark = base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest())[:27].decode()
            headers |= {"content-type": self.content_type, "etag": f'W/"{len(body):x}-{mark}"'}
        return web.Response(status=self.status, body=body or None, headers=headers)


def compact(body: Json) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def refusal(status: int, error: str, **more: Json) -> Answer:
    """Returns an error with the link that most errors carry."""
    return Answer(status=status, body={"error": error, **more, "docUrl": DOCUMENTATION})


def invalid(issues: Sequence[dict[str, Json]]) -> Answer:
    return refusal(400, "Validation of body failed", issues=list(issues))


def no_task() -> Answer:
    return Answer(status=404, body={"error": "Could not find Task"})
