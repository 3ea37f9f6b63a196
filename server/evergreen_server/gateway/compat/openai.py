"""`/v1/videos` in OpenAI's shape, so that its SDKs work unchanged but for their base URL."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import grpc
from aiohttp import web

from evergreen.v1 import video_pb2
from evergreen_server.gateway.compat.answers import json_answer, shaped
from evergreen_server.gateway.compat.fields import refuse_others, text_of, whole_of
from evergreen_server.gateway.compat.forms import Form, read_form
from evergreen_server.gateway.compat.jobs import ENDED, Jobs, picture_in
from evergreen_server.gateway.compat.pages import Pages
from evergreen_server.gateway.compat.retries import LABEL, Retries, digest_of
from evergreen_server.gateway.compat.videos import error_of, job_id_of, poll_milliseconds, video_of
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Fault, invalid, refused
from evergreen_server.gateway.rest.assets import Asked
from evergreen_server.gateway.rest.files import Files
from evergreen_server.gateway.rest.reading import json_body, refuse_body
from evergreen_server.gateway.visitors import only, visitor_of

__all__ = ["OpenAi"]

PROJECT, SCENE = "default", "videos"
MODEL = "gen4.5"
"""Where a request names none, and the operator has not said which one that is."""
SIZE = "720x1280"
FIELDS = frozenset({"prompt", "model", "seconds", "size", "input_reference", "input_reference[image_url]", "scene_id"})
UNOFFERED = ("{id}/remix", "{id}/edit", "edits", "extensions", "characters")


class OpenAi:
    """The handlers of `/v1/videos`. `models` are ours by theirs, `*` for all others. Used on one loop."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        pages: Pages,
        retries: Retries,
        files: Files,
        places: Places,
        models: Mapping[str, str],
        now: Callable[[], datetime],
    ) -> None:
        self._jobs = jobs
        self._pages = pages
        self._retries = retries
        self._files = files
        self._places = places
        self._models = models
        self._now = now

    def routes(self) -> Iterable[web.RouteDef]:
        """Returns the routes."""
        yield web.post("/v1/videos", shaped(self._create, _failed))
        yield web.get("/v1/videos", shaped(self._list, _failed))
        for path in UNOFFERED:
            yield web.post(f"/v1/videos/{path}", shaped(_not_offered, _failed))
        yield web.get("/v1/videos/characters/{id}", shaped(_not_offered, _failed))
        yield web.get("/v1/videos/{id}", shaped(self._retrieve, _failed))
        yield web.delete("/v1/videos/{id}", shaped(self._delete, _failed))
        yield web.get("/v1/videos/{id}/content", shaped(self._content, _failed))

    async def _create(self, request: web.Request) -> web.StreamResponse:
        form = await self._form(request)
        refuse_others({**form.fields, **form.files}, FIELDS)
        project_id, digest = _project_of(request), digest_of(form.fields, form.files)
        message = video_pb2.GenerateVideoRequest(
            project_id=project_id,
            scene_id=text_of(form.fields, "scene_id", SCENE),
            request_id=await self._retries.request_id(request, project_id, digest),
            model=self._model(text_of(form.fields, "model")),
            prompt_text=text_of(form.fields, "prompt"),
            ratio=text_of(form.fields, "size", SIZE).replace("x", ":"),
            labels={LABEL: digest},
        )
        if form.fields.get("seconds") is not None:
            message.duration_seconds = whole_of(form.fields, "seconds")
        await self._add_picture(request, message, form)
        return self._video(await self._jobs.generate(visitor_of(request), message))

    async def _form(self, request: web.Request) -> Form:
        if request.content_type == "multipart/form-data":
            return await read_form(request, self._places)
        return Form(fields=await json_body(request, self._places))

    async def _add_picture(self, request: web.Request, message: video_pb2.GenerateVideoRequest, form: Form) -> None:
        given = form.fields.get("input_reference")
        url: object = form.fields.get("input_reference[image_url]")
        if isinstance(given, dict):
            refuse_others({f"input_reference.{name}": 0 for name in given}, {"input_reference.image_url"})
            url = given.get("image_url")
        elif given is not None:
            raise invalid("input_reference", "must be a file, or an object with image_url")
        if "input_reference" in form.files:
            data, kind = form.files["input_reference"]
        elif url is None:
            return
        elif not isinstance(url, str):
            raise invalid("input_reference", "image_url must be a text")
        elif not url.startswith("data:"):
            message.media.add(uri=url, role=video_pb2.MEDIA_ROLE_FIRST_FRAME)
            return
        else:
            data, kind = picture_in(url, "input_reference")
        message.media.append(await self._jobs.first_frame(request, message.project_id, message.scene_id, data, kind))

    async def _retrieve(self, request: web.Request) -> web.StreamResponse:
        refuse_body(request)
        return self._video(await self._job(request))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        refuse_body(request)
        refuse_others(request.query, ("after", "limit", "order"))
        asked = {name: text_of(request.query, name) for name in ("after", "limit", "order")}
        found, more = await self._pages.after(visitor_of(request), _project_of(request), **asked)
        videos = [video_of(job) for job in found]
        ends = {"first_id": videos[0]["id"], "last_id": videos[-1]["id"]} if videos else {}
        return json_answer(
            {"object": "list", "data": videos, "has_more": more, "first_id": None, "last_id": None, **ends}
        )

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        job = await self._job(request)
        # Nothing that is paid for is ever deleted by this.
        unfinished = job.state != video_pb2.JOB_STATE_SUCCEEDED and job.state not in ENDED
        if unfinished:
            await self._jobs.cancel(visitor_of(request), job.job_id)
        return json_answer({"id": request.match_info["id"], "object": "video.deleted", "deleted": unfinished})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        refuse_body(request)
        refuse_others(request.query, ("variant",))
        variant = text_of(request.query, "variant", "video")
        if variant not in ("video", "thumbnail"):
            raise invalid("variant", "must be video or thumbnail")
        job = await self._job(request)
        clips = (output for output in job.outputs if output.content_type.startswith("video/"))
        clip = next(clips, video_pb2.Output())
        if not (path := clip.asset if variant == "video" else clip.poster):
            raise refused(
                grpc.StatusCode.NOT_FOUND, "ASSET_NOT_FOUND", message="the video has no such file, or not yet"
            )
        return await self._files.send(request, Asked(project_id=job.project_id, scene_id=job.scene_id, path=path))

    async def _job(self, request: web.Request) -> video_pb2.Job:
        return await self._jobs.status(visitor_of(request), job_id_of(request.match_info["id"]))

    def _model(self, named: str) -> str:
        return self._models.get(named, self._models.get("*", named or MODEL))

    def _video(self, job: video_pb2.Job) -> web.Response:
        response = json_answer(video_of(job))
        response.headers["OpenAI-Poll-After-Ms"] = str(poll_milliseconds(job, self._now()))
        return response


async def _not_offered(request: web.Request) -> web.StreamResponse:
    raise refused(
        grpc.StatusCode.UNIMPLEMENTED,
        "OPERATION_NOT_OFFERED",
        message="this operation is not offered here; see the contract's own calls under /api/v1",
    )


def _project_of(request: web.Request) -> str:
    return only(request, "OpenAI-Project") or PROJECT


def _failed(_: web.Request, fault: Fault) -> web.Response:
    response = json_answer(error_of(fault), status=fault.http)
    # The SDKs repeat every 409 and 5xx of themselves, also what will never be otherwise.
    response.headers["X-Should-Retry"] = "true" if "Retry-After" in fault.all_headers() else "false"
    return response
