"""What webhooks are told of an event: its type, and a body that is never long and never has a prompt."""

import json

import pytest

from evergreen.v1 import video_pb2
from evergreen_server.gateway.messages import to_json
from evergreen_server.rpc.messages.webhook_events import MOST_BYTES, WebhookReader
from evergreen_server.webhooks.kinds import DEFAULT, TYPES, wants

READER = WebhookReader(to_json)


def job_event(kind: int, media: int = video_pb2.MEDIA_KIND_VIDEO, **job: object) -> video_pb2.WatchProgressResponse:
    message = video_pb2.WatchProgressResponse(revision=7)
    message.event.kind = kind
    message.event.time.seconds = 1
    message.event.job.CopyFrom(video_pb2.Job(job_id="job", kind=media, **job))
    return message


@pytest.mark.parametrize(
    ("media", "subject"),
    [
        (video_pb2.MEDIA_KIND_VIDEO, "video"),
        (video_pb2.MEDIA_KIND_IMAGE, "image"),
        (video_pb2.MEDIA_KIND_SPEECH, "audio"),
        (video_pb2.MEDIA_KIND_SOUND, "audio"),
    ],
)
def test_every_kind_of_job_has_its_types(media: int, subject: str) -> None:
    happening = READER.read(job_event(video_pb2.EVENT_KIND_SUCCEEDED, media).SerializeToString())

    assert happening is not None
    assert (happening.type, happening.job_id, happening.film_id) == (f"{subject}.succeeded", "job", "")


def test_films_have_theirs_and_progress_is_never_told() -> None:
    message = video_pb2.WatchProgressResponse(revision=7)
    message.film_event.kind = video_pb2.FILM_EVENT_KIND_AWAITING_APPROVAL
    message.film_event.film.film_id = "lamp"
    happening = READER.read(message.SerializeToString())
    body = json.loads(READER.body(message.SerializeToString()))

    assert happening is not None
    assert (happening.type, happening.film_id) == ("film.awaiting_approval", "lamp")
    assert body["data"]["film"]["filmId"] == "lamp"
    for kind in (video_pb2.EVENT_KIND_PROGRESS, video_pb2.EVENT_KIND_STAGE_CHANGED, video_pb2.EVENT_KIND_CANCELLING):
        assert READER.read(job_event(kind).SerializeToString()) is None
    message.film_event.kind = video_pb2.FILM_EVENT_KIND_PROGRESS
    assert READER.read(message.SerializeToString()) is None


def test_a_kind_that_only_a_later_release_knows_is_passed_over() -> None:
    """During an upgrade its servers record it, and those of this release must go on with what they know."""
    film = video_pb2.WatchProgressResponse(revision=7)
    film.film_event.kind = 999
    film.film_event.film.film_id = "lamp"

    assert READER.read(job_event(999).SerializeToString()) is None
    assert READER.read(film.SerializeToString()) is None
    assert READER.read(video_pb2.WatchProgressResponse(revision=7).SerializeToString()) is None


def test_every_event_of_the_contract_is_told_or_is_one_that_never_is() -> None:
    events = {name.removeprefix("EVENT_KIND_").lower() for name in video_pb2.EventKind.keys()[1:]}
    films = {name.removeprefix("FILM_EVENT_KIND_").lower() for name in video_pb2.FilmEventKind.keys()[1:]}

    told = {each.partition(".")[2] for each in TYPES if each.startswith("video.")}
    assert events - told == {"snapshot", "progress", "stage_changed", "cancelling"}
    told = {each.partition(".")[2] for each in TYPES if each.startswith("film.")}
    assert films - told == {"snapshot", "progress", "cancelling"}


def test_a_body_is_never_long_whatever_the_job_has() -> None:
    warnings = [video_pb2.Warning(code="SLOW", message="w" * 500) for _ in range(100)]
    message = job_event(video_pb2.EVENT_KIND_WARNING, warnings=warnings, labels={"who": "ann"})
    body = READER.body(message.SerializeToString())
    told = json.loads(body)

    assert len(body) < MOST_BYTES
    assert told["data"]["truncated"] is True
    assert told["data"]["job"]["warnings"] == []
    assert told["data"]["job"]["labels"] == {"who": "ann"}
    short = json.loads(READER.body(job_event(video_pb2.EVENT_KIND_WARNING).SerializeToString()))
    assert "truncated" not in short["data"]


def test_filters_by_type_take_groups_and_without_any_the_default_set() -> None:
    assert wants(["video.*"], "video.created")
    assert wants(["*"], "film.planned")
    assert not wants(["video.*"], "image.created")
    assert not wants(["video.failed"], "video.succeeded")
    assert {each for each in TYPES if wants([], each)} == DEFAULT
