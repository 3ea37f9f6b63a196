"""Requests as they were accepted, as messages. Inline bytes are named by the asset that they became."""

from typing import TypeAlias

from google.protobuf.json_format import ParseDict

from evergreen.v1 import video_pb2
from evergreen_server.jobs.model.job import Job
from evergreen_server.ports.specs import Json, Media
from evergreen_server.rpc.messages.operations import DIRECT, OF_OPERATION
from evergreen_server.rpc.messages.values import credits_of, timestamp

Request: TypeAlias = video_pb2.GenerateVideoRequest | video_pb2.GenerateRequest


def request_message(job: Job) -> video_pb2.GenerateVideoRequest:
    """Returns the request for a clip."""
    spec = job.request.spec
    message = video_pb2.GenerateVideoRequest(
        prompt_text=spec.prompt_text,
        ratio=spec.ratio,
        resolution=spec.resolution,
        duration_seconds=spec.whole_seconds,
    )
    _fill(message, job)
    for number, media in enumerate(spec.media):
        role = video_pb2.MediaRole.Value(f"MEDIA_ROLE_{media.role.value}")
        ParseDict(_media(media, _asset(job, number)), message.media.add(role=role, at_seconds=media.at_seconds))
    return message


def generate_request_message(job: Job) -> video_pb2.GenerateRequest:
    """Returns the request for anything else."""
    spec = job.request.spec
    assert spec.operation is not None
    member, message = OF_OPERATION[spec.operation], video_pb2.GenerateRequest()
    _fill(message, job)
    values: dict[str, Json] = {**spec.parameters}
    if spec.prompt_text:
        values[member.prompt] = spec.prompt_text
    values |= {name: value for name in DIRECT if (value := getattr(spec, name)) not in (None, "")}
    fields = {role: name for name, role in member.media.items()}
    inner = getattr(message, member.name)
    for number, media in enumerate(spec.media):
        name, value = fields[media.role], _media(media, _asset(job, number))
        listed = values.setdefault(name, [])
        if inner.DESCRIPTOR.fields_by_name[name].is_repeated and isinstance(listed, list):
            listed.append(value)
        else:
            values[name] = value
    ParseDict(values, inner)
    inner.SetInParent()
    return message


def _fill(message: Request, job: Job) -> None:
    """Sets what both kinds of requests have."""
    request, spec = job.request, job.request.spec
    message.project_id, message.scene_id, message.request_id = request.project_id, request.scene_id, request.request_id
    message.model = spec.model
    if spec.seed is not None:
        message.seed = spec.seed
    if spec.options:
        message.options.update(dict(spec.options))
    message.max_attempts = request.max_attempts
    message.on_unknown_submission = video_pb2.OnUnknownSubmission.Value(
        f"ON_UNKNOWN_SUBMISSION_{request.on_unknown_submission.value}"
    )
    message.priority = request.priority
    if request.max_millicredits is not None:
        message.max_credits = credits_of(request.max_millicredits)
    message.start_by.CopyFrom(timestamp(request.start_by))
    if request.finish_by is not None:
        message.finish_by.CopyFrom(timestamp(request.finish_by))
    message.labels.update(request.labels)


def _asset(job: Job, number: int) -> str:
    return job.inputs[number].asset if job.inputs else ""


def _media(media: Media, asset: str) -> dict[str, Json]:
    source: dict[str, Json] = {}
    if media.uri is not None:
        source["uri"] = media.uri
    elif media.asset or asset:
        source["asset"] = media.asset or asset
    return source | {name: text for name in ("scene_id", "tag", "subject") if (text := getattr(media, name))}
