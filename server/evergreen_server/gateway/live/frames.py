"""What a page says over its socket."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evergreen.v1 import video_pb2
from evergreen_server.gateway.live.items import FILM
from evergreen_server.gateway.live.topics import KINDS
from evergreen_server.gateway.messages import read_object
from evergreen_server.gateway.problems import invalid
from evergreen_server.gateway.visitors import TOKEN, malformed

__all__ = [
    "FRAME_BYTES",
    "MOST_FILMS",
    "MOST_JOBS",
    "Frame",
    "Hello",
    "Ping",
    "Subscribe",
    "Unsubscribe",
    "film_ids_of",
    "job_ids_of",
    "kinds_of",
    "read_document",
    "read_frame",
    "revision_of",
]

FRAME_BYTES = 64 << 10
MOST_JOBS, MOST_FILMS = 1000, 100
MEMBERS: Mapping[str, frozenset[str]] = {
    "hello": frozenset({"token"}),
    "subscribe": frozenset(
        {"projectId", "jobIds", "filmIds", "afterRevision", "includeFinished", "includeFilms", "kinds"}
    ),
    "unsubscribe": frozenset({"projectId", "jobIds", "filmIds"}),
    "ping": frozenset(),
}
_REVISION = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Follows a project, or some of its films, or some jobs, whose project need not be told."""

    project_id: str
    job_ids: Sequence[str]
    film_ids: Sequence[str]
    after: int | None
    include_finished: bool
    kinds: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    project_id: str
    job_ids: Sequence[str]
    film_ids: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    pass


Frame = Hello | Subscribe | Unsubscribe | Ping


def read_document(data: bytes) -> dict[str, object]:
    """Parses a frame as far as its type. Raises Refused for what nobody can make sense of."""
    document = read_object(data)
    kind = document.get("type")
    if not isinstance(kind, str) or kind not in MEMBERS:
        raise malformed(f"type must be one of {', '.join(MEMBERS)}")
    return document


def read_frame(document: Mapping[str, object]) -> Frame:
    """Returns what a frame says. Raises Refused, with the members that are wrong."""
    kind = str(document["type"])
    if unknown := sorted(document.keys() - MEMBERS[kind] - {"type"}):
        raise invalid(unknown[0][:100], f"{kind} has no such member")
    match kind:
        case "hello":
            token = document.get("token")
            if not isinstance(token, str) or not TOKEN.fullmatch(token):
                raise invalid("token", "must be a token, as `evergreen token` prints it")
            return Hello(token=token)
        case "ping":
            return Ping()
    project_id, film_ids = _text(document, "projectId"), film_ids_of(_texts(document, "filmIds"), "filmIds")
    job_ids = job_ids_of(_texts(document, "jobIds"), "jobIds")
    if not project_id and (film_ids or not job_ids):
        raise invalid("projectId", "required with filmIds" if film_ids else "give a projectId, jobIds, or both")
    if kind == "unsubscribe":
        return Unsubscribe(project_id=project_id, job_ids=job_ids, film_ids=film_ids)
    after = document.get("afterRevision")
    films = {FILM} if _flag(document, "includeFilms") else set()
    return Subscribe(
        project_id=project_id,
        job_ids=job_ids,
        film_ids=film_ids,
        after=None if after is None else revision_of(after, "afterRevision"),
        include_finished=_flag(document, "includeFinished"),
        kinds=kinds_of(_texts(document, "kinds")) | films,
    )


def revision_of(value: object, name: str) -> int:
    """Returns a revision, which JSON has as a text. Raises Refused."""
    if isinstance(value, bool) or not isinstance(value, int | str) or not _REVISION.fullmatch(str(value)):
        raise invalid(name, "must be a revision, as an event or a checkpoint has it")
    return int(value)


def job_ids_of(values: Sequence[str], name: str) -> Sequence[str]:
    """Returns ids of jobs, each once. Raises Refused."""
    if any("/" in each for each in values):
        raise invalid(name, "the id of a job has no slash")
    return _once(values, name, MOST_JOBS)


def film_ids_of(values: Sequence[str], name: str) -> Sequence[str]:
    """Returns ids of films, each once. Raises Refused."""
    return _once(values, name, MOST_FILMS)


def _once(values: Sequence[str], name: str, most: int) -> Sequence[str]:
    if len(once := list(dict.fromkeys(values))) > most:
        raise invalid(name, f"at most {most}")
    return once


def kinds_of(names: Sequence[str]) -> frozenset[int]:
    """Returns the kinds of what jobs make, all without names. Raises Refused."""
    known = {video_pb2.MediaKind.Name(kind): kind for kind in KINDS}
    if unknown := [name for name in names if name not in known]:
        raise invalid("kinds", f"{unknown[0][:100]} is none of {', '.join(known)}")
    return frozenset(known[name] for name in names) or frozenset(KINDS)


def _text(document: Mapping[str, object], name: str) -> str:
    value = document.get(name, "")
    if not isinstance(value, str):
        raise invalid(name, "must be a text")
    return value


def _texts(document: Mapping[str, object], name: str) -> Sequence[str]:
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise invalid(name, "must be a list of texts")
    return value


def _flag(document: Mapping[str, object], name: str) -> bool:
    value = document.get(name, False)
    if not isinstance(value, bool):
        raise invalid(name, "must be true or false")
    return value
