"""From a plan and what was made for it to a cut: what is seen for how many frames, heard from when, read until when.

A scene begins at a whole frame, and its speech and captions with it. No transition moves anything.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from evergreen_server.film.composing.lengths import LinePlace, SceneLengths
from evergreen_server.film.cut.captions import Spoken, on_screen, spoken
from evergreen_server.film.cut.pacing import Pace
from evergreen_server.film.model import (
    FilmWarning,
    OutputKind,
    Plan,
    PlannedScene,
    PlannedShot,
    Speech,
    Transition,
    output_key,
)
from evergreen_server.film.screenplay.script import TransitionKind
from evergreen_server.film.statuses import Status
from evergreen_server.ports.media import Pauses
from evergreen_server.ports.timeline import Blend, Caption, Heard, Profile, Sound, Source, Span, Timeline

__all__ = ["Cut", "Substitution", "Used", "cut"]

_HELD_SECONDS: Final = 1.5
"""How long the last frame of a clip is held without a warning."""
_DECIDED: Final = frozenset({Status.THERE, Status.OLDER, Status.STILL, Status.LEFT_OUT})
_INSTEAD: Final = {
    Status.OLDER: "an older {} is used",
    Status.STILL: "its picture is seen instead of a {}",
    Status.LEFT_OUT: "left out, for want of its {}",
}
_BLENDS: Final = {
    TransitionKind.CUT: Blend.CUT,
    TransitionKind.DISSOLVE: Blend.DISSOLVE,
    TransitionKind.BLACK: Blend.BLACK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """The file that is used for an output: its present take, or an older one."""

    source: Source
    seconds: float | None = None
    """The measured length of a clip, of speech or of music."""
    digest: str = ""
    """That of the take, by which its job is known; empty for a file that the caller chose, like what follows."""
    take: int = 0
    job_id: str = ""
    millicredits: int = 0
    """What its job was charged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitution:
    """An output that could not be made, and what the cut has instead: OLDER, STILL or LEFT_OUT."""

    item_id: str
    """The shot or the line."""
    kind: OutputKind
    by: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    timeline: Timeline
    shots: tuple[str, ...]
    """By span, the shot that it shows."""
    items: tuple[str, ...]
    """By sound, the line that is spoken or the shot whose clip is heard; empty for music."""
    substitutions: tuple[Substitution, ...] = ()
    """In the order of the film."""
    warnings: tuple[FilmWarning, ...] = ()


