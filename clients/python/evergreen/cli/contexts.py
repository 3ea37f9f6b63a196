"""Contexts: named services in a file of the user's, so that no command need repeat where the service is.

The file holds paths of tokens and keys, never a token or a key, and only its owner may read it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import click


class Context(TypedDict, total=False):
    """What a context may say; all but flags are texts."""

    endpoint: str
    token_file: str
    tls: bool
    tls_ca: str
    tls_client_cert: str
    tls_client_key: str
    insecure: bool
    project: str
    scene: str


FLAGS = ("tls", "insecure")
FILES = ("token_file", "tls_ca", "tls_client_cert", "tls_client_key")


@dataclass(frozen=True, slots=True)
class Contexts:
    """All contexts, and which one is used where no other is named; empty if none."""

    known: Mapping[str, Context] = field(default_factory=dict)
    current: str = ""

    def named(self, name: str) -> Context:
        """Returns a context. Raises UsageError if there is none of that name."""
        if name not in self.known:
            known = ", ".join(sorted(self.known)) or "none; `evergreen context add` makes one"
            raise click.UsageError(f"there is no context {name!r}; there are: {known}")
        return self.known[name]


def path() -> Path:
    """Returns the file's path, in the user's folder for configurations."""
    return Path(click.get_app_dir("evergreen")) / "contexts.json"


def read() -> Contexts:
    """Returns the contexts. Raises UsageError for a file that cannot be read, or is none of contexts."""
    try:
        document = json.loads(path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Contexts()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise click.UsageError(f"the contexts in {path()} cannot be read: {reason}") from error
    said = document if isinstance(document, dict) else {}
    known, current = said.get("contexts"), said.get("current")
    if not isinstance(known, dict) or not isinstance(current, str) or not all(map(_fits, known.values())):
        raise click.UsageError(f"{path()} is no file of contexts; move it away, and add them anew")
    return Contexts(known, current)


def write(contexts: Contexts) -> None:
    """Replaces the file at once; its mode is 600. Raises OSError."""
    target = path()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    document = {"current": contexts.current, "contexts": dict(sorted(contexts.known.items()))}
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _fits(context: object) -> bool:
    return isinstance(context, dict) and all(
        name in Context.__annotations__ and isinstance(value, bool if name in FLAGS else str)
        for name, value in context.items()
    )
