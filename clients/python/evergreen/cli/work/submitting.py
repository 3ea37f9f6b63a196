"""Prices or makes what a `generate` command asks for, follows the job and fetches its files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import click

from evergreen.cli.exits import ExitCode
from evergreen.cli.failures import surely_not_sent
from evergreen.cli.output import number, say, write_json
from evergreen.cli.reading.arguments import Source
from evergreen.cli.reading.sniffing import fitting, folder_of
from evergreen.cli.session import Session, session
from evergreen.cli.shown.transfers import shown
from evergreen.cli.submission import JobOptions
from evergreen.cli.work.fetching import check_free, fetch
from evergreen.cli.work.follow import Follower, tell_needs_attention
from evergreen.errors import DeadlineExceeded, QueueFull, Unavailable
from evergreen.inputs import INLINE_LIMIT, inline_media
from evergreen.requests import JobFields, VideoFields
from evergreen.specs import Spec, SpecFields
from evergreen.v1.video_pb2 import GenerateVideoResponse, Job, JobState, Media, MediaRole, OnUnknownSubmission
from evergreen.wire import WireClient


class Request(Protocol):
    """One request, to be priced or made."""

    def quote(self, client: WireClient) -> Awaitable[float | None]: ...

    def generate(self, client: WireClient) -> Awaitable[Job]: ...


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """The request for a clip, whose sources are read or uploaded when it is made."""

    fields: VideoFields
    sources: Sequence[Source] = ()

    async def quote(self, client: WireClient) -> float | None:
        return await client.quote(**await self._whole(client))

    async def generate(self, client: WireClient) -> Job:
        return await client.generate(**await self._whole(client))

    async def _whole(self, client: WireClient) -> VideoFields:
        given = await media_of(client, self.sources, self.fields["project_id"], self.fields["scene_id"])
        return {**self.fields, "media": [*self.fields.get("media", ()), *given]}


@dataclass(frozen=True, slots=True)
class SpecRequest:
    """The request for what a spec says; its sources become the field `into` of the spec."""

    spec: Spec
    fields: SpecFields
    sources: Sequence[Source] = ()
    into: str = ""

    async def quote(self, client: WireClient) -> float | None:
        return await client.quote_spec(await self._whole(client), **self.fields)

    async def generate(self, client: WireClient) -> Job:
        return await client.generate_spec(await self._whole(client), **self.fields)

    async def _whole(self, client: WireClient) -> Spec:
        media = await media_of(client, self.sources, self.fields["project_id"], self.fields["scene_id"])
        spec = type(self.spec)()
        spec.CopyFrom(self.spec)  # type: ignore[arg-type]  # of the same type, whichever of the union it is
        for each in media:
            field = getattr(spec, self.into)
            if isinstance(field, Media):
                field.CopyFrom(each)
            else:
                field.append(each)
        return spec


async def media_of(client: WireClient, sources: Sequence[Source], project_id: str, scene_id: str) -> list[Media]:
    """Returns the inputs. Files that do not fit into one request are uploaded to the scene. Raises OSError."""
    made: list[Media] = []
    room = INLINE_LIMIT
    for source in sources:
        role = MediaRole.Value(f"MEDIA_ROLE_{source.role.upper()}") if source.role else None
        media = Media(uri=source.uri) if source.uri else Media(asset=source.asset, scene_id=source.scene_id)
        if source.file and source.size <= room:
            media = await asyncio.to_thread(inline_media, source.file)
            room -= len(media.data)
        elif source.file:
            media = Media(asset=await _uploaded(client, source, project_id, scene_id))
        if role is not None:
            media.role = role
        if source.at_seconds is not None:
            media.at_seconds = source.at_seconds
        media.tag = source.tag
        made.append(media)
    return made


def add_job_fields(fields: JobFields, given: JobOptions) -> str:
    """Adds what the options say, and returns the request id, a new one if none was given."""
    fields["request_id"] = uuid4().hex if given["request_id"] is None else given["request_id"]
    fields["options"] = dict(given["options"])
    fields["priority"] = given["priority"]
    fields["max_attempts"] = given["max_attempts"]
    fields["labels"] = dict(given["labels"])
    if (seed := given["seed"]) is not None:
        fields["seed"] = seed
    if (most := given["max_credits"]) is not None:
        fields["max_credits"] = most
    if (on_unknown := given["on_unknown"]) is not None:
        fields["on_unknown_submission"] = OnUnknownSubmission.Value(f"ON_UNKNOWN_SUBMISSION_{on_unknown.upper()}")
    if (start_by := given["start_by"]) is not None:
        fields["start_by"] = start_by
    if (finish_by := given["finish_by"]) is not None:
        fields["finish_by"] = finish_by
    return fields["request_id"]


def submit(context: click.Context, request: Request, request_id: str, given: JobOptions) -> None:
    """Prices or makes the request as the options say, and ends the command."""
    ours, target = session(context), given["download"]
    if given["validate_only"]:
        ours.run(lambda client: _quote(client, ours, request))
        return
    if target is not None:
        check_free(target)
    watch = given["watch"]
    context.exit(ours.run(lambda client: make(client, ours, request, request_id, watch=watch, target=target)))


async def make(
    client: WireClient, ours: Session, request: Request, request_id: str, *, watch: bool, target: Path | None
) -> ExitCode:
    """Makes a request, follows its job and fetches its files if that is wanted; returns how it ended."""
    try:
        job = await request.generate(client)
    except (asyncio.CancelledError, Unavailable, DeadlineExceeded, QueueFull) as error:
        if not surely_not_sent(error) and not isinstance(error, QueueFull):
            say(f"The request may have been accepted; to repeat it safely, use --request-id {request_id}")
        raise
    if watch or target is not None:
        if not ours.json:
            say(f"Job {job.job_id}")
        follower = Follower(session=ours, job_ids=[job.job_id], with_paths=target is None)
        code = await follower.follow(client)
        if code is ExitCode.OK and target is not None:
            await fetch(client, ours, follower.jobs[job.job_id], target)
        return code
    if ours.json:
        write_json(job)
    else:
        click.echo(job.job_id)
        say(f"To follow it: {ours.command(f'job watch {job.job_id}')}")
    if job.state == JobState.JOB_STATE_NEEDS_ATTENTION:
        tell_needs_attention(ours, job)
    return ExitCode.OK


async def _quote(client: WireClient, ours: Session, request: Request) -> None:
    quote = await request.quote(client)
    if ours.json:
        write_json(GenerateVideoResponse(estimated_credits=quote))
    else:
        say("The request is valid. The most that one attempt may cost, in credits:")
        click.echo("unknown" if quote is None else number(quote))


async def _uploaded(client: WireClient, source: Source, project_id: str, scene_id: str) -> str:
    """Uploads a file, under a name that holds its digest: the same file is there once, and replaces no other."""
    digest = await asyncio.to_thread(_digest, source.file)
    name = Path(fitting(Path(source.file).name))
    path = f"{folder_of(source.file)}/{name.stem}-{digest[:12]}{name.suffix}"
    with shown(path, json=True) as moved:
        asset = await client.scenes.upload(project_id, scene_id, path, source.file, moved=moved)
    say(f"{source.file} is uploaded as {asset.path}, since a request holds 3 MiB at most")
    return asset.path


def _digest(file: str) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
