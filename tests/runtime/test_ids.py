"""Ids of jobs sort by age, whatever becomes of the clock."""

import uuid
from datetime import UTC, datetime, timedelta

from evergreen_server.runtime.ids import JobIds, first_at, ids_at

NOW = datetime(2026, 11, 1, 12, 30, 15, 250_000, tzinfo=UTC)


def test_an_id_is_a_uuid_of_version_7_that_tells_its_milliseconds() -> None:
    made = uuid.UUID(JobIds(lambda: NOW).new())

    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(NOW.timestamp() * 1000)


def test_ids_of_one_moment_and_of_a_clock_set_back_sort_behind_those_before() -> None:
    now = NOW
    ids = JobIds(lambda: now)
    made = [ids.new() for _ in range(5000)]
    now -= timedelta(days=1)

    made += [ids.new() for _ in range(5000)]

    assert made == sorted(set(made))


def test_ids_sort_behind_the_newest_that_is_known_from_before_a_restart() -> None:
    newest = JobIds(lambda: NOW + timedelta(days=1)).new()

    assert JobIds(lambda: NOW, newest=newest).new() > newest


def test_the_first_id_of_a_time_lies_between_those_before_and_those_from_then_on() -> None:
    before, then = JobIds(lambda: NOW - timedelta(milliseconds=1)).new(), JobIds(lambda: NOW).new()

    assert before < first_at(NOW) < then
    assert first_at(NOW - timedelta(hours=1), timedelta(hours=1)) == first_at(NOW)
    for end, by in ((datetime.min, -1), (datetime.max, 1)):
        edge = end.replace(tzinfo=UTC)
        assert (first_at(edge, timedelta(days=by)) < before) is (by < 0), "beyond what a time can be"


def test_ids_of_times_that_are_equal_or_go_back_are_in_the_order_given() -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    times = [at, at, at - timedelta(seconds=1), at, at + timedelta(milliseconds=2)]

    made = list(ids_at(times))

    assert made == sorted(set(made))
    assert made[-1] >= first_at(times[-1])
