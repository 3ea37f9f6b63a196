"""Ids of jobs sort by age, whatever becomes of the clock."""

import uuid
from datetime import UTC, datetime, timedelta

from evergreen_server.runtime.ids import JobIds

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
