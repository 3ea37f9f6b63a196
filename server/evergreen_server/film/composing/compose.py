"""The request for each output of a film, and the basis that it is known by: both from one function."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final, TypeAlias

from evergreen_server.film.composing.basis import basis_of
from evergreen_server.film.composing.casting import actors_of, references_of, tags_of, voice_of
from evergreen_server.film.composing.lengths import SceneLengths, ShotLength, form_of, lengths_of
from evergreen_server.film.composing.prompts import Prompt, clip_prompt, picture_prompt
from evergreen_server.film.digests import Basis, base_digest
from evergreen_server.film.model import (
    FilmWarning,
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
from evergreen_server.film.numbering import planned_seed
from evergreen_server.film.screenplay.sentences import sentences_of
from evergreen_server.film.screenplay.speech import speech_seconds
from evergreen_server.ports.specs import GenerationSpec, Media, Operation, Role
from evergreen_server.ports.timeline import Source

__all__ = [
    "Composed", "File", "Files", "compose_clip", "compose_picture", "compose_speech", "files_of",
]  # fmt: skip

File: TypeAlias = tuple[str, str]
"""A scene id and the path of an asset in it, such as `("my-film", "images/ada.png")`."""
Files: TypeAlias = Mapping[File, str]
"""The SHA-256 (hex) of files by their place; one that is not in it is not there, or nobody looked."""

_PLACEHOLDER: Final = "images/picture.png"
"""Stands for a picture that is not made yet, in a request for a quote."""

_SLACK: Final = 5.0
"""Seconds by which the sentences of a line may take longer than the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """What is asked of a provider for one output, and what it is made from."""

    item_id: str
    """The shot or the line."""
    kind: OutputKind
    spec: GenerationSpec
    basis: Basis
    base: str
    """The digest of the basis, the same for each take; `digest_of(base, take)` names the job."""
    missing: tuple[File, ...] = ()
    """Files that the request names and whose SHA-256 is not known."""
    warnings: tuple[FilmWarning, ...] = ()

    @property
    def key(self) -> str:
        """Returns what names the output in its film."""
        return output_key(self.item_id, self.kind)


def compose_picture(plan: Plan, models: FilmModels, scene: PlannedScene, shot: PlannedShot, files: Files) -> Composed:
    """Returns the request for a shot's picture."""
    model, actors = models.picture, actors_of(plan, shot)
    references, dropped = references_of(actors, model.references_most)
    tags = tags_of(plan.cast) if model.tags else {}
    mentioned = {name for name, _ in references}
    prompt = picture_prompt(
        style=plan.settings.style,
        visual=shot.picture_prompt,
        cast=[(actor, tags.get(actor.name, "") if actor.name in mentioned else "") for actor in actors],
        most=model.prompt_most,
        language=plan.settings.language,
    )
    warnings = list(_shortened(prompt, shot.shot_id, "picture"))
    if dropped:
        text = f"{shot.shot_id}: {model.model} takes {model.references_most} references; {dropped} more are left out."
        warnings.append(FilmWarning(code="REFERENCES_DROPPED", message=text))
    media = tuple(_tagged(plan, scene, references, tags))
    candidates = plan.settings.candidates
    spec = GenerationSpec(
        operation=Operation.TEXT_TO_IMAGE,
        model=model.model,
        prompt_text=prompt.text,
        media=media,
        ratio=model.ratios[len(media)],
        seed=_seed(plan, shot.shot_id, OutputKind.PICTURE, shot.seed) if model.seed else None,
        parameters={"output_count": candidates} if candidates > 1 else {},
        options=shot.picture_options,
    )
    return _composed(plan, scene, shot.shot_id, OutputKind.PICTURE, spec, files, warnings)


