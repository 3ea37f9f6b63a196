"""Reads recorded events for webhooks, and prints them: the JSON of job and film is that of the gateway's events."""

import json
from collections.abc import Callable, Mapping
from typing import Final

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

from evergreen.v1 import video_pb2
from evergreen_server.webhooks.expansion import Happening
from evergreen_server.webhooks.kinds import TYPES

__all__ = ["MOST_BYTES", "WebhookReader"]

MOST_BYTES: Final = 20_000
"""A body is shorter."""
FRAME_BYTES: Final = 500
"""For what stands around the job or film."""
SUBJECTS: Final[Mapping[int, str]] = {
    video_pb2.MEDIA_KIND_VIDEO: "video",
    video_pb2.MEDIA_KIND_IMAGE: "image",
    video_pb2.MEDIA_KIND_SPEECH: "audio",
    video_pb2.MEDIA_KIND_SOUND: "audio",
}


class WebhookReader:
    """Implements `webhooks.outbox.Reader`; `print_json` is the one printer of messages."""

    def __init__(self, print_json: Callable[[Message], bytes]) -> None:
        self._print = print_json

    def read(self, event: bytes) -> Happening | None:
        message = video_pb2.WatchProgressResponse.FromString(event)
        if message.WhichOneof("body") == "event":
            told, job = message.event, message.event.job
            name = _name(video_pb2.EventKind.DESCRIPTOR, told.kind).removeprefix("EVENT_KIND_").lower()
            kind = f"{SUBJECTS.get(job.kind, 'video')}.{name}"
            happening = Happening(type=kind, job_id=job.job_id, film_id="", labels=dict(job.labels))
        else:
            film, kind_of_film = message.film_event.film, message.film_event.kind
            name = _name(video_pb2.FilmEventKind.DESCRIPTOR, kind_of_film).removeprefix("FILM_EVENT_KIND_").lower()
            happening = Happening(type=f"film.{name}", job_id="", film_id=film.film_id, labels={})
        return happening if happening.type in TYPES else None

    def body(self, event: bytes) -> bytes:
        happening = self.read(event)
        assert happening is not None
        message = video_pb2.WatchProgressResponse.FromString(event)
        about: Message = message.event.job
        name, time = "job", message.event.time.ToJsonString()
        if happening.film_id:
            about = message.film_event.film
            name, time = "film", message.film_event.time.ToJsonString()
        shown, cut = self._fitted(about)
        data = b'{"revision":"%d","%b":%b%b}' % (message.revision, name.encode(), shown, b',"truncated":true' * cut)
        return b'{"type":"%b","timestamp":"%b","data":%b}' % (happening.type.encode(), time.encode(), data)

    def _fitted(self, about: Message) -> tuple[bytes, bool]:
        """Returns the JSON of a job or film, and whether its longest lists had to be left out."""
        shown, cut = self._print(about), False
        while len(shown) > MOST_BYTES - FRAME_BYTES:
            longest = max(about.ListFields(), key=lambda each: len(json.dumps(str(each[1]))))
            about.ClearField(longest[0].name)
            shown, cut = self._print(about), True
        return shown, cut


def _name(kinds: EnumDescriptor, number: int) -> str:
    """Returns the name of a kind of event; empty for one that only servers of a later release know."""
    kind = kinds.values_by_number.get(number)
    return "" if kind is None else kind.name
