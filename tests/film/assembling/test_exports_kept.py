"""How many exports of a film are known."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from evergreen_server.film.assembling.material import Claim
from evergreen_server.film.assembling.store import ExportStore
from tests.film.assembling.cinema import Cinema, cinema, short
from tests.film.assembling.test_kills import Fate, written
from tests.film.planning import FILM
from tests.film.runs.studio import PROJECT, words


@pytest.fixture
async def hall(database_url: str, tmp_path: Path) -> AsyncIterator[Cinema]:
    async with cinema(tmp_path, database_url) as opened:
        opened.studio.content = words
        opened.screen.instead = written(Fate())
        yield opened


async def test_the_newest_exports_of_a_film_are_known_and_no_more(hall: Cinema) -> None:
    run = await hall.make(short())
    [made] = await hall.rows()
    claim = Claim(project_id=PROJECT, film_id=FILM, run=run.run, leg=run.leg, execution=run.execution)
    exports = ExportStore(database=hall.studio.database, clock=hall.studio.clock, most_kept=3)
    digests = [made.digest, "b", "c", "d", "e"]

    for digest in digests[1:]:
        await hall.studio.later(seconds=1)
        await exports.record(claim, replace(made, digest=digest, asset=f"exports/{digest}.mp4"))

    assert sorted(await exports.find(PROJECT, FILM, digests)) == ["c", "d", "e"]
    assert len(hall.files()) == 5
