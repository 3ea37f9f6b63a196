"""What a run of a plan may cost at most, and what of it is there already."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from evergreen_server.film.composing.compose import Files
from evergreen_server.film.composing.lengths import lengths_of
from evergreen_server.film.composing.prompts import utf16_units
from evergreen_server.film.digests import Redo, Standing, renews
from evergreen_server.film.model import FilmWarning, FirstFrame, OutputKind, Plan, PlannedShot, output_key
from evergreen_server.film.models import FilmModels
from evergreen_server.film.outputs import Wanted, composed_of, wanted_of
from evergreen_server.ports.specs import GenerationSpec

__all__ = ["DailyLimits", "Quote", "QuoteItem", "quote"]

_NAMED: Final = 10
"""Shots and lines that a warning names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyLimits:
    """How many of each the provider's tier makes within any 24 hours; None where that is not known."""

    pictures: int | None = None
    speech: int | None = None
    clips: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteItem:
    """One output."""

    item_id: str
    """The shot or the line."""
    kind: OutputKind
    model: str
    quantity: int
    """Pictures; whole seconds of a clip, the longest that may be asked for; UTF-16 code units of speech."""
    millicredits: int | None
    """The most that one attempt may cost; None where the price is not known. Of a reused output, what it has cost."""
    reused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    millicredits: int | None
    """The sum of all that is made anew; None where one price is not known."""
    reused_millicredits: int
    """What the outputs that are reused have cost."""
    items: tuple[QuoteItem, ...]
    unpriced: tuple[str, ...]
    """The shots and lines of which an output has no known price."""
    seconds: float
    """How long the film will be, as far as is known."""
    provider_days: int | None
    """How many days the provider's tier takes at least; None where its limits are not known, 0 with nothing to make."""
    warnings: tuple[FilmWarning, ...] = ()


def quote(
    plan: Plan,
    models: FilmModels,
    standings: Mapping[str, Standing],
    *,
    measured: Mapping[str, float],
    spent: Mapping[str, int],
    limits: DailyLimits,
    redo: Redo = Redo.CHANGED,
    files: Files,
) -> Quote:
    """Returns the most that a run may cost, however long the speech turns out to be.

    `standings` and `spent`, in millicredits, are by key; `measured` by line (see `outputs`). A clip counts as new where
    its first frame is to be made anew, or speech that may change its length.
    """
    anew = _anew(plan, models, standings, redo)
    lengths = {scene.scene_id: lengths_of(scene, plan.settings, models, measured) for scene in plan.scenes}
    unmeasured = {scene.scene_id for scene, line in plan.lines() if line.line_id not in measured}
    items: list[QuoteItem] = []
    for wanted in wanted_of(plan):
        if wanted.chosen is not None:
            continue
        within = lengths[wanted.scene.scene_id]
        spec = composed_of(plan, models, wanted, files, measured=measured, lengths=within).spec
        if wanted.kind is OutputKind.CLIP:
            length = within.shots[_place(wanted)]
            seconds = length.clip_longest if wanted.scene.scene_id in unmeasured else length.clip_seconds
            spec = replace(spec, duration_seconds=seconds)
        new = wanted.key in anew
        items.append(
            QuoteItem(
                item_id=wanted.item_id,
                kind=wanted.kind,
                model=spec.model,
                quantity=_quantity(wanted.kind, spec),
                millicredits=models.table.quote(spec) if new else spent.get(wanted.key, 0),
                reused=not new,
            )
        )
    return _summed(items, limits, sum(length.seconds for length in lengths.values()))


def _anew(plan: Plan, models: FilmModels, standings: Mapping[str, Standing], redo: Redo) -> set[str]:
    """Returns the keys of all outputs that a run may make."""
    anew: set[str] = set()
    spoken: set[str] = set()
    stretching = {
        scene.scene_id: [
            length.clip_shortest < length.clip_longest for length in lengths_of(scene, plan.settings, models, {}).shots
        ]
        for scene in plan.scenes
    }
    """By scene, of which of its shots the clip's length follows speech."""
    before = ""
    for wanted in wanted_of(plan):
        if wanted.chosen is None and renews(redo, standings[wanted.key]):
            anew.add(wanted.key)
            if wanted.kind is OutputKind.SPEECH:
                spoken.add(wanted.scene.scene_id)
        if wanted.kind is OutputKind.CLIP:
            assert isinstance(wanted.item, PlannedShot)
            previous = wanted.item.first_frame is FirstFrame.PREVIOUS_CLIP
            first = before if previous else output_key(wanted.item_id, OutputKind.PICTURE)
            stretched = wanted.scene.scene_id in spoken and stretching[wanted.scene.scene_id][_place(wanted)]
            if wanted.chosen is None and redo is not Redo.MISSING and (first in anew or stretched):
                anew.add(wanted.key)
            before = wanted.key
    return anew


def _place(wanted: Wanted) -> int:
    """Returns the place of a shot in its scene."""
    return next(index for index, shot in enumerate(wanted.scene.shots) if shot is wanted.item)


def _quantity(kind: OutputKind, spec: GenerationSpec) -> int:
    match kind:
        case OutputKind.PICTURE:
            count = spec.parameters.get("output_count", 1)
            return count if isinstance(count, int) else 1
        case OutputKind.CLIP:
            return spec.whole_seconds or 0
        case OutputKind.SPEECH:
            return utf16_units(spec.prompt_text)


def _summed(items: Sequence[QuoteItem], limits: DailyLimits, seconds: float) -> Quote:
    new = [item for item in items if not item.reused]
    unpriced = tuple(dict.fromkeys(item.item_id for item in new if item.millicredits is None))
    days = _days(new, limits)
    warnings: list[FilmWarning] = []
    if unpriced:
        named = ", ".join(unpriced[:_NAMED]) + (f" and {len(unpriced) - _NAMED} more" if len(unpriced) > _NAMED else "")
        warnings.append(FilmWarning(code="PRICE_UNKNOWN", message=f"An output has no known price: {named}."))
    if days is not None and days > 1:
        text = f"By what the provider's tier makes in a day, this film takes at least {days} days."
        warnings.append(FilmWarning(code="DAILY_LIMIT", message=text))
    return Quote(
        millicredits=None if unpriced else sum(item.millicredits or 0 for item in new),
        reused_millicredits=sum(item.millicredits or 0 for item in items if item.reused),
        items=tuple(items),
        unpriced=unpriced,
        seconds=seconds,
        provider_days=days,
        warnings=tuple(warnings),
    )


def _days(new: Sequence[QuoteItem], limits: DailyLimits) -> int | None:
    if not new:
        return 0
    counts: Counter[OutputKind] = Counter()
    for item in new:
        counts[item.kind] += item.quantity if item.kind is OutputKind.PICTURE else 1
    daily = {
        OutputKind.PICTURE: limits.pictures,
        OutputKind.SPEECH: limits.speech,
        OutputKind.CLIP: limits.clips,
    }
    days = [math.ceil(count / most) for kind, count in counts.items() if (most := daily[kind]) is not None and most > 0]
    return max(days, default=None)
