"""`python -m tests.cuts` makes whole cuts of the sample scripts, judges them, and leaves a sheet of each to look at.

The provider is the sandbox. What is judged is what a film promises: its length, its sound, its captions, and a timeline
whose media are all there. The exit code is 1 if any of it is not so.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import opentimelineio
import pysubs2
import webvtt
from PIL import Image, ImageOps

from evergreen.v1 import film_pb2, video_pb2
from tests.rpc.films import SCRIPTS, film_of, plan_request, start_request
from tests.serving import Api, ServerProcess, sandbox_process

SAMPLES = ("the-lamp", "the-orchard", "night-market")
FPS = 24
LOUDNESS_LUFS = -16.0
PEAK_DBTP = -1.0
MINUTES = 10
SHEET = (4, 4)
PICTURE = (320, 180)


async def make(folder: Path, names: list[str]) -> bool:
    """Makes a cut of each script; prints what is wrong with it, and returns whether nothing is."""
    sound = True
    async with (
        sandbox_process("--render-scale", "0.5") as sandbox,
        ServerProcess(folder / "data", sandbox.url, {}) as server,
    ):
        api = await server.start()
        for name in names:
            film = await made(api, name)
            exports = folder / "data" / "projects" / "cuts" / f"cut-{name}" / "exports"
            cut = next(exports.glob("*.mp4"))
            faults = list(faults_of(cut, film))
            sheet = folder / f"{name}.png"
            await asyncio.to_thread(draw, cut, sheet)
            status = film.status
            print(f"{name}: {len(film.scenes)} scenes, {film.quote.seconds:.1f} s, {status.spent_credits:g} credits")
            print(f"  {cut}\n  {sheet}")
            for warning in status.warnings:
                print(f"  {warning.code}: {warning.message}")
            for fault in faults:
                print(f"  WRONG: {fault}")
            sound = sound and not faults
    return sound


async def made(api: Api, name: str) -> film_pb2.Film:
    """Plans a script, and makes the film for what it is quoted."""
    [script] = SCRIPTS.glob(f"{name}.*")
    film_id = f"cut-{name}"
    plan = plan_request(project_id="cuts", film_id=film_id, script=script.read_text())
    plan.settings.scene_prefix = f"{name}-scene"
    film = (await api.film.PlanFilm(plan)).film
    start = start_request("cuts", film_id=film_id, max_credits=film.quote.credits, stop_after=0)
    await api.film.StartFilm(start)
    async with asyncio.timeout(MINUTES * 60):
        async for message in api.events(project_id="cuts", film_ids=[film_id], after_revision=0):
            if message.film_event.kind == video_pb2.FILM_EVENT_KIND_STAGE_CHANGED:
                print(f"  {name}: {video_pb2.FilmStage.Name(message.film_event.film.stage)}", flush=True)
    film = await film_of(api, "cuts", film_id=film_id)
    assert film.status.state == video_pb2.FILM_STATE_SUCCEEDED, film.status
    return film


def faults_of(cut: Path, film: film_pb2.Film) -> Iterator[str]:
    """Yields what of a cut is not as promised."""
    export = json.loads(cut.with_suffix(".json").read_text())["export"]
    with av.open(str(cut)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(cut)) as container:
        heard = sum(frame.samples for frame in container.decode(audio=0)) / 48_000
    planned = film.quote.seconds * FPS
    if abs(frames - planned) > 1 or frames != export["frames"]:
        yield f"it has {frames} frames, {export['frames']} by its document, and {planned:.1f} are planned"
    if abs(heard - frames / FPS) > 0.05:
        yield f"{heard:.2f} s are heard, and {frames / FPS:.2f} s seen"
    if abs(export["loudnessLufs"] - LOUDNESS_LUFS) > 0.5 or export["truePeakDbtp"] > PEAK_DBTP + 0.1:
        yield f"it has {export['loudnessLufs']} LUFS, and peaks of {export['truePeakDbtp']} dBTP"
    told, read = webvtt.read(str(cut.with_suffix(".vtt"))), pysubs2.load(str(cut.with_suffix(".srt")))
    if not told.captions or len(told.captions) != len(read):
        yield f"{len(told.captions)} captions are in one file, {len(read)} in the other"
    timeline = opentimelineio.adapters.read_from_file(str(cut.with_suffix(".otio")))
    for clip in timeline.find_clips():
        url = getattr(clip.media_reference, "target_url", "")
        if url and not (cut.parent / url).is_file():
            yield f"{url} is not there"


def draw(cut: Path, path: Path) -> None:
    """Draws frames of a cut at even distances, in their order."""
    with av.open(str(cut)) as container:
        count = container.streams.video[0].frames
        wanted = [round((place + 0.5) * count / (SHEET[0] * SHEET[1])) for place in range(SHEET[0] * SHEET[1])]
        seen = {number: frame.to_image() for number, frame in enumerate(container.decode(video=0)) if number in wanted}
    sheet = Image.new("RGB", (SHEET[0] * PICTURE[0], SHEET[1] * PICTURE[1]))
    for place, number in enumerate(wanted):
        at = place % SHEET[0] * PICTURE[0], place // SHEET[0] * PICTURE[1]
        sheet.paste(ImageOps.pad(seen[number], PICTURE), at)
    sheet.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.cuts", description="Makes whole cuts of the sample scripts.")
    parser.add_argument("names", nargs="*", choices=[[], *SAMPLES], help="which of them; all, if none is named")
    parser.add_argument("--into", type=Path, default=Path(".make/cuts"), help="where everything is left")
    arguments = parser.parse_args()
    arguments.into.mkdir(parents=True, exist_ok=True)
    sys.exit(not asyncio.run(make(arguments.into.resolve(), arguments.names or [*SAMPLES])))


if __name__ == "__main__":
    main()
