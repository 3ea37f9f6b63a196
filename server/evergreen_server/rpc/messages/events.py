"""Events as bytes: encoded once when they are recorded, and sent as they are to every watcher."""

from datetime import datetime

from evergreen.v1 import video_pb2
from evergreen_server.film.runs.events import FilmEventKind
from evergreen_server.film.runs.films import Film
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import EventKind
from evergreen_server.rpc.messages.convert import fill_job
from evergreen_server.rpc.messages.film_status import fill_status
from evergreen_server.rpc.messages.values import set_time


class EventWire:
    """Encodes what WatchProgress sends."""

    def event(self, kind: EventKind, job: Job, at: datetime) -> bytes:
        message = video_pb2.WatchProgressResponse(revision=job.revision)
        event = message.event
        event.kind = video_pb2.EventKind.Value(f"EVENT_KIND_{kind.value}")
        set_time(event.time, at)
        fill_job(event.job, job)
        return message.SerializeToString()

    def film_event(self, kind: FilmEventKind, film: Film, revision: int, at: datetime) -> bytes:
        message = video_pb2.WatchProgressResponse(revision=revision)
        event = message.film_event
        event.kind = video_pb2.FilmEventKind.Value(f"FILM_EVENT_KIND_{kind.value}")
        set_time(event.time, at)
        fill_status(event.film, film)
        return message.SerializeToString()

    def checkpoint(self, revision: int) -> bytes:
        return video_pb2.WatchProgressResponse(revision=revision, checkpoint=video_pb2.Checkpoint()).SerializeToString()
