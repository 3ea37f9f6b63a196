"""What those who follow a project are told: the JSON of each message, made once, and what is needed to choose by."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from evergreen.v1 import video_pb2
from evergreen_server.gateway.messages import to_json
from evergreen_server.gateway.problems import Fault

__all__ = [
    *("FILM", "Item", "checkpoint_item", "end_item", "film_of", "gap_item", "item_of", "select", "subject_of_film"),
]

FILM = 0
"""Stands where the item of a job has the kind of what it makes."""
JOB_FINAL = frozenset(
    {
        video_pb2.JOB_STATE_SUCCEEDED,
        video_pb2.JOB_STATE_FAILED,
        video_pb2.JOB_STATE_CANCELLED,
        video_pb2.JOB_STATE_EXPIRED,
    }
)
EVENTS: Mapping[int, str] = {
    kind: name.removeprefix("EVENT_KIND_").lower() for name, kind in video_pb2.EventKind.items()
}
FILM_EVENTS: Mapping[int, str] = {
    kind: name.removeprefix("FILM_EVENT_KIND_").lower() for name, kind in video_pb2.FilmEventKind.items()
}
_FILMS = "film/"
FILM_FINAL = frozenset({video_pb2.FILM_STATE_SUCCEEDED, video_pb2.FILM_STATE_FAILED, video_pb2.FILM_STATE_CANCELLED})


@dataclass(frozen=True, slots=True)
class Item:
    """One message. `event` is its kind, in small letters; `data` the JSON of it, the same for every way of watching."""

    event: str
    revision: int
    """0 where it has none."""
    data: bytes
    subject: str = ""
    """The job, or what stands for a film; empty for what is about neither."""
    kind: int = -1
    """What the job makes, or FILM."""
    progress: bool = False
    final: bool = False

    def as_snapshot(self) -> "Item":
        """Returns the same state, as it is told to somebody who comes later."""
        name = "film_snapshot" if self.kind == FILM else "snapshot"
        begin = len(_begin(self.event))
        return replace(self, event=name, data=_begin(name) + self.data[begin:], progress=False)


def item_of(response: video_pb2.WatchProgressResponse) -> Item | None:
    """Returns the event of a message, None for a checkpoint and for what is not known here."""
    match response.WhichOneof("body"):
        case "event":
            event, job = response.event, response.event.job
            progress = event.kind == video_pb2.EVENT_KIND_PROGRESS
            name = EVENTS.get(event.kind, str(event.kind))
            data = _event(name, response.revision, event.time.ToJsonString(), "job", to_json(job))
            return Item(name, response.revision, data, job.job_id, job.kind, progress, job.state in JOB_FINAL)
        case "film_event":
            told, film = response.film_event, response.film_event.film
            progress = told.kind == video_pb2.FILM_EVENT_KIND_PROGRESS
            over = film.state in FILM_FINAL or told.kind == video_pb2.FILM_EVENT_KIND_DELETED
            name = "film_" + FILM_EVENTS.get(told.kind, str(told.kind))
            data = _event(name, response.revision, told.time.ToJsonString(), "film", to_json(film))
            return Item(name, response.revision, data, subject_of_film(film.film_id), FILM, progress, over)
    return None


def checkpoint_item(project_id: str, revision: int) -> Item:
    """Returns the word that everything up to a revision was sent."""
    return _plain("checkpoint", {"projectId": project_id, "revision": str(revision)}, revision)


def gap_item(project_id: str, fault: Fault) -> Item:
    """Returns the word that the cursor was of no use, and why."""
    return _plain("gap", {"projectId": project_id, "reason": fault.reason, "metadata": fault.metadata})


def end_item(project_id: str, subjects: Iterable[str]) -> Item:
    """Returns the word that these jobs and films were seen final, and are followed no more."""
    ended = list(subjects)
    films = [film_id for subject in ended if (film_id := film_of(subject)) is not None]
    jobs = [subject for subject in ended if film_of(subject) is None]
    return _plain("end", {"projectId": project_id, "jobIds": jobs, "filmIds": films})


def subject_of_film(film_id: str) -> str:
    """Returns what stands for a film where others have the id of a job, which has no slash."""
    return f"{_FILMS}{film_id}"


def film_of(subject: str) -> str | None:
    """Returns the id of the film that a subject stands for; None for a job."""
    return subject.removeprefix(_FILMS) if subject.startswith(_FILMS) else None


def select(items: Sequence[Item], wanted: Collection[str]) -> list[Item]:
    """Returns the items of these subjects, or all, without a percentage that a later item of its subject follows."""
    picked: list[Item] = []
    later: set[str] = set()
    for item in reversed(items):
        if wanted and item.subject not in wanted:
            continue
        if not (item.progress and item.subject in later):
            picked.append(item)
        later.add(item.subject)
    picked.reverse()
    return picked


def _begin(event: str) -> bytes:
    return b'{"type":"event","event":"%b",' % event.encode()


def _event(event: str, revision: int, time: str, name: str, state: bytes) -> bytes:
    head = f'"revision":"{revision}","time":"{time}","{name}":'
    return b"".join((_begin(event), head.encode(), state, b"}"))


def _plain(event: str, members: dict[str, object], revision: int = 0) -> Item:
    return Item(event, revision, json.dumps({"type": event, **members}, separators=(",", ":")).encode())
