"""How the plan of a new script takes over what callers changed in the plan before by hand."""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from evergreen_server.film.composing.lengths import form_of
from evergreen_server.film.model import Actor, FilmSettings, Plan, PlannedLine, PlannedScene, PlannedShot
from evergreen_server.film.models import FilmModels
from evergreen_server.film.planning.drafting import Drafter

__all__ = ["Merger", "arranged"]

_One = TypeVar("_One")


@dataclass(frozen=True, slots=True, kw_only=True)
class Merger:
    """Merges scenes of a new script with those that they continue."""

    before: Plan
    settings: FilmSettings
    cast: Sequence[Actor]
    models: FilmModels
    drafter: Drafter

    def merged(self, old: PlannedScene, new: PlannedScene) -> PlannedScene:
        """Returns the scene with its id. Where the script says the same, it is the old one, with all edits.

        Else the script goes before edits, but only in what it says anew: each line by itself, and the shots together.
        Where the new settings do not bear the old shots, as with clips that are shorter, they are divided again.
        """
        retimed = self.settings.timing is not self.before.settings.timing and new.seconds is not None
        if old.script_digest == new.script_digest and not retimed and self._fit(old.shots):
            scene = replace(old, number=new.number, script_line=new.script_line)
        else:
            scene = replace(new, scene_id=old.scene_id, lines=_lines(old.lines, new.lines), shots=self._shots(old, new))
        return replace(scene, shots=tuple(map(self._recast, scene.shots)))

    def _shots(self, old: PlannedScene, new: PlannedScene) -> tuple[PlannedShot, ...]:
        if old.shots_digest == new.shots_digest:
            by = sum(shot.seconds for shot in new.shots) / sum(shot.seconds for shot in old.shots)
            stretched = tuple(replace(shot, seconds=shot.seconds * by) for shot in old.shots)
            if self._fit(stretched):
                return stretched
        pairs = _paired(old.shots, new.shots, lambda shot: shot.picture_prompt)
        return tuple(
            shot
            if match is None
            else replace(
                match,
                picture_prompt=shot.picture_prompt,
                motion_prompt=shot.motion_prompt,
                seconds=shot.seconds,
                cast=shot.cast,
            )
            for shot, match in zip(new.shots, pairs, strict=True)
        )

    def _fit(self, shots: Sequence[PlannedShot]) -> bool:
        forms = [(shot, form_of(shot, self.models)) for shot in shots]
        return all(form is not None and shot.seconds <= form.durations[-1] for shot, form in forms)

    def _recast(self, shot: PlannedShot) -> PlannedShot:
        """Returns a shot without who left the cast, and with who joined it and is named in what is seen."""
        had = {actor.name for actor in self.before.cast}
        has = {actor.name for actor in self.cast}
        joined = [name for name in self.drafter.mentioned(shot.picture_prompt) if name not in had]
        return replace(shot, cast=tuple(dict.fromkeys((*(name for name in shot.cast if name in has), *joined))))


def arranged(
    before: Sequence[PlannedScene], scenes: Sequence[PlannedScene], matches: Sequence[int | None]
) -> tuple[PlannedScene, ...]:
    """Returns the scenes of the new script in their order, with those that callers inserted after the same scene as
    before. Where the script's own order is as it was, an order of the caller's stays.
    """
    continued = {match: scene for scene, match in zip(scenes, matches, strict=True) if match is not None}
    lines = [before[match].script_line for match in matches if match is not None]
    kept = [
        (index, continued.get(index, scene))
        for index, scene in enumerate(before)
        if index in continued or not scene.script_digest
    ]
    if lines == sorted(lines):
        order = [scene for _, scene in kept]
        _insert(order, scenes)
    else:
        order = list(scenes)
        _insert(order, [scene for _, scene in kept])
    return tuple(order)


def _insert(order: list[PlannedScene], others: Sequence[PlannedScene]) -> None:
    """Puts each of the others that is not there after the one that it follows among them."""
    place = 0
    for scene in others:
        at = next((index for index, one in enumerate(order) if one is scene), None)
        if at is None:
            order.insert(place, scene)
            at = place
        place = at + 1


def _lines(old: Sequence[PlannedLine], new: Sequence[PlannedLine]) -> tuple[PlannedLine, ...]:
    """Returns the lines of a script with the ids of those that they continue; one that the script says as before is as
    the caller left it. What the caller added stays after the same line.
    """
    own = [line for line in old if not line.script_digest]
    scripted = [line for line in old if line.script_digest]
    matches = _paired(scripted, new, lambda line: line.script_digest, lambda line: f"{line.speaker}\n{line.text}")
    lines = [
        line
        if match is None
        else match
        if match.script_digest == line.script_digest
        else replace(line, line_id=match.line_id)
        for line, match in zip(new, matches, strict=True)
    ]
    follows = {line.line_id: (old[index - 1].line_id if index else "") for index, line in enumerate(old)}
    for line in own:
        places = [place for place, one in enumerate(lines, start=1) if one.line_id == follows[line.line_id]]
        lines.insert(places[-1] if places else 0, line)
    return tuple(lines)


def _paired(old: Sequence[_One], new: Sequence[_One], *keys: Callable[[_One], str]) -> list[_One | None]:
    """Returns for each new one the old one that it continues: of the same key, in their order, else the next left."""
    matches: dict[int, int] = {}
    taken: set[int] = set()
    for key in keys:
        places: dict[str, deque[int]] = defaultdict(deque)
        for index, one in enumerate(old):
            if index not in taken:
                places[key(one)].append(index)
        for index, one in enumerate(new):
            if index not in matches and places[key(one)]:
                matches[index] = places[key(one)].popleft()
                taken.add(matches[index])
    rest = iter([index for index in range(len(old)) if index not in taken])
    found = [matches.get(index, next(rest, None) if index not in matches else None) for index in range(len(new))]
    return [None if index is None else old[index] for index in found]
