"""The first endpoints, as this service was first asked for them; each is one call of the contract."""

import re
from collections.abc import Iterable, Mapping
from uuid import uuid4

from aiohttp import web

from evergreen.v1 import video_pb2
from evergreen_server.gateway.compat.answers import json_answer, shaped
from evergreen_server.gateway.compat.fields import number_of, refuse_others, text_of
from evergreen_server.gateway.compat.folders import Folders
from evergreen_server.gateway.compat.jobs import Jobs, clip_of, error_of, percent_of, picture_in, status_of
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Fault, invalid, problem_members
from evergreen_server.gateway.rest.reading import idempotency_key, json_body, refuse_body
from evergreen_server.gateway.rest.routes import ROOT
from evergreen_server.gateway.visitors import visitor_of

__all__ = ["First"]

FIELDS = frozenset(
    {
        *("imageUrl", "prompt", "duration", "projectId", "sceneId"),
        *("model", "ratio", "cameraMovement", "motionIntensity"),
    }
)
SHORT_SECONDS, LONG_SECONDS = 5, 10
CAMERAS: Mapping[str, str] = {
    "static": "The camera does not move.",
    "pan-left": "The camera pans left.",
    "pan-right": "The camera pans right.",
    "tilt-up": "The camera tilts up.",
    "tilt-down": "The camera tilts down.",
    "zoom-in": "The camera zooms in.",
    "zoom-out": "The camera zooms out.",
    "dolly-in": "The camera moves forward.",
    "dolly-out": "The camera moves back.",
    "orbit": "The camera circles the subject.",
    "handheld": "A handheld camera.",
}
INTENSITIES: Mapping[str, str] = {"low": "Slow, subtle motion.", "medium": "", "high": "Fast, dynamic motion."}
NAMES: Mapping[str, str] = {"promptText": "prompt", "durationSeconds": "duration", "requestId": "Idempotency-Key"}
"""The contract's fields as they are called here; those of media are the picture's."""
_ASSET = re.compile(rf"(?:{ROOT}/projects/([^/?#]+)/scenes/([^/?#]+)/assets/)?([a-z]+/[^/?#]+)")


class First:
    """The handlers of `/api/videos` and of projects' folders. Used on one loop."""

    def __init__(self, *, jobs: Jobs, folders: Folders, places: Places) -> None:
        self._jobs = jobs
        self._folders = folders
        self._places = places

    def routes(self) -> Iterable[web.RouteDef]:
        """Returns the routes."""
        yield web.post("/api/videos/generate", shaped(self._generate, _failed))
        yield web.get("/api/videos/status/{id}", shaped(self._status, _failed))
        yield web.get("/api/projects/{projectId}/folders", shaped(self._list, _failed))
        yield web.post("/api/projects/{projectId}/folders", shaped(self._make, _failed))

    async def _generate(self, request: web.Request) -> web.Response:
        document = await json_body(request, self._places)
        refuse_others(document, FIELDS)
        duration = SHORT_SECONDS if number_of(document, "duration", SHORT_SECONDS) <= SHORT_SECONDS else LONG_SECONDS
        message = video_pb2.GenerateVideoRequest(
            project_id=text_of(document, "projectId", "default"),
            scene_id=text_of(document, "sceneId", "scene-1"),
            request_id=idempotency_key(request) or uuid4().hex,
            model=text_of(document, "model", "gen4_turbo"),
            prompt_text=_prompt(document),
            ratio=text_of(document, "ratio", "1280:720"),
            duration_seconds=duration,
        )
        if url := text_of(document, "imageUrl"):
            message.media.append(await self._picture(request, message, url))
        job = await self._jobs.generate(visitor_of(request), message)
        body = {"videoUrl": clip_of(job), "jobId": job.job_id, "taskId": job.job_id, "status": status_of(job)}
        return json_answer({**body, "duration": duration})

    async def _picture(
        self, request: web.Request, message: video_pb2.GenerateVideoRequest, url: str
    ) -> video_pb2.Media:
        if url.startswith("data:"):
            data, kind = picture_in(url, "imageUrl")
            return await self._jobs.first_frame(request, message.project_id, message.scene_id, data, kind)
        if asset := _ASSET.fullmatch(url):
            if asset[1] not in (None, message.project_id):
                raise invalid("imageUrl", "must be a file of the same project")
            scene_id = asset[2] if asset[2] not in (None, message.scene_id) else ""
            return video_pb2.Media(asset=asset[3], scene_id=scene_id, role=video_pb2.MEDIA_ROLE_FIRST_FRAME)
        return video_pb2.Media(uri=url, role=video_pb2.MEDIA_ROLE_FIRST_FRAME)

    async def _status(self, request: web.Request) -> web.Response:
        refuse_body(request)
        job = await self._jobs.status(visitor_of(request), request.match_info["id"])
        return json_answer(
            {
                "jobId": job.job_id,
                "taskId": job.job_id,
                "status": status_of(job),
                "progress": percent_of(job),
                "videoUrl": clip_of(job),
                "error": error_of(job),
                "needsAttention": job.state == video_pb2.JOB_STATE_NEEDS_ATTENTION,
            }
        )

    async def _list(self, request: web.Request) -> web.Response:
        refuse_body(request)
        refuse_others(request.query, ("sceneId", "pageToken"))
        scene_id, page_token = (text_of(request.query, name) for name in ("sceneId", "pageToken"))
        visitor, project_id = visitor_of(request), request.match_info["projectId"]
        return json_answer(await self._folders.tree(visitor, project_id, scene_id, page_token))

    async def _make(self, request: web.Request) -> web.Response:
        document = await json_body(request, self._places)
        refuse_others(document, ("sceneId", "sceneName"))
        scene_id, name = text_of(document, "sceneId"), text_of(document, "sceneName")
        if not scene_id and not name:
            raise invalid("sceneId", "required")
        made = await self._folders.make(visitor_of(request), request.match_info["projectId"], scene_id, name)
        return json_answer(made, status=201)


def _prompt(document: Mapping[str, object]) -> str:
    """Returns the prompt with words for what the contract has no fields for."""
    said = [text_of(document, "prompt").strip()]
    for name, words in (("cameraMovement", CAMERAS), ("motionIntensity", INTENSITIES)):
        if chosen := text_of(document, name):
            if chosen not in words:
                raise invalid(name, f"must be one of {', '.join(words)}")
            said.append(words[chosen])
    return " ".join(filter(None, said))


def _failed(request: web.Request, fault: Fault) -> web.Response:
    errors = problem_members(fault, visitor_of(request).request_id).get("errors", [])
    assert isinstance(errors, list)
    named = [{**each, "field": _named(str(each["field"]))} for each in errors]
    return json_answer({"error": fault.message, "reason": fault.reason, "errors": named}, status=fault.http)


def _named(field: str) -> str:
    return "imageUrl" if field.startswith("media") else NAMES.get(field, field)
