"""A cut as an OpenTimelineIO file, in which editors find every file of the film at its place."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil, floor
from typing import Final
from urllib.parse import quote

from evergreen_server.film.cut.cutting import Cut, Used
from evergreen_server.ports.specs import Json
from evergreen_server.ports.timeline import Blend, Heard, Profile, Sound, Source, Span

__all__ = ["otio"]

_SAMPLES: Final = 48_000
"""A second of sound, so that nothing that is heard has to begin at a frame."""
_HAIR: Final = 1e-6
_MOST_LOOPS: Final = 500
"""How often music is written that begins again; what is shorter is written once, for the whole film."""
_TRACKS: Final = {Heard.SPEECH: "Speech", Heard.CLIP: "Clips", Heard.EFFECT: "Effects", Heard.MUSIC: "Music"}


def otio(cut: Cut, files: Iterable[Used], *, title: str, profile: Profile) -> str:
    """Returns a cut as JSON, to lie beside the export.

    `files` tell the lengths of what the cut uses. Media are named by relative URLs; captions have files of their own.
    """
    seconds = {file.source: file.seconds for file in files if file.seconds}
    tracks = [_track("Picture", "Video", _pictures(cut, seconds, profile.fps))]
    for heard, name in _TRACKS.items():
        own = [
            (sound, item) for sound, item in zip(cut.timeline.sounds, cut.items, strict=True) if sound.heard is heard
        ]
        if own:
            tracks.append(_track(name, "Audio", _sounds(own, seconds, cut.timeline.frames / profile.fps)))
    stack = _named("Stack.1", "tracks", children=tracks)
    whole = _named("Timeline.1", title, global_start_time=None, tracks=stack)
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _pictures(cut: Cut, seconds: Mapping[Source, float], fps: int) -> Iterator[Json]:
    for span, shot in zip(cut.timeline.spans, cut.shots, strict=True):
        yield from _span(span, shot, seconds, fps)
        if span.blend is not Blend.CUT:
            yield _named(
                "Transition.1",
                span.blend.capitalize(),
                transition_type="SMPTE_Dissolve" if span.blend is Blend.DISSOLVE else "Custom_Transition",
                in_offset=_time(span.blend_frames // 2, fps),
                out_offset=_time(span.blend_frames // 2, fps),
            )


def _span(span: Span, shot: str, seconds: Mapping[Source, float], fps: int) -> Iterator[Json]:
    """Yields what is seen; of a clip that is too short, its last frame as a piece of its own."""
    if span.source is None:
        yield _gap(span.frames, fps)
        return
    length = span.frames
    if not span.still and span.source in seconds:
        length = max(1, floor(seconds[span.source] * fps + _HAIR))
    shown = min(length, span.frames)
    yield _clip(shot, span.source, 0, shown, length, fps)
    if span.frames > shown:
        held = _clip(shot, span.source, length - 1, span.frames - shown, length, fps)
        freeze = _named("FreezeFrame.1", "", effect_name="FreezeFrame", time_scalar=0.0)
        yield {**held, "effects": [freeze]}


def _sounds(own: Sequence[tuple[Sound, str]], seconds: Mapping[Source, float], film: float) -> Iterator[Json]:
    at, end = 0, round(film * _SAMPLES)
    for sound, item in own:
        start = max(at, round(sound.start * _SAMPLES))
        most = end - start
        if sound.seconds is not None:
            most = min(most, round(sound.seconds * _SAMPLES))
        length = max(1, round(seconds.get(sound.source, film) * _SAMPLES))
        if sound.loop and ceil(most / length) > _MOST_LOOPS:
            length = most
        if start > at:
            yield _gap(start - at, _SAMPLES)
        at = start
        while at < start + most:
            heard = min(length, start + most - at)
            yield _clip(item, sound.source, 0, heard, length, _SAMPLES)
            at += heard
            if not sound.loop:
                break


def _track(name: str, kind: str, children: Iterable[Json]) -> Json:
    return _named("Track.1", name, kind=kind, children=list(children))


def _clip(name: str, source: Source, start: int, count: int, length: int, rate: int) -> dict[str, Json]:
    media = _named(
        "ExternalReference.1",
        "",
        available_range=_range(0, length, rate),
        target_url=quote(f"../../{source.scene_id}/{source.asset}"),
        metadata={"evergreen": {"sha256": source.sha256}},
    )
    # Of the first version, which older editors read as well.
    return _named("Clip.1", name, source_range=_range(start, count, rate), media_reference=media)


def _gap(count: int, rate: int) -> Json:
    return _named("Gap.1", "", source_range=_range(0, count, rate))


def _range(start: int, count: int, rate: int) -> Json:
    return _object("TimeRange.1", start_time=_time(start, rate), duration=_time(count, rate))


def _time(value: int, rate: int) -> Json:
    return _object("RationalTime.1", rate=float(rate), value=float(value))


def _named(schema: str, name: str, **members: Json) -> dict[str, Json]:
    return _object(schema, **{"name": name, "metadata": {}, **members})


def _object(schema: str, **members: Json) -> dict[str, Json]:
    return dict(OTIO_SCHEMA=schema, **members)
