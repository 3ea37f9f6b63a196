"""What an output is made from, read off the request that makes it."""

from collections.abc import Callable
from typing import Final

from evergreen_server.film.digests import Basis, Json, Member
from evergreen_server.ports.specs import GenerationSpec, Media, Operation, Role

__all__ = ["basis_of"]

_MEMBERS: Final = {Role.FIRST_FRAME: Member.FIRST_FRAME, Role.REFERENCE_AUDIO: Member.VOICE}
"""Where files stand; all others are references."""


def basis_of(spec: GenerationSpec, sha256: Callable[[Media], str], *, redone: int = 0) -> Basis:
    """Returns what tells a request from any other of the same output: every member of it, with files by `sha256`."""
    files: dict[Member, list[Json]] = {}
    for media in spec.media:
        member = {Role.FIRST_FRAME: Member.FIRST_FRAME, Role.REFERENCE_AUDIO: Member.VOICE}.get(
            media.role, Member.REFERENCE
        )
        facts = {"role": str(media.role), "tag": media.tag, "subject": media.subject, "at": media.at_seconds}
        files.setdefault(member, []).append(
            {"sha256": sha256(media), **{key: value for key, value in facts.items() if value}}
        )
    options, parameters = dict(spec.options), dict(spec.parameters)
    spoken = spec.operation is Operation.TEXT_TO_SPEECH
    members: dict[Member, Json] = {
        Member.TEXT if spoken else Member.PROMPT: spec.prompt_text,
        Member.MODEL: spec.model,
        **files,
        **{
            member: value
            for member, value in (
                (Member.SIZE, [spec.ratio, spec.resolution] if spec.ratio or spec.resolution else None),
                (Member.LENGTH, spec.duration_seconds),
                (Member.SEED, spec.seed),
                (Member.AUDIO, options.pop("audio", None)),
                (Member.LANGUAGE, parameters.pop("language", None)),
            )
            if value is not None
        },
    }
    if voice := parameters.pop("voice", None):
        members[Member.VOICE] = [voice, *files.get(Member.VOICE, ())]
    others: dict[str, Json] = {
        "operation": spec.operation and str(spec.operation),
        "options": options,
        "parameters": parameters,
    }
    members[Member.OPTIONS] = {name: value for name, value in others.items() if value}
    if redone:
        members[Member.REDO] = redone
    return members