def compose_clip(
    plan: Plan,
    models: FilmModels,
    scene: PlannedScene,
    shot: PlannedShot,
    *,
    picture: Source | None,
    measured: Mapping[str, float],
    lengths: SceneLengths | None = None,
) -> Composed:
    """Returns the request for a shot's clip, as long as the measured speech of its scene asks for.

    `picture` is its first frame: the shot's picture; or, for PREVIOUS_CLIP, the last frame of the clip before it with
    the SHA-256 of that clip. None for a clip from text alone, or where the picture is not made yet: then the request
    has a place in its stead, good for a quote alone. `lengths` are those of the scene by what is
    measured, where the caller has them already: a scene may have hundreds of shots, and thousands of lines.

    Raises ValueError where the model cannot begin as the shot says, which `faults_of` tells of a plan.
    """
    form = form_of(shot, models)
    if form is None:
        raise ValueError(f"{models.clip.model} makes no clip of {shot.shot_id}, which begins with {shot.first_frame}")
    lengths = lengths or lengths_of(scene, plan.settings, models, measured)
    language = plan.settings.language
    spoken = _spoken_in(scene, shot, lengths, language) if plan.settings.speech is Speech.IN_CLIP else ()
    prompt = clip_prompt(
        motion=_motion(plan, shot),
        camera=shot.camera,
        spoken=tuple(spoken),
        most=form.prompt_most,
        language=language,
    )
    media: tuple[Media, ...] = ()
    files: Files = {}
    if shot.first_frame is not FirstFrame.NONE:
        at = (picture.scene_id, picture.asset) if picture is not None else (scene.scene_id, _PLACEHOLDER)
        files = {at: picture.sha256} if picture is not None else {}
        media = (_file(Role.FIRST_FRAME, *at, scene),)
    audio = {"audio": plan.settings.speech is Speech.IN_CLIP} if form.audio else {}
    spec = GenerationSpec(
        model=models.clip.model,
        prompt_text=prompt.text,
        media=media,
        ratio=form.ratio,
        resolution=form.resolution,
        duration_seconds=_length(scene, shot, lengths).clip_seconds,
        seed=_seed(plan, shot.shot_id, OutputKind.CLIP, shot.seed) if form.seed else None,
        options={**audio, **shot.clip_options},
    )
    return _composed(plan, scene, shot.shot_id, OutputKind.CLIP, spec, files, _shortened(prompt, shot.shot_id, "clip"))


def compose_speech(plan: Plan, models: FilmModels, scene: PlannedScene, line: PlannedLine, files: Files) -> Composed:
    """Returns the request for the speech of a line."""
    model = models.speech
    voice, sound = voice_of(plan, models, line)
    parameters = {"voice": voice} if voice else {}
    parameters |= {"language": model.language} if model.language else {}
    spec = GenerationSpec(
        operation=Operation.TEXT_TO_SPEECH,
        model=model.model,
        prompt_text=line.text,
        media=(_file(Role.REFERENCE_AUDIO, plan.film_id, sound, scene),) if sound else (),
        seed=_seed(plan, line.line_id, OutputKind.SPEECH, None) if model.seed else None,
        parameters=parameters,
    )
    return _composed(plan, scene, line.line_id, OutputKind.SPEECH, spec, files, ())


def files_of(plan: Plan) -> Iterator[tuple[str, File]]:
    """Yields every file that a caller named, with the field that names it, such as `cast[0].assets[1]`; one that stands
    in place of an output by the output's key.
    """
    if plan.settings.music:
        yield "settings.music", (plan.film_id, plan.settings.music)
    for index, actor in enumerate(plan.cast):
        for number, asset in enumerate(actor.images):
            yield f"cast[{index}].assets[{number}]", (plan.film_id, asset)
        if actor.voice_asset:
            yield f"cast[{index}].voice_asset", (plan.film_id, actor.voice_asset)
    yield from plan.chosen.items()


