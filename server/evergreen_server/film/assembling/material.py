"""What an export is made of, and what may prevent it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from evergreen_server.film.composing.compose import File
from evergreen_server.film.cut.cutting import Used
from evergreen_server.film.digests import Basis
from evergreen_server.film.model import Plan
from evergreen_server.film.models import FilmModels
from evergreen_server.film.statuses import Status
from evergreen_server.ports.timeline import Profile

__all__ = ["Claim", "CutRefused", "FileLost", "Material"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The execution that makes the exports of a run; once there is a newer one, it records nothing more."""

    project_id: str
    film_id: str
    run: int
    leg: int
    execution: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A plan, how each of its outputs stands, and their files."""

    plan: Plan
    plan_revision: int
    models: FilmModels
    statuses: Mapping[str, Status]
    """By output; each is decided about."""
    used: Mapping[str, Used]
    """By output; the length of a file that the caller chose is not known yet."""
    bases: Mapping[str, Basis] = field(default_factory=dict)
    """By output, what its job was asked for; none of a file that the caller chose."""
    instead: Mapping[str, Status] = field(default_factory=dict)
    """By output, what stands in for it where its file cannot be used; of others somebody decides."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """By line, the seconds of its speech, as far as they are known."""
    music: Used | None = None
    """Without a SHA-256 if it is not there."""
    profiles: tuple[Profile, ...] = ()
    """The forms that are asked for; none are those of the plan."""


class FileLost(Exception):
    """A file is gone, or has another content than it had when it was looked at."""

    def __init__(self, place: File) -> None:
        super().__init__("/".join(place))
        self.place = place


class CutRefused(Exception):
    """The film cannot be rendered, however often it is tried; the text is for the caller.

    `code` is CLIP_UNSUPPORTED, RENDER_FAILED, or ASSET_NOT_FOUND of the music. `item_id` is the shot or the line at
    fault, where that is known.
    """

    def __init__(self, text: str, *, code: str, item_id: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.item_id = item_id
