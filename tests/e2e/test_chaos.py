"""A short run of chaos: kills at random moments under load, on each kind of database."""

from pathlib import Path

import pytest

from tests.chaos.__main__ import chaos


@pytest.mark.parametrize("phase", ["sqlite", "postgres-3"])
async def test_random_kills_under_load_lose_no_job_and_pay_none_twice(
    request: pytest.FixtureRequest, tmp_path: Path, phase: str
) -> None:
    url = "" if phase == "sqlite" else request.getfixturevalue("postgres").create()

    tally = await chaos(phase, tmp_path, kills=6, minutes=2, seed=4711, database_url=url, films=1)

    assert tally.sound, tally.violations
    assert tally.kills
    assert tally.ended
    assert tally.films
