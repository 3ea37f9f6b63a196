"""The tokens file: one JSON object a line, with the hash of a token, its name, its projects and its rights.

A token has 256 random bits, so that a plain SHA-256 of it cannot be reversed by guessing, and needs no salt.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from evergreen_server.rpc.access.policy import Caller, Callers, Right
from evergreen_server.runtime.reload import FileUnusable
from evergreen_storage import id_error

PREFIX = "evg_"
"""By this, scanners for leaked secrets recognize a token."""
TOKEN_BYTES = 32
LONGEST_NAME = 100
MOST_ERRORS = 20
NO_JSON = "is not JSON"
MEMBERS = {"name", "sha256", "projects", "rights"}


def new_token(name: str, projects: Sequence[str], rights: Sequence[Right]) -> tuple[str, str]:
    """Returns a new token and its line for the tokens file; no projects means all. Raises ValueError on bad ones."""
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    entry = {
        "name": name,
        "sha256": sha256(token.encode()).hexdigest(),
        "projects": list(projects) or "*",
        "rights": [right.value for right in rights],
    }
    line = json.dumps(entry)
    _caller(line)
    return token, line


def read_tokens(contents: Sequence[bytes]) -> Callers:
    """Reads a tokens file; empty lines and those that begin with # are skipped. Raises FileUnusable, naming the errors.

    A file without any token is an error as well: it is more often half written than intended.
    """
    callers: dict[bytes, Caller] = {}
    names: set[str] = set()
    errors: list[str] = []
    try:
        lines = contents[0].decode().splitlines()
    except UnicodeDecodeError:
        raise FileUnusable("is not UTF-8") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            caller = _caller(line)
            if caller.digest in callers:
                raise ValueError("its sha256 is there already")
            if caller.name in names:
                raise ValueError(f"the name {caller.name!r} is there already")
        except ValueError as exc:
            errors.append(f"line {number}: {exc}")
            continue
        names.add(caller.name)
        callers[caller.digest] = caller
    if not callers and not errors:
        errors.append("it has no token; `evergreen token` makes one")
    if not callers and len(errors) > 1 and all(error.endswith(NO_JSON) for error in errors):
        # Another file altogether: one sentence instead of one for each of its lines.
        raise FileUnusable("is not a file of tokens, which has a JSON object in each line; `evergreen token` makes one")
    if errors:
        more = [f"and {len(errors) - MOST_ERRORS} more"] if len(errors) > MOST_ERRORS else []
        raise FileUnusable("; ".join(errors[:MOST_ERRORS] + more))
    return _guarded(callers)


def _guarded(callers: Callers) -> Callers:
    """Returns the callers, each with those of its projects for which some token names `approve` by their id."""
    named = (caller.projects or frozenset() for caller in callers.values() if Right.APPROVE in caller.rights)
    guarded = frozenset[str]().union(*named)

    def own(caller: Caller) -> frozenset[str]:
        return guarded if caller.projects is None else guarded & caller.projects

    return {digest: replace(caller, guarded=own(caller)) for digest, caller in callers.items()}


def _caller(line: str) -> Caller:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(NO_JSON) from None
    if not isinstance(entry, dict) or entry.keys() != MEMBERS:
        raise ValueError(f"must be an object with {', '.join(sorted(MEMBERS))} and nothing else")
    name, digest, projects, rights = entry["name"], entry["sha256"], entry["projects"], entry["rights"]
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise ValueError(f"name must be a text of 1 to {LONGEST_NAME} characters that can be printed")
    try:
        raw = bytes.fromhex(digest)
    except (TypeError, ValueError):
        raw = b""
    if len(raw) != sha256().digest_size:
        raise ValueError("sha256 must be 64 hexadecimal digits")
    if projects != "*" and (not _texts(projects) or any(id_error("project", each) for each in projects)):
        raise ValueError('projects must be "*", or a list of project ids')
    if not _texts(rights) or not set(rights) <= set(Right):
        raise ValueError(f"rights must be a list of {', '.join(Right)}")
    return Caller(
        name=name,
        projects=None if projects == "*" else frozenset(projects),
        rights=frozenset(Right(right) for right in rights),
        digest=raw,
    )


def _texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
