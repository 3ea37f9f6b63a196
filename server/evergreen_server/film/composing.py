"""The request for each output of a film, and the basis that it is known by: both from one function."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evergreen_server.film.choices import FilmModels
from evergreen_server.film.digests import Basis
from evergreen_server.film.model import FilmWarning, OutputKind, Plan, PlannedLine, PlannedScene, PlannedShot
from evergreen_server.ports.specs import GenerationSpec
from evergreen_server.ports.timeline import Source

__all__ = ["Composed", "File", "Files", "compose_clip", "compose_picture", "compose_speech", "files_of"]

File = tuple[str, str]
"""A scene id and the path of an asset in it, such as `("my-film", "images/ada.png")`."""
Files = Mapping[File, str]
"""The SHA-256 (hex) of files by their place; one that is not in it is not there, or nobody looked."""


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


def compose_picture(plan: Plan, models: FilmModels, scene: PlannedScene, shot: PlannedShot, files: Files) -> Composed:
    """Returns the request for a shot's picture."""
    raise NotImplementedError


def compose_clip(
    plan: Plan,
    models: FilmModels,
    scene: PlannedScene,
    shot: PlannedShot,
    *,
    picture: Source | None,
    measured: Mapping[str, float],
) -> Composed:
    """Returns the request for a shot's clip, as long as the measured speech of its scene asks for.

    `picture` is its first frame: the shot's picture; or, for PREVIOUS_CLIP, the last frame of the clip before it with
    the SHA-256 of that clip. None for a clip from text alone, or where the picture is not made yet: then the request
    has a place in its stead, good for a quote alone.
    """
    raise NotImplementedError


def compose_speech(plan: Plan, models: FilmModels, line: PlannedLine, files: Files) -> Composed:
    """Returns the request for the speech of a line."""
    raise NotImplementedError


def files_of(plan: Plan) -> Iterator[tuple[str, File]]:
    """Yields every file that a caller named, with the field that names it, such as `cast[0].assets[1]`."""
    raise NotImplementedError
