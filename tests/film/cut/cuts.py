"""Cuts of planned films, for which every output was made as its job would have made it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from evergreen_server.film.composing.lengths import SceneLengths, lengths_of
from evergreen_server.film.cut.cutting import Cut, Used, cut
from evergreen_server.film.cut.sidecar import ExportFile
from evergreen_server.film.model import OutputKind
from evergreen_server.film.outputs import wanted_of
from evergreen_server.film.statuses import Status
from evergreen_server.ports.media import Pauses
from evergreen_server.ports.timeline import Profile, Source
from tests.film.planning import Film, film, made_by

WIDE = Profile(name="wide", width=1280, height=720)
TALL = Profile(name="tall", width=720, height=1280, fps=25)
MUSIC = Used(source=Source(scene_id="my-film", asset="audio/bed.mp3", sha256="m" * 64), seconds=10.0)
SAMPLES = Path(__file__).parents[2] / "samples/scripts"
EXPORT = ExportFile(
    asset="exports/my-film-r1-wide-00000000.mp4",
    sha256="f" * 64,
    size_bytes=1_000,
    digest="0" * 64,
    frames=240,
    seconds=10.0,
    loudness_lufs=-16.1,
    true_peak_dbtp=-1.2,
    copied=False,
)


def used_of(one: Film, seconds: Callable[[str, float], float] = lambda _key, usual: usual) -> dict[str, Used]:
    """Returns the file of every output; `seconds` may change the length of what was asked for."""
    return {
        key: Used(
            source=made.source,
            seconds=seconds(key, made.seconds) if made.seconds is not None else None,
            digest=f"digest of {key}",
            take=1,
            job_id=f"job of {key}",
            millicredits=5_000,
        )
        for key, made in made_by(one).items()
    }


def statuses_of(one: Film, **others: Status) -> dict[str, Status]:
    """Returns THERE of every output but those named, with `_` for `.`, `-` and `/`."""
    found = {wanted.key: Status.THERE for wanted in wanted_of(one.plan)}
    names = {key.translate(str.maketrans(".-/", "___")): key for key in found}
    return found | {names[name]: status for name, status in others.items()}


def lengths(one: Film, used: Mapping[str, Used]) -> dict[str, SceneLengths]:
    measured = {
        line.line_id: file.seconds
        for _, line in one.plan.lines()
        if (file := used.get(f"{line.line_id}/{OutputKind.SPEECH}")) and file.seconds is not None
    }
    plan = one.plan
    return {scene.scene_id: lengths_of(scene, plan.settings, one.models, measured) for scene in plan.scenes}


def cut_of(
    one: Film,
    used: Mapping[str, Used] | None = None,
    *,
    profile: Profile = WIDE,
    pauses: Mapping[str, Pauses] | None = None,
    music: Used | None = None,
    **others: Status,
) -> Cut:
    """Returns the cut of a film in which every output is there but those named (see `statuses_of`)."""
    used = used_of(one) if used is None else used
    return cut(
        one.plan,
        lengths(one, used),
        statuses_of(one, **others),
        used,
        profile=profile,
        pauses=pauses or {},
        music=music,
    )


def with_transition(one: Film, **transitions: object) -> Film:
    """Returns a film whose scenes, by id with `_` for `-`, have these transitions of their own."""
    scenes = tuple(
        replace(scene, transition=transitions.get(scene.scene_id.replace("-", "_"), scene.transition))
        for scene in one.plan.scenes
    )
    return replace(one, planned=replace(one.planned, plan=replace(one.plan, scenes=scenes)))


def sample(name: str, **given: object) -> Film:
    return film((SAMPLES / name).read_text(), **given)
