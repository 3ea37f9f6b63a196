"""The texts that are sent to models: what a picture shows, and what moves in a clip."""

from collections.abc import Sequence
from dataclasses import dataclass

from evergreen_server.film.model import Actor, Camera, PlannedLine

__all__ = ["Prompt", "clip_prompt", "picture_prompt", "shortened"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    text: str
    cut: bool
    """Whether something was left out, since the model takes no more."""


def shortened(text: str, most: int | None, language: str = "") -> Prompt:
    """Returns a text of at most so many UTF-16 code units: cut after a sentence, else after a word, else anywhere."""
    raise NotImplementedError


def picture_prompt(
    *, style: str, visual: str, cast: Sequence[tuple[Actor, str]], most: int | None, language: str = ""
) -> Prompt:
    """Returns style, what is seen, and who: each actor with the tag of a reference, "" without one."""
    raise NotImplementedError


def clip_prompt(
    *,
    motion: str,
    camera: Camera,
    spoken: Sequence[PlannedLine] = (),
    most: int | None,
    language: str = "",
) -> Prompt:
    """Returns what moves, and what is said, of which nothing is ever left out: it may then be longer than `most`."""
    raise NotImplementedError