def cut(
    plan: Plan,
    lengths: Mapping[str, SceneLengths],
    statuses: Mapping[str, Status],
    used: Mapping[str, Used],
    *,
    profile: Profile,
    pauses: Mapping[str, Pauses],
    music: Used | None = None,
) -> Cut:
    """Returns the cut of a plan for a profile.

    `lengths` are by scene, by measured speech; `pauses` by line; `statuses` and `used` by output. A scene whose shots
    are all left out is left out with its speech. Raises ValueError for outputs about which nobody has decided.
    """
    undecided = [key for key, status in statuses.items() if status not in _DECIDED]
    if undecided:
        raise ValueError("nobody has decided about " + ", ".join(undecided))
    editor = _Editor(plan, statuses, used, pauses, profile)
    for scene in plan.scenes:
        editor.add(scene, lengths[scene.scene_id])
    return editor.finish(music)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A spoken line in its scene; without a file it is only read."""

    line_id: str
    text: str
    start: float
    seconds: float
    file: Used | None

    @property
    def end(self) -> float:
        return self.start + self.seconds


class _Editor:
    """Puts scenes one after another."""

    def __init__(
        self,
        plan: Plan,
        statuses: Mapping[str, Status],
        used: Mapping[str, Used],
        pauses: Mapping[str, Pauses],
        profile: Profile,
    ) -> None:
        self._plan, self._statuses, self._used, self._pauses = plan, statuses, used, pauses
        self._fps, self._pace = profile.fps, Pace(profile.fps)
        self._spans: list[Span] = []
        self._shots: list[str] = []
        self._sounds: list[tuple[Sound, str]] = []
        self._said: list[Spoken] = []
        self._heard_until = 0.0
        """When the last line so far is over, in seconds from the start of the film."""
        self._written: list[Caption] = []
        self._ends: list[tuple[int, PlannedScene]] = []
        """The last span of each scene."""
        self._substitutions: list[Substitution] = []
        self._warnings: list[FilmWarning] = []

    def add(self, scene: PlannedScene, lengths: SceneLengths) -> None:
        """Adds a scene at the end."""
        shots = [
            (shot, length.seconds, self._file(shot.shot_id, OutputKind.CLIP))
            for shot, length in zip(scene.shots, lengths.shots, strict=True)
            if self._statuses.get(output_key(shot.shot_id, OutputKind.CLIP)) is not Status.LEFT_OUT
        ]
        self._note(scene, unseen=not shots)
        if not shots:
            return
        begin, lines = self._pace.seconds, self._lines(scene, lengths.lines)
        heard = any(line.file for line in lines)
        counts = self._pace.scene(
            [(seconds, clip.seconds if clip else None) for _, seconds, clip in shots],
            speech=max(line.end for line in lines) if heard else 0.0,
        )
        start = begin
        for (shot, _, clip), frames in zip(shots, counts, strict=True):
            self._show(scene, shot, clip, start, frames)
            start += frames / self._fps
        self._ends.append((len(self._spans) - 1, scene))
        seconds = self._pace.seconds - begin
        # Lines that nobody speaks here are read in the time that there is.
        pace = min(1.0, seconds / max(line.end for line in lines)) if lines and not heard else 1.0
        for line in lines:
            self._say(line, begin, pace)
        self._written += on_screen(scene.captions, start=begin, seconds=seconds)

    def finish(self, music: Used | None) -> Cut:
        """Returns all of it, with the transitions between scenes, and music throughout."""
        if self._spans:
            last = self._spans[-1]
            self._spans[-1] = replace(last, frames=last.frames + self._pace.until(self._heard_until))
        sounds = sorted(self._sounds, key=lambda sound: sound[0].start)
        if music and self._spans:
            sounds.insert(0, (Sound(source=music.source, heard=Heard.MUSIC, start=0.0, loop=True), ""))
        language = self._plan.settings.language
        captions = [*spoken(self._said, language=language, end=self._pace.seconds), *self._written]
        return Cut(
            timeline=Timeline(
                spans=self._blended(),
                sounds=tuple(sound for sound, _ in sounds),
                captions=tuple(sorted(captions, key=lambda caption: caption.start)),
                language=language,
            ),
            shots=tuple(self._shots),
            items=tuple(item for _, item in sounds),
            substitutions=tuple(self._substitutions),
            warnings=tuple(self._warnings),
        )

    def _show(self, scene: PlannedScene, shot: PlannedShot, clip: Used | None, start: float, frames: int) -> None:
        self._shots.append(shot.shot_id)
        if not clip:
            picture = self._used[output_key(shot.shot_id, OutputKind.PICTURE)]
            self._spans.append(Span(source=picture.source, frames=frames, still=True))
            return
        self._spans.append(Span(source=clip.source, frames=frames))
        seconds = frames / self._fps
        speaks = scene.lines and self._plan.settings.speech is Speech.IN_CLIP
        heard = Heard.SPEECH if speaks else Heard.CLIP
        sound = Sound(source=clip.source, heard=heard, start=round(start, 6), seconds=round(seconds, 6))
        self._sounds.append((sound, shot.shot_id))
        held = seconds - (clip.seconds or seconds)
        if held > _HELD_SECONDS:
            text = f"{shot.shot_id}: the last frame of its clip is held for {held:.1f} s"
            self._warnings.append(FilmWarning(code="PICTURE_HELD", message=text))

    def _lines(self, scene: PlannedScene, places: Sequence[LinePlace]) -> list[_Line]:
        texts = {line.line_id: line.text for line in scene.lines}
        files = [self._file(place.line_id, OutputKind.SPEECH) for place in places]
        return [
            _Line(
                line_id=place.line_id,
                text=texts[place.line_id],
                start=place.start,
                seconds=(file.seconds if file else None) or place.seconds,
                file=file,
            )
            for place, file in zip(places, files, strict=True)
        ]

    def _say(self, line: _Line, begin: float, pace: float) -> None:
        start = begin + line.start * pace
        if line.file:
            sound = Sound(source=line.file.source, heard=Heard.SPEECH, start=round(start, 6))
            self._sounds.append((sound, line.line_id))
            self._heard_until = max(self._heard_until, start + line.seconds)
        pauses = self._pauses.get(line.line_id, ()) if line.file else ()
        self._said.append(Spoken(text=line.text, start=start, seconds=line.seconds * pace, pauses=pauses))

    def _blended(self) -> tuple[Span, ...]:
        """Returns the spans with the transitions between scenes, each of which takes at most half of a span."""
        spans = list(self._spans)
        for last, scene in self._ends:
            after = spans[last + 1 : last + 2]
            # The film ends with a transition only where its last scene asks for one itself.
            transition = scene.transition or (self._plan.settings.transition if after else Transition())
            blend = _BLENDS[transition.kind]
            half = min(round(transition.seconds * self._fps / 2), *(span.frames // 2 for span in (spans[last], *after)))
            if half > 0 and blend is not Blend.CUT and (after or blend is Blend.BLACK):
                spans[last] = replace(spans[last], blend=blend, blend_frames=2 * half)
        return tuple(spans)

    def _file(self, item_id: str, kind: OutputKind) -> Used | None:
        """Returns the file of an output; None where it is left out, or replaced, or no output of this film."""
        key = output_key(item_id, kind)
        return self._used[key] if self._statuses.get(key) in (Status.THERE, Status.OLDER) else None

    def _note(self, scene: PlannedScene, *, unseen: bool) -> None:
        """Notes what of a scene is not as planned: its speech too, where nothing of it is seen."""
        for item_id, kind in _outputs(scene):
            status = self._statuses.get(output_key(item_id, kind))
            text = _INSTEAD[status].format(kind) if status in _INSTEAD else ""
            if status and unseen and kind is OutputKind.SPEECH:
                status, text = Status.LEFT_OUT, "not heard, since nothing of its scene is seen"
            if status and text:
                self._substitutions.append(Substitution(item_id=item_id, kind=kind, by=status))
                self._warnings.append(FilmWarning(code="OUTPUT_REPLACED", message=f"{item_id}: {text}"))


def _outputs(scene: PlannedScene) -> Iterator[tuple[str, OutputKind]]:
    for line in scene.lines:
        yield line.line_id, OutputKind.SPEECH
    for shot in scene.shots:
        yield shot.shot_id, OutputKind.PICTURE
        yield shot.shot_id, OutputKind.CLIP
