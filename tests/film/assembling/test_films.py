"""Films from a script to a cut in `exports/`, rendered for real from what the sandbox makes."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import av
import numpy as np
import pysubs2
import pytest
import webvtt
from PIL import Image

from evergreen_server.film.codec import from_document
from evergreen_server.film.model import OnShotFailure
from evergreen_server.film.outputs import wanted_of
from evergreen_server.film.runs.run import RunState
from evergreen_server.jobs.model.job import Job
from evergreen_server.media.frames import matrix_of
from evergreen_server.ports.specs import MediaKind
from tests.film.assembling.cinema import SMALL, TALL, Cinema, cinema, short
from tests.film.planning import FILM, LAMP, Film, continued, film
from tests.film.runs.studio import PROJECT
from tests.media.render.reel import clip

CUT = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For tests of what is cut, which has nothing to do with the database; those of runs and kills are for both."""


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


@CUT
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


@CUT
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


@CUT
async def test_a_film_whose_export_somebody_removed_is_rendered_again(hall: Cinema) -> None:
    one = short()
    await hall.make(one)
    first = hall.path(".mp4")
    before = first.read_bytes()
    await hall.studio.scenes.discard(PROJECT, FILM, f"exports/{first.name}")

    await hall.make(one, quote=0)

    assert [row.run for row in await hall.rows()] == [2]
    assert hall.path("r2-small-" + (await hall.rows())[0].digest[:8] + ".mp4").read_bytes() == before


@CUT
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


@CUT
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


@CUT
@pytest.mark.parametrize(
    ("on_failure", "by", "shots"),
    [(OnShotFailure.STILL, "STILL", ["scene-1.1", "scene-2.1"]), (OnShotFailure.SKIP, "LEFT_OUT", ["scene-1.1"])],
)
async def test_a_film_is_cut_without_a_clip_as_the_run_says_and_tells_so(
    hall: Cinema, on_failure: OnShotFailure, by: str, shots: list[str]
) -> None:
    await hall.studio.start(short(2), quote=1_000_000, on_failure=on_failure)

    await hall.studio.rest(lambda job: not (job.request.spec.kind is MediaKind.VIDEO and is_second(job)))

    run = await hall.studio.now()
    assert (run.state, {warning.code for warning in run.warnings}) == (RunState.SUCCEEDED, {"OUTPUT_REPLACED"})
    told = json.loads(hall.path(".json").read_bytes())
    assert [shot["shotId"] for shot in told["shots"]] == shots
    assert {"itemId": "scene-2.1", "output": "clip", "by": by} in told["substitutions"]
    [row] = await hall.rows()
    with av.open(str(hall.path(".mp4"))) as container:
        assert sum(1 for _ in container.decode(video=0)) == row.frames == sum(shot["frames"] for shot in told["shots"])


def is_second(job: Job) -> bool:
    return job.request.scene_id == "scene-2"


@CUT
async def test_an_older_clip_stands_in_where_the_new_one_cannot_be_made(hall: Cinema) -> None:
    one = short(2)
    await hall.make(one)
    first = json.loads(hall.path(".json").read_bytes())
    other = planned(one, clip_seed=7)

    await hall.studio.start(other, quote=1_000_000, on_failure=OnShotFailure.LAST_GOOD)
    await hall.studio.rest(lambda job: not is_second(job))

    run = await hall.studio.now()
    assert (run.state, [warning.code for warning in run.warnings]) == (RunState.SUCCEEDED, ["OUTPUT_REPLACED"])
    second = json.loads(hall.path("r2-small-" + run.exports[0][:8] + ".json").read_bytes())
    key = "scene-2.1/clip"
    assert second["outputs"][key]["asset"] == first["outputs"][key]["asset"]
    assert second["outputs"]["scene-1.1/clip"]["asset"] != first["outputs"]["scene-1.1/clip"]["asset"]


def planned(one: Film, *, clip_seed: int) -> Film:
    """The film with other movements in every shot."""
    scenes = tuple(
        replace(scene, shots=tuple(replace(shot, motion_prompt=f"Another wind, {clip_seed}.") for shot in scene.shots))
        for scene in one.plan.scenes
    )
    return replace(one, planned=replace(one.planned, plan=replace(one.plan, scenes=scenes)))


@CUT
async def test_a_clip_that_the_caller_chose_is_measured_and_seen(hall: Cinema) -> None:
    own = clip(hall.folder / "own.mp4", frames=24)
    await hall.studio.scenes.add(PROJECT, FILM, "videos/own.mp4", own.read_bytes(), "video/mp4")
    one = short()
    chosen = replace(one.plan, chosen={"scene-1.1/clip": (FILM, "videos/own.mp4")})

    run = await hall.make(replace(one, planned=replace(one.planned, plan=chosen)))

    assert run.state is RunState.SUCCEEDED
    assert not [job for job in await hall.studio.jobs() if job.request.spec.kind is MediaKind.VIDEO]
    # It is far shorter than what is said over it.
    assert "PICTURE_HELD" in {warning.code for warning in run.warnings}
    told = json.loads(hall.path(".json").read_bytes())
    assert told["outputs"]["scene-1.1/clip"]["seconds"] == pytest.approx(1.0, abs=0.05)


@CUT
async def test_captions_and_timeline_are_read_by_the_libraries_of_others(hall: Cinema) -> None:
    one = short(2)

    await hall.make(one)

    said = [line.text for _, line in one.plan.lines()]
    subtitles = pysubs2.load(str(hall.path(".srt")))
    assert " ".join(event.plaintext.replace("\n", " ") for event in subtitles) == " ".join(said)
    captions = webvtt.read(str(hall.path(".vtt")))
    assert " ".join(caption.text.replace("\n", " ") for caption in captions) == " ".join(said)
    told = json.loads(hall.path(".json").read_bytes())
    first = next(sound["start"] for sound in told["sounds"] if sound["heard"] == "SPEECH")
    # A voice begins when its line does, but for the silence at its edge.
    assert 0 <= subtitles[0].start / 1000 - first < 0.3


@CUT
async def test_a_clip_that_goes_on_from_another_begins_with_its_very_last_frame(hall: Cinema) -> None:
    run = await hall.make(continued(short(3), 2, 3))

    assert (run.state, run.published) == (RunState.SUCCEEDED, True)
    clips = [job for job in await hall.studio.jobs() if job.request.spec.kind is MediaKind.VIDEO]
    tree = hall.folder / "data" / "projects" / PROJECT
    for before, after in pairwise(clips):
        with av.open(str(tree / before.request.scene_id / before.outputs[0].path)) as container:
            *_, last = container.decode(video=0)
        with Image.open(tree / after.request.scene_id / (after.request.spec.media[0].asset or "")) as picture:
            assert (picture.format, picture.size) == ("PNG", (last.width, last.height))
            shown = np.asarray(picture).astype(int)
        assert np.abs(shown - last.to_ndarray(format="rgb24", src_colorspace=matrix_of(last)).astype(int)).mean() < 2
