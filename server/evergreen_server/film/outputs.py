"""Which outputs a plan wants, and how those that were made stand to it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evergreen_server.film.choices import FilmModels
from evergreen_server.film.composing import Files
from evergreen_server.film.digests import Basis, Standing
from evergreen_server.film.model import OutputKind, Plan, PlannedLine, PlannedScene, PlannedShot, output_key
from evergreen_server.ports.timeline import Source

__all__ = ["Made", "Wanted", "measured_of", "standings_of", "wanted_of"]


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
    """Yields every output in the order of the film: of each scene its speech, then of each shot picture and clip."""
    raise NotImplementedError


def measured_of(plan: Plan, made: Mapping[str, Made], standings: Mapping[str, Standing]) -> dict[str, float]:
    """Returns by line the seconds of the speech that stands for the plan."""
    raise NotImplementedError


def standings_of(plan: Plan, models: FilmModels, made: Mapping[str, Made], files: Files) -> dict[str, Standing]:
    """Returns by key how every output of the plan stands. One that the caller chose is CURRENT if its file is known."""
    raise NotImplementedError
