"""Parses structured values of the command line: inputs from files and URLs, times, pairs."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import cast

import click

from evergreen.errors import MediaTooLarge
from evergreen.requests import Json, inline_media
from evergreen.v1.video_pb2 import Media, MediaRole

SOURCE_HELP = "a file, an http(s) URL, or asset:PATH in the scene (asset:SCENE/PATH in another)"

_ROLES = {name.removeprefix("MEDIA_ROLE_").lower(): value for name, value in MediaRole.items() if value}


def source_as(role: MediaRole.ValueType) -> Callable[[str], Media]:
    """Returns the parser of an option whose source has a fixed role."""
    return lambda text: _media(text, role)


def uri_as(role: MediaRole.ValueType) -> Callable[[str], Media]:
    """Returns the parser of an option whose URL has a fixed role."""
    return lambda text: Media(uri=text, role=role)


def input_source(text: str) -> Media:
    """Parses a source whose role is that of its field."""
    return _media(text, MediaRole.MEDIA_ROLE_UNSPECIFIED)


def reference(text: str) -> Media:
    """Parses `SOURCE`, or `NAME=SOURCE` for a reference that a prompt mentions as `@NAME`."""
    name, found, source = text.partition("=")
    # What a path or a URL may hold before the sign cannot be a name.
    if not found or not name.isidentifier():
        return input_source(text)
    media = input_source(source)
    media.tag = name
    return media


def role_and_source(text: str) -> Media:
    """Parses `ROLE=SOURCE`, or `keyframe@SECONDS=SOURCE`."""
    left, found, source = text.partition("=")
    role, timed, at = left.lower().partition("@")
    if not found or role not in _ROLES:
        raise click.BadParameter(f"{text!r} is not ROLE=SOURCE, with ROLE one of {', '.join(_ROLES)}")
    try:
        at_seconds = float(at) if timed else None
    except ValueError:
        raise click.BadParameter(f"{at!r} is not a number of seconds") from None
    return _media(source, _ROLES[role], at_seconds)


def moment(text: str) -> datetime:
    """Parses a time in ISO 8601; without an offset, it is local time."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is not a time such as 2030-01-31T18:00:00+01:00") from None


def pair(text: str) -> tuple[str, str]:
    """Parses `KEY=VALUE`."""
    key, found, value = text.partition("=")
    if not found or not key:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE")
    return key, value


def json_pair(text: str) -> tuple[str, Json]:
    """Parses `KEY=JSON`."""
    key, value = pair(text)
    try:
        return key, cast(Json, json.loads(value))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not JSON; text needs quotes, as in '{key}=\"{value}\"'") from None


def _media(source: str, role: MediaRole.ValueType, at_seconds: float | None = None) -> Media:
    if source.startswith(("http://", "https://")):
        return Media(uri=source, role=role, at_seconds=at_seconds)
    if source.startswith("asset:"):
        scene_id, path = _scene_and_path(source.removeprefix("asset:"))
        return Media(asset=path, scene_id=scene_id, role=role, at_seconds=at_seconds)
    try:
        return inline_media(source, role, at_seconds=at_seconds)
    except MediaTooLarge as error:
        raise click.BadParameter(str(error)) from error
    except OSError as error:
        raise click.BadParameter(f"cannot read {source}: {error.strerror or error}") from error


def _scene_and_path(text: str) -> tuple[str, str]:
    """Splits `SCENE/FOLDER/NAME`; the scene is empty if there is none. A path is a folder and a name."""
    scene_id, _, path = text.partition("/")
    return (scene_id, path) if "/" in path else ("", text)
