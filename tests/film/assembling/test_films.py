"""Films from a script to a cut in `exports/`, rendered for real from what the sandbox makes."""

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote

import av
import pytest

from evergreen_server.film.codec import from_document
from evergreen_server.film.outputs import wanted_of
from evergreen_server.film.runs.run import RunState
from tests.film.assembling.cinema import SMALL, TALL, Cinema, cinema, short
from tests.film.planning import FILM, LAMP, film
from tests.film.runs.studio import PROJECT


@pytest.fixture
async def hall(database_url: str, tmp_path: Path) -> AsyncIterator[Cinema]:
    async with cinema(tmp_path, database_url) as opened:
        yield opened


async def test_a_script_becomes_a_film_with_all_that_lies_beside_it(hall: Cinema) -> None:
    one = film(LAMP, profiles=[SMALL])

    run = await hall.make(one)

    assert (run.state, run.stage, run.published, run.warnings) == (RunState.SUCCEEDED, "PUBLISHING", True, ())
    [row] = await hall.rows()
    assert [name.rpartition(".")[2] for name in hall.files()] == ["json", "mp4", "otio", "srt", "vtt"]
    assert all(name.startswith(f"{FILM}-r1-small-{row.digest[:8]}.") for name in hall.files())
    path = hall.path(".mp4")
    assert (row.asset, row.sha256, row.size_bytes) == (
        f"exports/{path.name}",
        sha256(path.read_bytes()).hexdigest(),
        path.stat().st_size,
    )
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        seconds = sum(frame.samples for frame in container.decode(audio=0)) / 48_000
    assert frames == row.frames == run.frames == run.frames_done
    assert seconds == pytest.approx(frames / 24, abs=0.05)
    assert row.loudness_lufs == pytest.approx(-16, abs=0.6)
    assert sorted(asset.path for asset in await hall.named()) == [f"exports/{name}" for name in hall.files()]


async def test_what_lies_beside_a_film_tells_its_files_and_what_they_cost(hall: Cinema) -> None:
    await hall.make(short(2))

    told = json.loads(hall.path(".json").read_bytes())
    run = await hall.studio.now()
    assert told["export"]["sha256"] == sha256(hall.path(".mp4").read_bytes()).hexdigest()
    assert (told["credits"], told["run"], told["planRevision"]) == (run.money.spent / 1000, 1, 1)
    assert len(told["outputs"]) == len(await hall.studio.jobs())
    for output in told["outputs"].values():
        lies = hall.folder / "data" / "projects" / PROJECT / output["sceneId"] / output["asset"]
        assert sha256(lies.read_bytes()).hexdigest() == output["sha256"]
    timeline = hall.path(".otio")
    media = [each for each in _urls(json.loads(timeline.read_bytes())) if each]
    assert media
    assert all((timeline.parent / unquote(url)).is_file() for url in media)


def _urls(value: object) -> list[str]:
    if isinstance(value, dict):
        return [str(value.get("target_url", "")), *(url for each in value.values() for url in _urls(each))]
    return [url for each in value for url in _urls(each)] if isinstance(value, list) else []


async def test_the_document_of_the_film_tells_its_plan_its_outputs_and_its_exports(hall: Cinema) -> None:
    one = short(2)

    await hall.make(one)

    scene = hall.folder / "data" / "projects" / PROJECT / FILM
    told = json.loads((scene / "metadata" / "film.json").read_bytes())
    assert from_document(told["plan"]) == one.plan
    assert (told["run"], told["planRevision"]) == (1, 1)
    wanted = {each.key for each in wanted_of(one.plan)}
    assert set(told["outputs"]) == wanted
    assert all(output["basis"]["MODEL"] and output["digest"] for output in told["outputs"].values())
    [export] = told["exports"]
    assert sha256((scene / export["asset"]).read_bytes()).hexdigest() == export["sha256"]


async def test_the_same_film_again_is_not_rendered_again(hall: Cinema) -> None:
    one = short(2)
    await hall.make(one)
    before = hall.files()

    run = await hall.make(one, quote=0)

    assert (run.run, run.state, run.money.spent) == (2, RunState.SUCCEEDED, 0)
    assert len(hall.screen.made) == 1
    assert hall.files() == before
    assert [row.run for row in await hall.rows()] == [1]


async def test_a_film_whose_export_somebody_removed_is_rendered_again(hall: Cinema) -> None:
    one = short()
    await hall.make(one)
    first = hall.path(".mp4")
    before = first.read_bytes()
    await hall.studio.scenes.discard(PROJECT, FILM, f"exports/{first.name}")

    await hall.make(one, quote=0)

    assert [row.run for row in await hall.rows()] == [2]
    assert hall.path("r2-small-" + (await hall.rows())[0].digest[:8] + ".mp4").read_bytes() == before


async def test_one_changed_line_renders_one_segment_at_most(hall: Cinema) -> None:
    one = short(3)
    await hall.make(one)

    changed = short(3, changed={2: "Boat 2 left the harbour long after dawn."}, before=one)
    run = await hall.make(changed)

    assert run.state is RunState.SUCCEEDED
    [first, second] = hall.screen.made
    assert (first.segments_made, first.segments_reused) == (3, 0)
    assert second.segments_made <= 1
    assert len([name for name in hall.files() if name.endswith(".mp4")]) == 2


async def test_each_profile_has_a_film_of_its_own(hall: Cinema) -> None:
    run = await hall.make(short(profiles=[SMALL, TALL]))

    wide, tall = await hall.rows()
    assert (wide.profile, tall.profile) == ("small", "thin")
    for row, size, rate in ((wide, (160, 90), 24), (tall, (90, 160), 25)):
        with av.open(str(hall.folder / "data" / "projects" / PROJECT / FILM / row.asset)) as container:
            video = container.streams.video[0]
            assert ((video.width, video.height), video.average_rate) == (size, rate)
    assert run.frames == wide.frames + tall.frames
    assert wide.seconds == pytest.approx(tall.seconds, abs=0.1)
    assert len(hall.files()) == 10
