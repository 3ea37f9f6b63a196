"""Films as messages, in pages where they are large."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.json_format import ParseDict

from evergreen.v1 import film_pb2, video_pb2
from evergreen_server.film.model import (
    Actor,
    FilmSettings,
    OutputKind,
    PlannedLine,
    PlannedScene,
    PlannedShot,
    Transition,
    output_key,
)
from evergreen_server.film.planning.plan import Changes
from evergreen_server.film.plans.seen import Seen
from evergreen_server.film.quote import Quote, QuoteItem
from evergreen_server.rpc.messages.film_status import MOST_WARNINGS, fill_status
from evergreen_server.rpc.messages.values import credits_of, timestamp

PAGE_BYTES = 2 * 1024 * 1024
"""The most bytes of a page's scenes: by default a client reads messages of 4 MiB at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmPage:
    """A film with some of its scenes. `next_id` is the scene that begins the next page; empty if there is none."""

    film: film_pb2.Film
    next_id: str


def film_page(seen: Seen, scenes: Sequence[PlannedScene]) -> FilmPage:
    """Returns a film with the first of these scenes, as many as fit into a page; at least one, if there is any."""
    plan = seen.stored.planned.plan
    message = film_pb2.Film(
        title=plan.title,
        settings=_settings_message(plan.settings),
        cast=[_actor_message(actor) for actor in plan.cast],
        quote=_quote_message(seen.quote),
        script_asset=plan.script_asset,
        script_format=film_pb2.ScriptFormat.Value(f"SCRIPT_FORMAT_{plan.script_format.value}"),
        create_time=timestamp(seen.stored.film.created_at),
    )
    fill_status(message.status, seen.stored.film)
    message.status.plan_revision = seen.stored.plan_revision
    left = MOST_WARNINGS - len(message.status.warnings)
    for warning in (*seen.stored.planned.warnings, *seen.quote.warnings)[:left]:
        message.status.warnings.add(code=warning.code, message=warning.message)
    prices: dict[str, list[QuoteItem]] = {}
    for item in seen.quote.items:
        prices.setdefault(item.item_id, []).append(item)
    size = 0
    for number, scene in enumerate(scenes):
        listed, items = _film_scene(scene, seen), _items(scene, prices)
        size += listed.ByteSize() + sum(item.ByteSize() for item in items)
        if number and size > PAGE_BYTES:
            return FilmPage(film=message, next_id=scene.scene_id)
        message.scenes.append(listed)
        message.quote.items.extend(items)
    return FilmPage(film=message, next_id="")


def changes_message(changes: Changes) -> film_pb2.FilmChanges:
    return film_pb2.FilmChanges(
        added=changes.added, changed=changes.changed, removed=changes.removed, kept=changes.kept
    )


def page_scope(project_id: str, film_id: str, plan_revision: int = 0, scene_ids: Sequence[str] = ()) -> str:
    """Returns what a page token of a film is valid for."""
    chosen = hashlib.sha256("/".join(scene_ids).encode()).hexdigest()[:16] if scene_ids else ""
    return f"{project_id}/{film_id}/{plan_revision}/{chosen}"


def _film_scene(scene: PlannedScene, seen: Seen) -> film_pb2.FilmScene:
    message = film_pb2.FilmScene(scene=_scene_message(scene))
    for shot in scene.shots:
        outputs = _outputs(shot.shot_id, (OutputKind.PICTURE, OutputKind.CLIP), seen)
        message.shots.add(shot_id=shot.shot_id, outputs=outputs)
    for line in scene.lines:
        if outputs := _outputs(line.line_id, (OutputKind.SPEECH,), seen):
            message.lines.add(line_id=line.line_id, outputs=outputs)
    return message


def _outputs(item_id: str, kinds: Sequence[OutputKind], seen: Seen) -> list[film_pb2.OutputStatus]:
    return [
        _output(kind, output_key(item_id, kind), seen) for kind in kinds if output_key(item_id, kind) in seen.standings
    ]


def _output(kind: OutputKind, key: str, seen: Seen) -> film_pb2.OutputStatus:
    standing, known = seen.standings[key], seen.progress.get(key)
    message = film_pb2.OutputStatus(
        output=kind.value,
        currency=film_pb2.Currency.Value(f"CURRENCY_{standing.currency.value}"),
        stale_because=[member.value for member in standing.because],
    )
    if known is not None and known.job is not None:
        message.job_id = known.job.job_id
        message.job_state = video_pb2.JobState.Value(f"JOB_STATE_{known.job.state.value}")
    if known is not None and known.made is not None and known.made.source is not None:
        made, source = known.made, known.made.source
        message.digest, message.take = made.digest, made.take
        message.scene_id, message.asset = source.scene_id, source.asset
        if made.seconds is not None:
            message.seconds = made.seconds
    return message


