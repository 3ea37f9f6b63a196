"""Signing films: what is ordered, what comes of it, and the protocol that `media.provenance` implements."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class SignRefused(Exception):
    """A film that was not signed. The text is for its caller, and repeats no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredient:
    """A file that a film was made from."""

    title: str
    """Its place in the project, such as `scene-1/videos/….mp4`."""
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOrder:
    """A film to sign, and where the signed one is to lie."""

    film: Path
    out: Path
    title: str
    ingredients: Sequence[Ingredient]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signed film that lies at its place, as it was read back."""

    claim: str
    """The label of its manifest, `urn:c2pa:…`."""
    size_bytes: int
    sha256: str


class FilmSigner(Protocol):
    """Signs one film after the other."""

    async def sign(self, order: SignOrder) -> Signed:
        """Signs a film, and reads the signed one back; a cancelled call leaves no process. Raises SignRefused."""
        ...
