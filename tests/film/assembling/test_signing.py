"""Exports are signed where the server has keys; a fault of the signer leaves the film there, and says so."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from evergreen_server.film.runs.run import RunState
from evergreen_server.media.provenance.signer import Signer
from tests.film.assembling.cinema import Cinema, cinema, short
from tests.media.certificates import write_chain
from tests.media.test_provenance import read


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[Cinema]:
    async with cinema(tmp_path, f"sqlite:///{tmp_path / 'jobs.sqlite'}") as opened:
        certificates, key = write_chain(tmp_path / "keys")
        assembler = opened.assembler(opened.studio.scenes, signer=Signer(certificates=certificates, key=key))
        opened.studio.context = replace(opened.studio.context, assembler=assembler)
        yield opened


async def test_a_film_is_signed_once_with_its_clips_as_ingredients(hall: Cinema) -> None:
    one = short(2)

    first = await hall.make(one)
    again = await hall.make(one, quote=0)

    assert (first.state, first.warnings, again.state) == (RunState.SUCCEEDED, (), RunState.SUCCEEDED)
    assert len(hall.screen.made) == 1
    [row] = await hall.rows()
    path = hall.path(".mp4")
    state, manifest = read(path)
    assert (state, row.sha256) == ("Valid", sha256(path.read_bytes()).hexdigest())
    told = json.loads(hall.path(".json").read_bytes())
    assert told["export"]["claim"] == row.claim == manifest["label"]
    clips = [f"{each['sceneId']}/{each['asset']}" for key, each in sorted(told["outputs"].items()) if "clip" in key]
    assert [each["title"] for each in manifest["ingredients"]] == clips


async def test_a_film_that_cannot_be_signed_is_there_and_is_signed_when_it_is_asked_for_again(
    hall: Cinema, tmp_path: Path
) -> None:
    key = tmp_path / "keys" / "key.pem"
    kept = key.read_bytes()
    key.unlink()

    run = await hall.make(short())

    assert (run.state, [warning.code for warning in run.warnings]) == (RunState.SUCCEEDED, ["NOT_SIGNED"])
    [unsigned] = await hall.rows()
    assert unsigned.claim == ""
    assert json.loads(hall.path(".json").read_bytes())["export"]["claim"] is None
    key.write_bytes(kept)
    run = await hall.make(short(), quote=0)
    assert (run.state, run.warnings, run.money.spent) == (RunState.SUCCEEDED, (), 0)
    [row] = await hall.rows()
    assert read(hall.path(f"r2-small-{row.digest[:8]}.mp4"))[0] == "Valid"
