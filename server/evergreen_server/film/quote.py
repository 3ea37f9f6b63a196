"""What a run of a plan may cost at most, and what of it is there already."""

from collections.abc import Mapping
from dataclasses import dataclass

from evergreen_server.film.choices import FilmModels
from evergreen_server.film.composing import Files
from evergreen_server.film.digests import Redo, Standing
from evergreen_server.film.model import FilmWarning, OutputKind, Plan

__all__ = ["DailyLimits", "Quote", "QuoteItem", "quote"]


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
    raise NotImplementedError
