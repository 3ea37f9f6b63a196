"""What the store has of a film: by content for what is decided, by size and time for what is only shown."""

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from evergreen_server.film.runs import survey
from tests.film.planning import FILM
from tests.film.runs.studio import PROJECT, Studio, studio

PLACE = (FILM, "images/ada.png")


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Studio]:
    async with studio(tmp_path, f"sqlite:///{tmp_path / 'jobs.sqlite'}") as opened:
        yield opened


async def test_a_glance_reads_a_file_once_and_anew_when_it_was_replaced(stand: Studio, tmp_path: Path) -> None:
    surveyor, read = stand.context.surveyor, 0
    scenes = stand.scenes

    class Counting:
        """The scenes, counting what is read."""

        files = scenes.files

        def open(self, *place: str) -> AsyncIterator[bytes]:
            nonlocal read
            read += 1
            return scenes.open(*place)

    surveyor = survey.Surveyor(scenes=Counting(), threads=stand.context.threads)  # type: ignore[arg-type] # as much of them as is asked
    assert (await surveyor.glance(PROJECT, [PLACE], ())).files == {}
    for data in (b"first", b"another"):
        await scenes.discard(PROJECT, *PLACE)
        await scenes.add(PROJECT, *PLACE, data, "image/png")
        for _ in range(3):
            assert (await surveyor.glance(PROJECT, [PLACE], ())).files == {PLACE: sha256(data).hexdigest()}

    assert read == 2
    assert (await surveyor.survey(PROJECT, [PLACE], ())).files == {PLACE: sha256(b"another").hexdigest()}
    assert read == 3
