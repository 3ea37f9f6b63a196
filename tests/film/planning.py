"""Films for the tests of plans: scripts read, planned and quoted by the real table of models."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from evergreen_server.film.digests import Redo
from evergreen_server.film.model import FirstFrame, OutputKind, Plan, PlannedLine, PlannedScene, PlannedShot
from evergreen_server.film.models import FilmModels
from evergreen_server.film.outputs import Made, composed_of, measured_of, standings_of, wanted_of
from evergreen_server.film.planning.choices import cast_of, models_of, settings_of
from evergreen_server.film.planning.plan import Planned, plan_film
from evergreen_server.film.quote import DailyLimits, Quote, quote
from evergreen_server.film.screenplay.reading import read_script
from evergreen_server.film.screenplay.speech import speech_seconds
from evergreen_server.ports.timeline import Source
from evergreen_server.providers.runway.catalog.models import RunwayModels

SCRIPTS = Path(__file__).parents[1] / "samples/scripts"
LAMP = (SCRIPTS / "the-lamp.fountain").read_text()
ORCHARD = (SCRIPTS / "the-orchard.av.txt").read_text()
MARKET = (SCRIPTS / "night-market.md").read_text()
TABLE = RunwayModels()
TIER_1 = DailyLimits(pictures=200, speech=50, clips=50)
FILM = "my-film"


@dataclass(frozen=True, kw_only=True)
class Film:
    """A plan, and the models that it is for."""

    planned: Planned
    models: FilmModels

    @property
    def plan(self) -> Plan:
        return self.planned.plan


def film(text: str, before: Plan | None = None, **given: object) -> Film:
    """Plans a script with these settings."""
    script = read_script(text)
    settings = settings_of(given, script, before)
    models = models_of(settings, TABLE)
    cast = cast_of((), script.header, before)
    return Film(planned=plan_film(script, settings, cast, models, film_id=FILM, before=before), models=models)


def scenes_of(count: int, *, changed: Mapping[int, str] | None = None, header: str = "") -> str:
    """Returns a script of so many scenes, each with a picture and two lines; `changed` has other first lines."""
    parts = [header] if header else []
    for number in range(1, count + 1):
        line = (changed or {}).get(number, f"Boat {number} left the harbour long before dawn.")
        parts.append(
            f"## Scene {number}: Harbour {number}\n\n*A harbour with {number} boats in fog.*\n\n"
            f"**Narrator**: {line}\n\n**Ada**: I counted them, all {number}.\n"
        )
    return "\n".join(parts)


def continued(one: Film, *numbers: int, **given: object) -> Film:
    """Has the clips of some shots, counted from 1 over the film, begin where the one before ends."""
    wanted = [shot.shot_id for number, (_, shot) in enumerate(one.plan.shots(), 1) if number in numbers]
    scenes = tuple(
        replace(
            scene,
            shots=tuple(
                replace(shot, first_frame=FirstFrame.PREVIOUS_CLIP, **given) if shot.shot_id in wanted else shot
                for shot in scene.shots
            ),
        )
        for scene in one.plan.scenes
    )
    return replace(one, planned=replace(one.planned, plan=replace(one.plan, scenes=scenes)))


def files(plan: Plan) -> dict[tuple[str, str], str]:
    """A SHA-256 for every file of the cast."""
    return {(FILM, asset): f"{asset:0<64}"[-64:] for actor in plan.cast for asset in (*actor.images, actor.voice_asset)}


def made_by(one: Film, *, factor: float = 0.9, takes: str = "") -> dict[str, Made]:
    """Every output of a plan as a run makes it, with speech that takes `factor` of its estimate."""
    made: dict[str, Made] = {}
    last: Source | None = None
    known = files(one.plan)
    measured = {line.line_id: factor * speech_seconds(line.text) for _, line in one.plan.lines()}
    for wanted in wanted_of(one.plan):
        if wanted.kind is OutputKind.CLIP and last is not None and wanted.item.first_frame == "PREVIOUS_CLIP":
            first: Source | None = last
        else:
            picture = made.get(f"{wanted.item_id}/picture")
            first = picture.source if picture else None
        composed = composed_of(one.plan, one.models, wanted, known, first=first, measured=measured)
        source = Source(scene_id=wanted.scene.scene_id, asset=f"f/{wanted.key}", sha256=composed.base[:60] + takes)
        seconds = measured.get(wanted.item_id, composed.spec.duration_seconds)
        made[wanted.key] = Made(basis=composed.basis, source=source, seconds=seconds)
        last = source if wanted.kind is OutputKind.CLIP else last
    return made


def quoted(one: Film, made: Mapping[str, Made] | None = None, redo: Redo = Redo.CHANGED) -> Quote:
    """What a run costs where all of `made` is there."""
    known, made = files(one.plan), made or {}
    standings = standings_of(one.plan, one.models, made, known)
    measured = measured_of(one.plan, made, standings)
    spent = dict.fromkeys(made, 1000)
    return quote(one.plan, one.models, standings, measured=measured, spent=spent, limits=TIER_1, redo=redo, files=known)


def anew(one: Film, made: Mapping[str, Made], redo: Redo = Redo.CHANGED) -> set[str]:
    """The keys of what a run may make."""
    return {f"{item.item_id}/{item.kind}" for item in quoted(one, made, redo).items if not item.reused}


def shot(shot_id: str = "", **given: object) -> PlannedShot:
    """A shot as callers give it."""
    usual: dict[str, object] = {"picture_prompt": "A pier.", "motion_prompt": "Waves.", "seconds": 4.0}
    return PlannedShot(shot_id=shot_id, **{**usual, **given})


def scene(scene_id: str = "", **given: object) -> PlannedScene:
    """A scene as callers give it."""
    return PlannedScene(scene_id=scene_id, **{"shots": (shot(),), **given})


def line(text: str, line_id: str = "", speaker: str = "") -> PlannedLine:
    return PlannedLine(line_id=line_id, speaker=speaker, text=text)
