"""Texts of prompts: as they are, from a file (`@file`) or from stdin (`-`)."""

import re
import sys
from collections.abc import Collection
from pathlib import Path

import click

TEXT_HELP = "@FILE reads it from a file, - from stdin"
LIMIT = 1 << 20
"""Characters that are read at most; every model takes less."""


def text_of(text: str, option: str, tags: Collection[str] = ()) -> str:
    """Returns the text that an option means. `@@` begins a text that begins with `@`, as does a tag of a reference.

    Raises BadParameter for what cannot be read.
    """
    if text == "-":
        return _read("stdin", option)
    if not text.startswith("@"):
        return text
    if text.startswith("@@"):
        return text[1:]
    first = re.match(r"@(\w*)", text)
    if first and first[1] in tags:
        return text
    return _read(text[1:], option)


def _read(name: str, option: str) -> str:
    try:
        if name == "stdin":
            found = sys.stdin.read(LIMIT + 1)
        else:
            with Path(name).open(encoding="utf-8") as file:
                found = file.read(LIMIT + 1)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        hint = "" if name == "stdin" else f"; a text that begins with @ is written as @@{name}"
        raise click.BadParameter(f"cannot read {name}: {reason}{hint}", param_hint=option) from error
    if len(found) > LIMIT:
        raise click.BadParameter(f"{name} is longer than {LIMIT:,} characters", param_hint=option)
    return found.rstrip("\r\n")
