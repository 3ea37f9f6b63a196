"""The texts that are sent to models: what a picture shows, and what moves and is said in a clip."""

from collections.abc import Sequence
from dataclasses import dataclass

from evergreen_server.film.model import Actor, Camera, PlannedLine
from evergreen_server.film.screenplay.sentences import sentences_of
from evergreen_server.film.screenplay.source import squeezed

__all__ = ["Prompt", "clip_prompt", "picture_prompt", "shortened", "utf16_units"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    text: str
    cut: bool
    """Whether something was left out, since the model takes no more."""


def utf16_units(text: str) -> int:
    """Returns how long a text is as models count: in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def shortened(text: str, most: int | None, language: str = "") -> Prompt:
    """Returns a text of at most so many UTF-16 code units: cut after a sentence, else after a word, else anywhere."""
    if most is None or utf16_units(text) <= most:
        return Prompt(text=text, cut=False)
    kept, room = "", most
    for sentence in sentences_of(text, language):
        room -= utf16_units(sentence) + bool(kept)
        if room < 0:
            break
        kept = f"{kept} {sentence}" if kept else sentence
    if not kept:
        kept = _within(squeezed(text), most)
        kept = kept.rpartition(" ")[0] or kept
    return Prompt(text=kept, cut=True)


def picture_prompt(
    *, style: str, visual: str, cast: Sequence[tuple[Actor, str]], most: int | None, language: str = ""
) -> Prompt:
    """Returns style, what is seen, and who: each actor with the tag of a reference, "" without one.

    What is too long is cut from what is seen first, then from who, and last from the style.
    """
    parts = [_ended(style), _ended(visual), " ".join(filter(None, (_introduced(actor, tag) for actor, tag in cast)))]
    return _joined(parts, (1, 2, 0), most, language)


def clip_prompt(
    *,
    motion: str,
    camera: Camera,
    spoken: Sequence[PlannedLine] = (),
    most: int | None,
    language: str = "",
) -> Prompt:
    """Returns what moves, and what is said, of which nothing is ever left out: it may then be longer than `most`."""
    said = " ".join(_said(line) for line in spoken)
    still = "The camera does not move." if camera is Camera.STATIC else ""
    fixed = " ".join(part for part in (still, said) if part)
    room = None if most is None else max(0, most - utf16_units(fixed) - bool(fixed))
    moving = shortened(_ended(motion) if fixed else motion.strip(), room, language)
    return Prompt(text=" ".join(part for part in (moving.text, fixed) if part), cut=moving.cut)


def _joined(parts: list[str], sacrificed: Sequence[int], most: int | None, language: str) -> Prompt:
    """Returns the parts with a space between, cut in the given order, none to less than its share."""
    cut = False
    if most is not None:
        room = most - max(0, sum(map(bool, parts)) - 1)
        for index in sacrificed:
            others = sum(utf16_units(part) for place, part in enumerate(parts) if place != index)
            kept = shortened(parts[index], max(room - others, room // len(parts)), language)
            parts[index], cut = kept.text, cut or kept.cut
    return Prompt(text=" ".join(part for part in parts if part), cut=cut)


def _introduced(actor: Actor, tag: str) -> str:
    name = f"{actor.name} (@{tag})" if tag else actor.name
    return _ended(f"{name}: {actor.description}") if actor.description else f"{name}." if tag else ""


def _said(line: PlannedLine) -> str:
    speaker = line.speaker or "A narrator who is not seen"
    how = f", {line.direction}," if line.direction else ""
    return f"{speaker}{how} says: “{line.text}”"


def _ended(text: str) -> str:
    text = text.strip()
    return f"{text}." if text and text[-1].isalnum() else text


def _within(text: str, most: int) -> str:
    """Returns the beginning of a text, with no character in halves."""
    return text.encode("utf-16-le", "surrogatepass")[: 2 * most].decode("utf-16-le", "ignore")
