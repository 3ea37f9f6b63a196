"""Builds the requests for pictures, speech, sounds and all else that is no clip, from specs or plain Python values."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Required, TypeAlias, Unpack

from evergreen.fields import check_fields
from evergreen.inputs import Input, Inputs
from evergreen.requests import JobFields, for_job
from evergreen.v1.video_pb2 import (
    AvatarVideoSpec,
    DubbingSpec,
    GenerateRequest,
    HdrSpec,
    ImageSpec,
    ImageUpscaleSpec,
    Media,
    MediaKind,
    MultiShotSpec,
    PerformanceSpec,
    SoundSpec,
    SpeechSpec,
    VideoSoundSpec,
    VideoUpscaleSpec,
    VoiceChangeSpec,
    VoiceIsolationSpec,
)

if TYPE_CHECKING:
    from evergreen.scenes import Scenes

ALL_KINDS = (
    MediaKind.MEDIA_KIND_VIDEO,
    MediaKind.MEDIA_KIND_IMAGE,
    MediaKind.MEDIA_KIND_SPEECH,
    MediaKind.MEDIA_KIND_SOUND,
)
"""What jobs make. A service that is asked for no kinds names videos only."""

Spec: TypeAlias = (
    "ImageSpec | SpeechSpec | SoundSpec | VideoSoundSpec | VoiceChangeSpec | DubbingSpec | VoiceIsolationSpec | "
    "PerformanceSpec | VideoUpscaleSpec | HdrSpec | ImageUpscaleSpec | MultiShotSpec | AvatarVideoSpec"
)
"""What is to be made: one member of `GenerateRequest.operation`."""

_MEMBERS = {field.message_type: field.name for field in GenerateRequest.DESCRIPTOR.oneofs_by_name["operation"].fields}


class ImageFields(JobFields, total=False):
    """The fields of a picture. `references` that have names are mentioned in the prompt as `@name`."""

    model: Required[str]
    prompt_text: Required[str]
    ratio: str
    output_count: int
    references: Sequence[Input] | Mapping[str, Input]


class SpeechFields(JobFields, total=False):
    """The fields of speech."""

    model: Required[str]
    text: Required[str]
    voice: str
    voice_reference: Input
    language: str


class SoundFields(JobFields, total=False):
    """The fields of a sound."""

    model: Required[str]
    prompt_text: Required[str]
    duration_seconds: float
    loop: bool
    references: Sequence[Input]
    output_count: int


class SpecFields(JobFields, total=False):
    """The fields beside a spec. Only a spec that has one model alone needs no `model`."""

    model: str


async def image_request(scenes: "Scenes", **fields: Unpack[ImageFields]) -> GenerateRequest:
    """Returns the request for a picture; reads and uploads files. Raises what `video_request` does."""
    check_fields(ImageFields, fields)
    inputs = _inputs(scenes, fields)
    spec = ImageSpec(
        prompt_text=fields["prompt_text"],
        ratio=fields.get("ratio", ""),
        output_count=fields.get("output_count", 0),
        references=await _references(inputs, fields.get("references", ())),
    )
    return await _request(inputs, spec, fields["model"], fields)


async def speech_request(scenes: "Scenes", **fields: Unpack[SpeechFields]) -> GenerateRequest:
    """Returns the request for speech; reads and uploads files. Raises what `video_request` does."""
    check_fields(SpeechFields, fields)
    inputs = _inputs(scenes, fields)
    sound = fields.get("voice_reference")
    spec = SpeechSpec(
        text=fields["text"],
        voice=fields.get("voice", ""),
        voice_reference=None if sound is None else await inputs.read(sound),
        language=fields.get("language", ""),
    )
    return await _request(inputs, spec, fields["model"], fields)


async def sound_request(scenes: "Scenes", **fields: Unpack[SoundFields]) -> GenerateRequest:
    """Returns the request for a sound; reads and uploads files. Raises what `video_request` does."""
    check_fields(SoundFields, fields)
    inputs = _inputs(scenes, fields)
    spec = SoundSpec(
        prompt_text=fields["prompt_text"],
        duration_seconds=fields.get("duration_seconds"),
        loop=fields.get("loop", False),
        references=await _references(inputs, fields.get("references", ())),
        output_count=fields.get("output_count", 0),
    )
    return await _request(inputs, spec, fields["model"], fields)


async def spec_request(scenes: "Scenes", spec: Spec, **fields: Unpack[SpecFields]) -> GenerateRequest:
    """Returns the request for what the spec says. Raises what `video_request` does."""
    check_fields(SpecFields, fields)
    return await _request(_inputs(scenes, fields), spec, fields.get("model", ""), fields)


async def _request(inputs: Inputs, spec: Spec, model: str, fields: JobFields) -> GenerateRequest:
    request = GenerateRequest(model=model)
    own = getattr(request, _MEMBERS[spec.DESCRIPTOR])
    own.CopyFrom(spec)
    await inputs.fit(_media(own))
    return for_job(request, fields)


def _inputs(scenes: "Scenes", fields: JobFields) -> Inputs:
    return Inputs(scenes=scenes, project_id=fields["project_id"], scene_id=fields["scene_id"])


async def _references(inputs: Inputs, sources: Sequence[Input] | Mapping[str, Input]) -> list[Media]:
    if not isinstance(sources, Mapping):
        return [await inputs.read(source) for source in sources]
    named = []
    for name, source in sources.items():
        media = await inputs.read(source)
        media.tag = name
        named.append(media)
    return named


def _media(spec: Spec) -> Iterator[Media]:
    for field, value in spec.ListFields():
        if field.message_type is Media.DESCRIPTOR:
            yield from [value] if isinstance(value, Media) else value
