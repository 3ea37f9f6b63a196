"""The two plain file paths beside the API: uploads come in by POST, outputs go out by GET."""

import asyncio
import hashlib
import hmac
import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from aiohttp import BodyPartReader, web

from evergreen_server.providers.runway.sandbox.generation.assets import Assets
from evergreen_server.providers.runway.sandbox.generation.studio import RenderFailed, Studio
from evergreen_server.providers.runway.sandbox.http.answers import Answer
from evergreen_server.providers.runway.sandbox.http.api import Controls
from evergreen_server.providers.runway.sandbox.http.faults import Target
from evergreen_server.providers.runway.sandbox.http.front import Front
from evergreen_server.providers.runway.sandbox.http.outputs import (
    Signer,
    body_of,
    expired,
    missing,
    not_the_file,
    serve,
)
from evergreen_server.providers.runway.sandbox.state.books import Books
from evergreen_server.providers.runway.sandbox.state.clock import SimulatedClock
from evergreen_server.providers.runway.sandbox.state.uploads import MAX_BYTES, MIN_BYTES, Upload, type_of

logger = logging.getLogger(__name__)

_FIELD_MOST = 8 * 1024


class FormRefused(Exception):
    """The form does not match its upload; `code` is the storage's error code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class Files:
    """Answers /uploads and /outputs. Neither asks for the API's headers: a signature is in the form or the URL."""

    def __init__(
        self,
        *,
        controls: Controls,
        books: Books,
        clock: SimulatedClock,
        front: Front,
        signer: Signer,
        secret: bytes,
        assets: Assets,
        studio: Studio,
        incoming: Path,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._controls = controls
        self._books = books
        self._clock = clock
        self._front = front
        self._signer = signer
        self._secret = secret
        self._assets = assets
        self._studio = studio
        self._incoming = incoming
        self._threads = threads

    async def output(self, request: web.Request) -> web.StreamResponse:
        now = self._clock.now()
        task_id = request.match_info["task_id"]
        task = self._books.task(task_id, now)
        record = task.record if task else None
        target = Target(
            operation="output",
            method=request.method,
            path=request.path,
            task_id=task_id,
            model=record.model if record else None,
            prompt=record.prompt_text if record else None,
        )
        passage = self._front.open(request, target)
        if (early := await passage.before()) is not None:
            return early
        fault = passage.injected.answer
        kind, name = fault.kind if fault else "", request.match_info["name"]
        if (
            task is None
            or task.deleted_at is not None
            or task.status(now) != "SUCCEEDED"
            or name not in task.record.files
            or kind == "output_404"
        ):
            passage.enter(404)
            return missing()
        if kind == "expired_url" or not self._signer.holds(request.query.get("_jwt", ""), task_id, now=now):
            passage.enter(403)
            return expired()
        if kind == "not_a_video":
            passage.enter(200)
            return not_the_file(name)
        try:
            file = await self._studio.output(task.record, name, scale=self._controls.settings.render_scale)
        except RenderFailed as exc:
            logger.warning("output not rendered", extra={"task_id": task_id, "cause": str(exc)})
            passage.enter(500)
            return web.Response(status=500)
        passage.enter(206 if "Range" in request.headers else 200)
        return await serve(request, body_of(file, task.record, self._threads), fault)

    async def upload(self, request: web.Request) -> web.StreamResponse:
        target = Target(operation="send_upload", method=request.method, path=request.path)
        passage = self._front.open(request, target)
        if (early := await passage.before()) is not None:
            return early
        try:
            try:
                await self._receive(request)
            except (AssertionError, LookupError, ValueError) as exc:
                # What the library raises for a malformed form.
                raise FormRefused(400, "MalformedPOSTRequest") from exc
            answer = Answer(status=204)
        except FormRefused as exc:
            text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{exc.code}</Code></Error>'
            answer = Answer(status=exc.status, content=text.encode(), content_type="application/xml")
        return await passage.after(answer)

    async def _receive(self, request: web.Request) -> None:
        upload = self._books.uploads.get(request.match_info["upload_id"])
        if upload is None or upload.created_at < self._clock.now() - self._controls.settings.upload_life_seconds:
            raise FormRefused(403, "AccessDenied")
        if not request.content_type.startswith("multipart/"):
            raise FormRefused(400, "MalformedPOSTRequest")
        fields: dict[str, str] = {}
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise FormRefused(400, "MalformedPOSTRequest")
            if part.name == "file":
                self._check_fields(upload, fields)
                await self._receive_file(upload, part)
                return
            fields[part.name or ""] = (await part.read_chunk(_FIELD_MOST)).decode(errors="replace")
            await part.release()
        raise FormRefused(400, "MissingFile")

    def _check_fields(self, upload: Upload, fields: dict[str, str]) -> None:
        for name, value in upload.fields(self._secret).items():
            if not hmac.compare_digest(fields.get(name, "").encode(), value.encode()):
                raise FormRefused(403, "AccessDenied")

    async def _receive_file(self, upload: Upload, part: BodyPartReader) -> None:
        path = self._incoming / secrets.token_hex(8)
        digest, size = hashlib.sha256(), 0
        loop = asyncio.get_running_loop()
        try:
            with path.open("wb") as file:
                while chunk := await part.read_chunk(256 * 1024):
                    size += len(chunk)
                    if size > MAX_BYTES:
                        raise FormRefused(400, "EntityTooLarge")
                    digest.update(chunk)
                    await loop.run_in_executor(self._threads, file.write, chunk)
            if size < MIN_BYTES:
                raise FormRefused(400, "EntityTooSmall")
            name = digest.hexdigest()
            await self._assets.keep(path, name)
        finally:
            path.unlink(missing_ok=True)
        stated = part.headers.get("Content-Type", "application/octet-stream")
        guessed = type_of(upload.filename) or stated
        content_type = guessed if stated == "application/octet-stream" else stated
        kept = replace(upload, digest=name, content_type=content_type)
        self._books.keep_upload(kept, self._clock.now())
