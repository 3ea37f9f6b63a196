"""Which scene of a new script continues which of the old one, so that it keeps its id and what was made for it."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from evergreen_server.film.model import PlannedScene

__all__ = ["continued", "scene_ids"]

_ALIKE: Final = 0.3
"""Of the telling words of two scenes, how many both have, from 0 to 1. Unlike scenes of one film seldom reach 0.2."""
_SAME_PLACE: Final = 0.15
"""What it adds to the likeness of two scenes that they come after the same scene."""
_SAME_NUMBER: Final = 0.1
_COMMON: Final = 0.1
"""A word in more than this part of all scenes tells none of them from another."""
_WORD: Final = re.compile(r"\w+")


def continued(before: Sequence[PlannedScene], after: Sequence[PlannedScene]) -> tuple[int | None, ...]:
    """Returns for each new scene the index of the old scene that it continues; None for a scene that is new.

    Scenes of which the script says the same are matched first, whatever was edited since, then those that look the
    same, then the likest, and last those of the same number. A number alone tells little: whoever inserts a scene may
    count anew.
    """
    pairing = _Pairing(old=[_Looks.of(scene) for scene in before], new=[_Looks.of(scene) for scene in after])
    pairing.same(lambda looks: (looks.number, looks.digest) if looks.digest else None)
    pairing.same(lambda looks: looks.digest or None)
    pairing.same(lambda looks: (looks.number, looks.content))
    pairing.same(lambda looks: looks.content)
    pairing.alike()
    pairing.same(lambda looks: looks.number or None)
    return tuple(pairing.matches.get(index) for index in range(len(after)))


def scene_ids(
    matches: Iterable[int | None], before: Sequence[str], *, prefix: str, used: int
) -> tuple[tuple[str, ...], int]:
    """Returns the id of each new scene, and the highest number used by then: a number is never used again."""
    ids: list[str] = []
    for match in matches:
        if match is None:
            used += 1
        ids.append(f"{prefix}-{used}" if match is None else before[match])
    return tuple(ids), used


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looks:
    number: str
    digest: str
    """Of what the script says."""
    content: str
    words: frozenset[str]

    @classmethod
    def of(cls, scene: PlannedScene) -> "_Looks":
        spoken = [part for line in scene.lines for part in (line.speaker, line.text)]
        seen = [shot.picture_prompt for shot in scene.shots]
        content = "\n".join((scene.title, *seen, *spoken, *scene.captions))
        words = frozenset(_WORD.findall(content.casefold()))
        return cls(number=scene.number, digest=scene.script_digest, content=content, words=words)


@dataclass(slots=True, kw_only=True)
class _Pairing:
    old: list[_Looks]
    new: list[_Looks]
    matches: dict[int, int] = field(default_factory=dict)
    """Old scenes by new."""

    def same(self, key: Callable[[_Looks], object]) -> None:
        """Pairs what is left and has the same key, in its order; None is no key."""
        places: dict[object, list[int]] = defaultdict(list)
        for index in reversed(self._left(self.old, self.matches.values())):
            places[key(self.old[index])].append(index)
        for index in self._left(self.new, self.matches):
            wanted = key(self.new[index])
            if wanted is not None and places[wanted]:
                self.matches[index] = places[wanted].pop()

    def alike(self) -> None:
        """Pairs what is left from the likest on; of equals the nearest."""
        telling = self._telling()
        old = {index: self.old[index].words & telling for index in self._left(self.old, self.matches.values())}
        new = {index: self.new[index].words & telling for index in self._left(self.new, self.matches)}
        before, after = self._places()
        found: list[tuple[float, int, int, int]] = []
        for there, its in new.items():
            for here, words in old.items():
                likeness = 2 * len(its & words) / max(1, len(its) + len(words))
                likeness += _SAME_PLACE if before[here] == after[there] else 0
                likeness += (
                    _SAME_NUMBER if self.old[here].number and self.old[here].number == self.new[there].number else 0
                )
                if likeness >= _ALIKE:
                    found.append((-likeness, abs(there - here), there, here))
        taken = set(self.matches.values())
        for _, _, there, here in sorted(found):
            if there not in self.matches and here not in taken:
                self.matches[there] = here
                taken.add(here)

    def _places(self) -> tuple[list[int], list[int]]:
        """Returns for each old and for each new scene which matched old scene comes before it; -1 for none."""
        taken = set(self.matches.values())
        before = list(
            accumulate(range(len(self.old)), lambda last, index: index if index in taken else last, initial=-1)
        )
        after = list(accumulate(range(len(self.new)), lambda last, index: self.matches.get(index, last), initial=-1))
        return before, after

    def _telling(self) -> frozenset[str]:
        """Returns the words that tell scenes apart: those in few of them."""
        count = Counter(word for looks in (*self.old, *self.new) for word in looks.words)
        # A word in one old and one new scene is none too common, however short the film.
        most = max(3, _COMMON * (len(self.old) + len(self.new)))
        return frozenset(word for word, times in count.items() if times <= most)

    @staticmethod
    def _left(scenes: Sequence[_Looks], taken: Iterable[int]) -> list[int]:
        gone = set(taken)
        return [index for index in range(len(scenes)) if index not in gone]
