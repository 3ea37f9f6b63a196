"""Which outputs a plan wants, and how those that were made stand to it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from evergreen_server.film.composing.compose import Composed, Files, compose_clip, compose_picture, compose_speech
from evergreen_server.film.composing.lengths import SceneLengths, lengths_of
from evergreen_server.film.digests import Basis, Currency, Standing
from evergreen_server.film.model import (
    FirstFrame,
    OutputKind,
    Plan,
    PlannedLine,
    PlannedScene,
    PlannedShot,
    Speech,
    output_key,
)
from evergreen_server.film.models import FilmModels
from evergreen_server.ports.timeline import Source

__all__ = ["Made", "Wanted", "composed_of", "measured_of", "standings_of", "wanted_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The newest take of an output, from its row."""

    basis: Basis
    source: Source
    there: bool | None = True
    """Whether its file is in the store; None that the store could not be asked."""
    seconds: float | None = None
    """The measured length of a clip or of speech."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An output that a job of the plan has to make, or that the caller chose a file for."""

    kind: OutputKind
    scene: PlannedScene
    item: PlannedShot | PlannedLine
    chosen: tuple[str, str] | None = None
    """The scene and the file that the caller put in its place: then no job makes it."""

    @property
    def item_id(self) -> str:
        """Returns the id of its shot or line."""
        return self.item.shot_id if isinstance(self.item, PlannedShot) else self.item.line_id

    @property
    def key(self) -> str:
        """Returns what names it in its film, `{shot or line id}/{output}`."""
        return output_key(self.item_id, self.kind)


def wanted_of(plan: Plan) -> Iterator[Wanted]:
    """Yields every output in the order of the film: of each scene its speech, then of each shot picture and clip.

    No picture is wanted that nobody would see: of a clip that begins with none, or that the caller chose.
    """

    def wanted(kind: OutputKind, scene: PlannedScene, item: PlannedShot | PlannedLine) -> Wanted:
        plain = Wanted(kind=kind, scene=scene, item=item)
        return replace(plain, chosen=plan.chosen.get(plain.key))

    for scene in plan.scenes:
        if plan.settings.speech is Speech.GENERATED:
            yield from (wanted(OutputKind.SPEECH, scene, line) for line in scene.lines)
        for shot in scene.shots:
            clip = wanted(OutputKind.CLIP, scene, shot)
            if shot.first_frame is FirstFrame.PICTURE and clip.chosen is None:
                yield wanted(OutputKind.PICTURE, scene, shot)
            yield clip


def measured_of(plan: Plan, made: Mapping[str, Made], standings: Mapping[str, Standing]) -> dict[str, float]:
    """Returns by line the seconds of the speech that stands for the plan."""
    found = (
        (wanted.item_id, made[wanted.key].seconds)
        for wanted in wanted_of(plan)
        if wanted.kind is OutputKind.SPEECH
        and wanted.key in made
        and standings[wanted.key].currency is Currency.CURRENT
    )
    return {line_id: seconds for line_id, seconds in found if seconds is not None}


def standings_of(plan: Plan, models: FilmModels, made: Mapping[str, Made], files: Files) -> dict[str, Standing]:
    """Returns by key how every output of the plan stands; `made` has the newest take of each that was made, by key.

    One that the caller chose is CURRENT if its file is known, and else MISSING; its seconds may be in `made` as well.
    """
    standings: dict[str, Standing] = {}
    every = list(wanted_of(plan))
    for wanted in every:
        if wanted.chosen is not None:
            known = wanted.chosen in files
            standings[wanted.key] = Standing(currency=Currency.CURRENT if known else Currency.MISSING)
        elif wanted.kind is not OutputKind.CLIP:
            standings[wanted.key] = _standing(made.get(wanted.key), composed_of(plan, models, wanted, files).basis)
    measured = measured_of(plan, made, standings)
    sources = {wanted.key: _source(wanted, made, files) for wanted in every}
    lengths = {scene.scene_id: lengths_of(scene, plan.settings, models, measured) for scene in plan.scenes}
    last: Source | None = None
    for wanted in every:
        if wanted.kind is OutputKind.CLIP:
            if wanted.chosen is None:
                assert isinstance(wanted.item, PlannedShot)
                own = sources.get(output_key(wanted.item_id, OutputKind.PICTURE))
                first = last if wanted.item.first_frame is FirstFrame.PREVIOUS_CLIP else own
                composed = composed_of(
                    plan, models, wanted, files, first=first, measured=measured, lengths=lengths[wanted.scene.scene_id]
                )
                standings[wanted.key] = _standing(made.get(wanted.key), composed.basis)
            last = sources[wanted.key]
    return {wanted.key: standings[wanted.key] for wanted in every}


def composed_of(
    plan: Plan,
    models: FilmModels,
    wanted: Wanted,
    files: Files,
    *,
    first: Source | None = None,
    measured: Mapping[str, float] | None = None,
    lengths: SceneLengths | None = None,
) -> Composed:
    """Returns the request for an output; a clip's begins with `first` (see `compose_clip`)."""
    scene, item = wanted.scene, wanted.item
    if isinstance(item, PlannedLine):
        return compose_speech(plan, models, scene, item, files)
    if wanted.kind is OutputKind.PICTURE:
        return compose_picture(plan, models, scene, item, files)
    return compose_clip(plan, models, scene, item, picture=first, measured=measured or {}, lengths=lengths)


def _standing(made: Made | None, basis: Basis) -> Standing:
    if made is None:
        return Standing(currency=Currency.MISSING)
    return Standing.of(made=made.basis, wanted=basis, there=made.there)


def _source(wanted: Wanted, made: Mapping[str, Made], files: Files) -> Source | None:
    """Returns the file that an output has now; None where there is none."""
    if wanted.chosen is not None:
        scene_id, asset = wanted.chosen
        sha256 = files.get(wanted.chosen)
        return None if sha256 is None else Source(scene_id=scene_id, asset=asset, sha256=sha256)
    own = made.get(wanted.key)
    return None if own is None or own.there is False else own.source
