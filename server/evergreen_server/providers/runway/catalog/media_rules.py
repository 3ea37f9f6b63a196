"""What each model requires of the videos and sounds that it is given."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from evergreen_server.ports.catalog import MediaRule
from evergreen_server.ports.specs import GenerationSpec, Json, Operation, Role
from evergreen_server.providers.runway.catalog.composing.layouts import LAYOUTS
from evergreen_server.providers.runway.catalog.figures import number

__all__ = ["MOST_FRAME_RATE", "SOURCES", "bounded_seconds", "media_rule", "source_rule"]

MOST_FRAME_RATE = 60.0
"""Frames per second of a source whose price goes by frames: no more are quoted for, so no more are sent."""

SOURCES: Mapping[Operation, tuple[Role, ...]] = MappingProxyType({
    Operation.SPEECH_TO_SPEECH: (Role.REFERENCE_AUDIO, Role.SOURCE_VIDEO),
    Operation.VOICE_DUBBING: (Role.REFERENCE_AUDIO,),
    Operation.VOICE_ISOLATION: (Role.REFERENCE_AUDIO,),
})  # fmt: skip
"""The media whose length sets the price, where it is not the SOURCE_VIDEO."""

_LONG, _SHORT = MediaRule(max_seconds=30), MediaRule(max_seconds=15)
_CLIPS = {Role.SOURCE_VIDEO: _SHORT, Role.REFERENCE_VIDEO: _SHORT, Role.REFERENCE_AUDIO: _SHORT}
_NEWEST = {Role.SOURCE_VIDEO: _LONG, Role.REFERENCE_VIDEO: _LONG, Role.REFERENCE_AUDIO: _LONG}

RULES: Mapping[str, Mapping[Role, MediaRule]] = MappingProxyType({
    "act_two": {
        Role.SOURCE_VIDEO: MediaRule(min_seconds=3, max_seconds=30, min_aspect=0.5, max_aspect=2.358),
        Role.REFERENCE_VIDEO: MediaRule(min_aspect=0.5, max_aspect=2.358),
    },
    "eleven_voice_isolation": {Role.REFERENCE_AUDIO: MediaRule(min_seconds=4.6, max_seconds=3600)},
    "magnific_video_upscaler_creative": {
        Role.SOURCE_VIDEO: MediaRule(max_seconds=30, max_frame_rate=MOST_FRAME_RATE)
    },
    "enhance_frame_rate": {Role.SOURCE_VIDEO: MediaRule(max_seconds=300)},
    # The provider states fewer than 4096 pixels for each side.
    "ruby": {Role.SOURCE_VIDEO: MediaRule(max_seconds=30, max_side=4095)},
    # For clips the bounds hold for all videos, and all sounds, together; so each has at most as much.
    **dict.fromkeys(("seedance2", "seedance2_fast", "seedance2_mini", "hailuo3", "wan3", "wan3_prime"), _CLIPS),
    "seedance2_5": _NEWEST,
    "aleph2": {Role.SOURCE_VIDEO: MediaRule(min_seconds=2, max_seconds=30)},
    "gemini_omni_flash": {Role.SOURCE_VIDEO: MediaRule(max_seconds=10)},
    "kling_4": {Role.REFERENCE_VIDEO: _LONG},
    "grok_imagine_1_5": {Role.REFERENCE_AUDIO: MediaRule(min_seconds=3, max_seconds=15)},
})  # fmt: skip
"""By model; the provider documents them in words, see its guides to inputs."""


def media_rule(spec: GenerationSpec, index: int) -> MediaRule:
    """Returns what one piece of a request's media must be like: by its model, and by what was quoted."""
    role = spec.media[index].role
    rule = RULES.get(spec.model, {}).get(role, MediaRule())
    most = bounded_seconds(spec.parameters)
    if most is None or spec.operation is None or role not in sources_of(spec.operation):
        return rule
    return replace(rule, max_seconds=most if rule.max_seconds is None else min(most, rule.max_seconds))


def sources_of(operation: Operation) -> tuple[Role, ...]:
    """Returns the roles of the media whose length sets the price of an operation; none where there are none."""
    layout = LAYOUTS.get(operation)
    return SOURCES.get(operation, (Role.SOURCE_VIDEO,)) if layout and layout.sourced else ()


def source_rule(operation: Operation, model: str) -> MediaRule:
    """Returns what a model requires of the source whose length sets the price."""
    rules = RULES.get(model, {})
    return next((rules[role] for role in sources_of(operation) if role in rules), MediaRule())


def bounded_seconds(parameters: Mapping[str, Json]) -> float | None:
    """Returns the length that the source of a request has at most by what its caller says; None where they do not."""
    said = number(parameters.get("max_source_seconds"))
    return said if said is not None and said > 0 else None
