"""Parses structured values of the command line: inputs from files and URLs, pairs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import click

from evergreen.cli.names import ROLES

if TYPE_CHECKING:
    from evergreen.requests import Json

SOURCE_HELP = "a file, an http(s) URL, or asset:PATH in the scene (asset:SCENE/PATH in another)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An input: exactly one of a URL, an asset and a file."""

    role: str = ""
    """One of the contract's roles; empty where the field says it."""
    uri: str = ""
    asset: str = ""
    scene_id: str = ""
    file: str = ""
    size: int = 0
    """Bytes of the file."""
    at_seconds: float | None = None
    tag: str = ""


def source_as(role: str) -> Callable[[str], Source]:
    """Returns the parser of an option whose source has a fixed role."""
    return lambda text: _source(text, role)


def uri_as(role: str) -> Callable[[str], Source]:
    """Returns the parser of an option whose URL has a fixed role."""
    return lambda text: Source(uri=text, role=role)


def input_source(text: str) -> Source:
    """Parses a source whose role is that of its field."""
    return _source(text)


def reference(text: str) -> Source:
    """Parses `SOURCE`, or `NAME=SOURCE` for a reference that a prompt mentions as `@NAME`."""
    name, found, source = text.partition("=")
    # What a path or a URL may hold before the sign cannot be a name.
    if not found or not name.isidentifier():
        return input_source(text)
    return replace(input_source(source), tag=name)


def role_and_source(text: str) -> Source:
    """Parses `ROLE=SOURCE`, or `keyframe@SECONDS=SOURCE`."""
    left, found, source = text.partition("=")
    role, timed, at = left.lower().partition("@")
    if not found or role not in ROLES:
        raise click.BadParameter(f"{text!r} is not ROLE=SOURCE, with ROLE one of {', '.join(ROLES)}")
    try:
        at_seconds = float(at) if timed else None
    except ValueError:
        raise click.BadParameter(f"{at!r} is not a number of seconds") from None
    return replace(_source(source, role), at_seconds=at_seconds)


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
        return key, cast("Json", json.loads(value))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not JSON; text needs quotes, as in '{key}=\"{value}\"'") from None


def _source(text: str, role: str = "") -> Source:
    if text.startswith(("http://", "https://")):
        return Source(uri=text, role=role)
    if text.startswith("asset:"):
        scene_id, path = _scene_and_path(text.removeprefix("asset:"))
        return Source(asset=path, scene_id=scene_id, role=role)
    try:
        with open(text, "rb") as file:
            size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise click.BadParameter(f"cannot read {text}: {reason}") from error
    if not size:
        raise click.BadParameter(f"{text} is empty")
    return Source(file=text, size=size, role=role)


def _scene_and_path(text: str) -> tuple[str, str]:
    """Splits `SCENE/FOLDER/NAME`; the scene is empty if there is none. A path is a folder and a name."""
    scene_id, _, path = text.partition("/")
    return (scene_id, path) if "/" in path else ("", text)
