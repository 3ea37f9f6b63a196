"""Builds the requests for pictures, speech, sounds and all else that is no clip, from specs or plain Python values."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Required, TypeAlias, Unpack

from evergreen.fields import check_fields
from evergreen.requests import FileOrBytes, JobFields, check_inline, for_job, inline_media
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

ALL_KINDS = (
    MediaKind.MEDIA_KIND_VIDEO,
    MediaKind.MEDIA_KIND_IMAGE,
    MediaKind.MEDIA_KIND_SPEECH,
    MediaKind.MEDIA_KIND_SOUND,
)
"""What jobs make. A service that is asked for no kinds names videos only."""

Input: TypeAlias = "FileOrBytes | Media"
"""A file's path, bytes, or `Media` with a URL or an asset."""

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


async def image_request(**fields: Unpack[ImageFields]) -> GenerateRequest:
    """Returns the request for a picture; reads files. Raises MediaTooLarge, OSError, TypeError, ValueError."""
    check_fields(ImageFields, fields)
    spec = ImageSpec(
        prompt_text=fields["prompt_text"],
        ratio=fields.get("ratio", ""),
        output_count=fields.get("output_count", 0),
        references=await asyncio.to_thread(_references, fields.get("references", ())),
    )
    return _request(spec, fields["model"], fields)


async def speech_request(**fields: Unpack[SpeechFields]) -> GenerateRequest:
    """Returns the request for speech; reads files. Raises MediaTooLarge, OSError, TypeError, ValueError."""
    check_fields(SpeechFields, fields)
    sound = fields.get("voice_reference")
    spec = SpeechSpec(
        text=fields["text"],
        voice=fields.get("voice", ""),
        voice_reference=None if sound is None else await asyncio.to_thread(_media, sound),
        language=fields.get("language", ""),
    )
    return _request(spec, fields["model"], fields)


async def sound_request(**fields: Unpack[SoundFields]) -> GenerateRequest:
    """Returns the request for a sound; reads files. Raises MediaTooLarge, OSError, TypeError, ValueError."""
    check_fields(SoundFields, fields)
    spec = SoundSpec(
        prompt_text=fields["prompt_text"],
        duration_seconds=fields.get("duration_seconds"),
        loop=fields.get("loop", False),
        references=await asyncio.to_thread(_references, fields.get("references", ())),
        output_count=fields.get("output_count", 0),
    )
    return _request(spec, fields["model"], fields)


def spec_request(spec: Spec, **fields: Unpack[SpecFields]) -> GenerateRequest:
    """Returns the request for what the spec says. Raises MediaTooLarge, TypeError, ValueError."""
    check_fields(SpecFields, fields)
    return _request(spec, fields.get("model", ""), fields)


def _request(spec: Spec, model: str, fields: JobFields) -> GenerateRequest:
    check_inline(_inputs(spec))
    request = GenerateRequest(model=model)
    getattr(request, _MEMBERS[spec.DESCRIPTOR]).CopyFrom(spec)
    return for_job(request, fields)


def _references(sources: Sequence[Input] | Mapping[str, Input]) -> list[Media]:
    if not isinstance(sources, Mapping):
        return [_media(source) for source in sources]
    named = [(_media(source), name) for name, source in sources.items()]
    for media, name in named:
        media.tag = name
    return [media for media, _ in named]


def _media(source: Input) -> Media:
    """Returns an input of the request's own."""
    if not isinstance(source, Media):
        return inline_media(source)
    media = Media()
    media.CopyFrom(source)
    return media


def _inputs(spec: Spec) -> Iterator[Media]:
    for field, value in spec.ListFields():
        if field.message_type is Media.DESCRIPTOR:
            yield from [value] if isinstance(value, Media) else value