def _composed(
    plan: Plan,
    scene: PlannedScene,
    item_id: str,
    kind: OutputKind,
    spec: GenerationSpec,
    files: Files,
    warnings: Sequence[FilmWarning],
) -> Composed:
    places = {media: (media.scene_id or scene.scene_id, media.asset or "") for media in spec.media}
    redone = plan.redone.get(output_key(item_id, kind), 0)
    basis = basis_of(spec, lambda media: files.get(places[media], ""), redone=redone)
    return Composed(
        item_id=item_id,
        kind=kind,
        spec=spec,
        basis=basis,
        base=base_digest(film=plan.film_id, shot=item_id, output=str(kind), basis=basis),
        missing=tuple(dict.fromkeys(file for file in places.values() if file not in files)),
        warnings=tuple(warnings),
    )


def _file(role: Role, scene_id: str, asset: str, scene: PlannedScene, *, tag: str = "") -> Media:
    # The job is of the scene: a file of its own needs no name of a scene.
    return Media(role=role, asset=asset, scene_id="" if scene_id == scene.scene_id else scene_id, tag=tag)


def _tagged(
    plan: Plan, scene: PlannedScene, references: Sequence[tuple[str, str]], tags: Mapping[str, str]
) -> Iterator[Media]:
    """Yields the pictures of actors; further ones of somebody have a number at the end of their tag."""
    seen: Counter[str] = Counter()
    for name, asset in references:
        seen[name] += 1
        tag = tags.get(name, "")
        tag = f"{tag}_{seen[name]}" if tag and seen[name] > 1 else tag
        yield _file(Role.REFERENCE, plan.film_id, asset, scene, tag=tag)


def _seed(plan: Plan, item_id: str, kind: OutputKind, seed: int | None) -> int:
    redone = plan.redone.get(output_key(item_id, kind), 0)
    if seed is not None and not redone:
        return seed
    return planned_seed(plan.film_id, item_id if seed is None else f"{item_id}/{seed}", redone)


def _motion(plan: Plan, shot: PlannedShot) -> str:
    """Returns what a clip shows; one from text alone has nothing but its prompt to show it by."""
    motion = shot.motion_prompt or shot.picture_prompt
    if shot.first_frame is not FirstFrame.NONE:
        return motion
    seen = picture_prompt(
        style=plan.settings.style,
        visual=shot.picture_prompt,
        cast=[(actor, "") for actor in actors_of(plan, shot)],
        most=None,
    ).text
    return seen if motion in shot.picture_prompt else f"{seen} {motion}"


def _length(scene: PlannedScene, shot: PlannedShot, lengths: SceneLengths) -> ShotLength:
    return next(length for one, length in zip(scene.shots, lengths.shots, strict=True) if one.shot_id == shot.shot_id)


def _spoken_in(scene: PlannedScene, shot: PlannedShot, lengths: SceneLengths, language: str) -> Iterator[PlannedLine]:
    """Yields what is said while a shot is seen, by the sentences that begin in it; the last shot has all later ones."""
    ends = list(accumulate(length.seconds for length in lengths.shots))
    own = next(index for index, one in enumerate(scene.shots) if one.shot_id == shot.shot_id)
    begin = 0.0 if own == 0 else ends[own - 1]
    for line, place in zip(scene.lines, lengths.lines, strict=True):
        if own < len(ends) - 1 and not begin - place.seconds - _SLACK <= place.start < ends[own]:
            continue
        said: list[str] = []
        start = place.start
        for sentence in sentences_of(line.text, language):
            if next((index for index, end in enumerate(ends) if start < end), len(ends) - 1) == own:
                said.append(sentence)
            start += speech_seconds(sentence)
        if said:
            yield replace(line, text=" ".join(said))


def _shortened(prompt: Prompt, item_id: str, output: str) -> tuple[FilmWarning, ...]:
    if not prompt.cut:
        return ()
    text = f"{item_id}: the prompt of its {output} is longer than the model takes, and was cut."
    return (FilmWarning(code="PROMPT_SHORTENED", message=text),)
