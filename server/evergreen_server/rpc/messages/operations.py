"""Which field of `Generate` holds what of a spec: for each member of its oneof one row."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evergreen.v1 import video_pb2
from evergreen_server.ports.specs import FieldError, Operation, Role

DIRECT = ("ratio", "resolution", "duration_seconds")
"""Fields of a member that a spec has under the same names; all others that are no media are its parameters."""
_MEDIA = re.compile(r"media\[(\d+)\](?:\.role)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member: its operation, the field with the prompt, the role of each field with media, the usual model."""

    name: str
    operation: Operation
    prompt: str = "prompt_text"
    media: Mapping[str, Role]
    model: str = ""


_SOURCE, _SOUND, _PICTURE = Role.SOURCE_VIDEO, Role.REFERENCE_AUDIO, Role.REFERENCE

MEMBERS: Mapping[str, Member] = {
    member.name: member
    for member in (
        Member(name="image", operation=Operation.TEXT_TO_IMAGE, media={"references": _PICTURE}),
        Member(name="speech", operation=Operation.TEXT_TO_SPEECH, prompt="text", media={"voice_reference": _SOUND}),
        Member(name="sound", operation=Operation.SOUND_EFFECT, media={"references": _SOUND}),
        Member(name="video_sound", operation=Operation.VIDEO_TO_AUDIO, media={"video": _SOURCE}),
        Member(name="voice_change", operation=Operation.SPEECH_TO_SPEECH, media={"audio": _SOUND, "video": _SOURCE}),
        Member(name="dubbing", operation=Operation.VOICE_DUBBING, media={"audio": _SOUND}),
        Member(name="voice_isolation", operation=Operation.VOICE_ISOLATION, media={"audio": _SOUND}),
        Member(
            name="performance",
            operation=Operation.CHARACTER_PERFORMANCE,
            media={"character_image": _PICTURE, "character_video": Role.REFERENCE_VIDEO, "performance": _SOURCE},
        ),
        Member(name="video_upscale", operation=Operation.VIDEO_UPSCALE, media={"video": _SOURCE}),
        Member(name="hdr", operation=Operation.VIDEO_TO_HDR, media={"video": _SOURCE}),
        Member(name="image_upscale", operation=Operation.IMAGE_UPSCALE, media={"image": _PICTURE}),
        Member(
            name="multi_shot",
            operation=Operation.MULTI_SHOT_VIDEO,
            media={"first_frame": Role.FIRST_FRAME},
            model="multi_shot_video",
        ),
        Member(
            name="avatar_video",
            operation=Operation.AVATAR_VIDEOS,
            prompt="text",
            media={"audio": _SOUND},
            model="gwm1_avatars",
        ),
    )
}
"""By the name of the field in `GenerateRequest`."""

OF_OPERATION: Mapping[Operation, Member] = {member.operation: member for member in MEMBERS.values()}


def member_of(message: video_pb2.GenerateRequest) -> Member | None:
    """Returns the member that is set, None if none is."""
    return MEMBERS.get(message.WhichOneof("operation") or "")


def media_paths(message: video_pb2.GenerateRequest) -> list[str]:
    """Returns the path of each piece of media, in the order of a spec."""
    member = member_of(message)
    if member is None:
        return []
    inner, paths = getattr(message, member.name), list[str]()
    for name in member.media:
        value = getattr(inner, name)
        if isinstance(value, video_pb2.Media):
            paths += [f"{member.name}.{name}"] * inner.HasField(name)
        else:
            paths += [f"{member.name}.{name}[{number}]" for number in range(len(value))]
    return paths


def named(errors: Sequence[FieldError], message: video_pb2.GenerateRequest) -> list[FieldError]:
    """Returns errors of a spec's fields at the fields of the message that they came from."""
    member, paths = member_of(message), media_paths(message)
    if member is None:
        return list(errors)
    return [FieldError(field=_name(error.field, member, paths), description=error.description) for error in errors]


def _name(field: str, member: Member, paths: Sequence[str]) -> str:
    first, _, rest = field.partition(".")
    if first == "prompt_text":
        return f"{member.name}.{member.prompt}"
    if first == "parameters":
        return f"{member.name}.{rest}"
    if field in DIRECT:
        return f"{member.name}.{field}"
    if field == "media":
        return ".".join([member.name, *member.media][: 2 if len(member.media) == 1 else 1])
    found = _MEDIA.match(field)
    return paths[int(found[1])] + field[found.end() :] if found else field
