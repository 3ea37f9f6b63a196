"""The kept answers of GetStatus, in the orders of events that a running server shows only by bad luck."""

from datetime import UTC, datetime

from evergreen_server.jobs.feed.window import Entry
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.ports.specs import GenerationSpec
from evergreen_server.rpc.access.policy import ANYONE
from evergreen_server.rpc.status_cache import StatusCache

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CHANGE = Change(project_id="film", job_id="one")


def job(revision: int) -> Job:
    request = JobRequest(
        project_id="film", scene_id="s", request_id="r", digest="", spec=GenerationSpec(model="m"), start_by=NOW
    )
    return Job(job_id="one", request=request, revision=revision, created_at=NOW, updated_at=NOW)


def event(revision: int) -> Entry:
    return Entry(revision, "one", False, False, "VIDEO", b"")


def cache_with(revision: int) -> StatusCache:
    cache = StatusCache()
    with cache.reading("one") as keep:
        keep(job(revision), b"answer")
    assert cache.get("one", ANYONE) == (b"answer", None)
    return cache


def test_an_answer_is_dropped_when_a_later_event_is_found_before_its_commit_is_announced() -> None:
    cache = cache_with(4)

    cache.on_events_read([event(4)])
    assert cache.get("one", ANYONE) == (b"answer", None)
    cache.on_events_read([event(5)])
    assert cache.get("one", ANYONE) is None


def test_an_answer_is_dropped_when_a_commit_is_announced() -> None:
    cache = cache_with(4)

    cache.on_commit([CHANGE])

    assert cache.get("one", ANYONE) is None


def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    cache = StatusCache()

    with cache.reading("one") as keep:
        cache.on_commit([CHANGE])
        keep(job(4), b"announced meanwhile")
    with cache.reading("one") as keep:
        cache.on_events_read([event(5)])
        keep(job(4), b"found meanwhile")

    assert cache.get("one", ANYONE) is None


def test_the_oldest_answer_makes_room() -> None:
    cache = StatusCache(size=2)

    for job_id in ("one", "two", "three"):
        with cache.reading(job_id) as keep:
            keep(job(1), job_id.encode())

    assert [cache.get(job_id, ANYONE) for job_id in ("one", "two", "three")] == [None, (b"two", None), (b"three", None)]