def _scene_message(scene: PlannedScene) -> film_pb2.ScenePlan:
    return film_pb2.ScenePlan(
        scene_id=scene.scene_id,
        number=scene.number,
        title=scene.title,
        script_line=scene.script_line,
        seconds=scene.seconds,
        lines=[_line_message(line) for line in scene.lines],
        captions=scene.captions,
        shots=[_shot_message(shot) for shot in scene.shots],
        transition=None if scene.transition is None else _transition_message(scene.transition),
    )


def _line_message(line: PlannedLine) -> film_pb2.SpokenLine:
    return film_pb2.SpokenLine(line_id=line.line_id, speaker=line.speaker, text=line.text, direction=line.direction)


def _shot_message(shot: PlannedShot) -> film_pb2.ShotPlan:
    failure = "UNSPECIFIED" if shot.on_failure is None else shot.on_failure.value
    message = film_pb2.ShotPlan(
        shot_id=shot.shot_id,
        picture_prompt=shot.picture_prompt,
        motion_prompt=shot.motion_prompt,
        seconds=shot.seconds,
        cast=shot.cast,
        first_frame=film_pb2.FirstFrame.Value(f"FIRST_FRAME_{shot.first_frame.value}"),
        camera=film_pb2.Camera.Value(f"CAMERA_{shot.camera.value}"),
        seed=shot.seed,
        on_failure=film_pb2.OnShotFailure.Value(f"ON_SHOT_FAILURE_{failure}"),
    )
    if shot.picture_options:
        ParseDict(dict(shot.picture_options), message.picture_options)
    if shot.clip_options:
        ParseDict(dict(shot.clip_options), message.clip_options)
    return message


def _transition_message(transition: Transition) -> film_pb2.Transition:
    kind = film_pb2.TransitionKind.Value(f"TRANSITION_KIND_{transition.kind.value}")
    return film_pb2.Transition(kind=kind, seconds=transition.seconds)


def _actor_message(actor: Actor) -> film_pb2.CastMember:
    return film_pb2.CastMember(
        name=actor.name,
        assets=actor.images,
        description=actor.description,
        voice=actor.voice,
        voice_asset=actor.voice_asset,
    )


def _settings_message(settings: FilmSettings) -> film_pb2.FilmSettings:
    message = film_pb2.FilmSettings(
        scene_prefix=settings.scene_prefix,
        aspect=settings.aspect,
        picture_model=settings.picture_model,
        clip_model=settings.clip_model,
        speech_model=settings.speech_model,
        style=settings.style,
        narrator_voice=settings.narrator_voice,
        language=settings.language,
        timing=film_pb2.Timing.Value(f"TIMING_{settings.timing.value}"),
        speech=film_pb2.Speech.Value(f"SPEECH_{settings.speech.value}"),
        music=settings.music,
        candidates=settings.candidates,
        transition=_transition_message(settings.transition),
    )
    for profile in settings.profiles:
        message.profiles.add(
            name=profile.name,
            width=profile.width,
            height=profile.height,
            fps=profile.fps,
            fit=film_pb2.Fit.Value(f"FIT_{profile.fit.value}"),
            loudness_lufs=profile.loudness_lufs,
            captions=film_pb2.Captions.Value(f"CAPTIONS_{profile.captions.value}"),
            crf=profile.crf,
        )
    return message


def _quote_message(quote: Quote) -> film_pb2.FilmQuote:
    return film_pb2.FilmQuote(
        credits=None if quote.millicredits is None else credits_of(quote.millicredits),
        reused_credits=credits_of(quote.reused_millicredits),
        seconds=quote.seconds,
        provider_days=quote.provider_days or 0,
    )


def _items(scene: PlannedScene, prices: Mapping[str, Sequence[QuoteItem]]) -> list[film_pb2.QuoteItem]:
    item_ids = [line.line_id for line in scene.lines] + [shot.shot_id for shot in scene.shots]
    return [
        film_pb2.QuoteItem(
            shot_id=item.item_id,
            output=item.kind.value,
            model=item.model,
            quantity=item.quantity,
            credits=None if item.millicredits is None else credits_of(item.millicredits),
            reused=item.reused,
        )
        for item_id in item_ids
        for item in prices.get(item_id, ())
    ]
