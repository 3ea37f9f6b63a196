"""What a job has made: brought here, opened; and the same request made once more."""

import asyncio
import sys
import tempfile
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import click

from evergreen.cli.exits import ExitCode
from evergreen.cli.output import say
from evergreen.cli.reading.ids import whole_id
from evergreen.cli.session import Session
from evergreen.cli.work.fetching import check_free, fetch, files_of
from evergreen.cli.work.messages import as_dict
from evergreen.cli.work.submitting import ClipRequest, Request, SpecRequest, make
from evergreen.cli.work.wording import state_name
from evergreen.requests import JobFields, VideoFields
from evergreen.specs import SpecFields
from evergreen.v1.video_pb2 import GenerateRequest, GenerateVideoRequest, Job
from evergreen.watch import is_final
from evergreen.wire import WireClient


async def download_files(client: WireClient, ours: Session, text: str, target: Path, *, force: bool) -> None:
    """Copies a job's files to a file or a folder, or its one file to stdout. Raises UsageError, ClickException."""
    job = await _finished(client, ours, text)
    if target == Path("-"):
        await _to_stdout(client, job)
        return
    check_free(target, "PATH", force=force)
    if taken := [str(file) for _, file in files_of(job, target) if file.exists() and not force]:
        raise click.UsageError(f"{', '.join(taken)} exists; give another PATH, or --force")
    await fetch(client, ours, job, target)


async def open_files(client: WireClient, ours: Session, text: str) -> None:
    """Copies a job's files into a folder of their own, prints where, and has the machine open the first."""
    job = await _finished(client, ours, text)
    folder = Path(tempfile.mkdtemp(prefix="evergreen-"))
    files = await fetch(client, ours, job, folder)
    if await asyncio.to_thread(lambda: click.launch(str(files[0]))):
        say(f"no program of this machine opens it; the file is {files[0]}")


async def retry_job(
    client: WireClient, ours: Session, text: str, request_id: str | None, *, watch: bool, target: Path | None
) -> ExitCode:
    """Makes a job's request anew under a new id; returns how that ended."""
    job = await client.status(await whole_id(client, text))
    given = request_id or uuid4().hex
    return await make(client, ours, _again(job, given), given, watch=watch, target=target)


def _again(job: Job, request_id: str) -> Request:
    """Returns a job's request under another id. Raises ClickException if an input of it is not stored yet."""
    if job.HasField("request"):
        clip = job.request
        if any(media.WhichOneof("source") is None for media in clip.media):
            raise click.ClickException(f"the inputs of {job.job_id} are not stored yet; try again in a moment")
        fields: VideoFields = {
            "project_id": clip.project_id,
            "scene_id": clip.scene_id,
            "model": clip.model,
            "prompt_text": clip.prompt_text,
            "media": list(clip.media),
            "ratio": clip.ratio,
            "resolution": clip.resolution,
        }
        if clip.HasField("duration_seconds"):
            fields["duration_seconds"] = clip.duration_seconds
        _add_shared(fields, clip, request_id)
        return ClipRequest(fields)
    asked = job.generate_request
    operation = asked.WhichOneof("operation")
    if operation is None:
        raise click.ClickException(f"the service no longer tells what {job.job_id} asked for")
    spec_fields: SpecFields = {"project_id": asked.project_id, "scene_id": asked.scene_id}
    if asked.model:
        spec_fields["model"] = asked.model
    _add_shared(spec_fields, asked, request_id)
    return SpecRequest(getattr(asked, operation), spec_fields)


def _add_shared(fields: JobFields, asked: GenerateVideoRequest | GenerateRequest, request_id: str) -> None:
    fields["request_id"] = request_id
    fields["options"] = as_dict(asked.options)
    fields["labels"] = dict(asked.labels)
    fields["priority"] = asked.priority
    fields["max_attempts"] = asked.max_attempts
    fields["on_unknown_submission"] = asked.on_unknown_submission
    if asked.HasField("seed"):
        fields["seed"] = asked.seed
    if asked.HasField("max_credits"):
        fields["max_credits"] = asked.max_credits
    now = datetime.now(UTC)
    if asked.HasField("start_by") and (start_by := asked.start_by.ToDatetime(UTC)) > now:
        fields["start_by"] = start_by
    if asked.HasField("finish_by") and (finish_by := asked.finish_by.ToDatetime(UTC)) > now:
        fields["finish_by"] = finish_by


async def _finished(client: WireClient, ours: Session, text: str) -> Job:
    job = await client.status(await whole_id(client, text))
    if not job.outputs:
        if is_final(job):
            why = f": {job.error.message}" if job.error.message else ""
            raise click.ClickException(f"{job.job_id} is {state_name(job)} and has no files{why}")
        watch = ours.command(f"job watch {job.job_id}")
        raise click.ClickException(f"{job.job_id} is {state_name(job)} and has no files yet; to follow it: {watch}")
    return job


async def _to_stdout(client: WireClient, job: Job) -> None:
    if len(job.outputs) > 1:
        raise click.UsageError(f"{job.job_id} has {len(job.outputs)} files, and stdout takes one: give a folder")
    async with aclosing(client.scenes.read(job.project_id, job.scene_id, job.outputs[0].asset)) as chunks:
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
