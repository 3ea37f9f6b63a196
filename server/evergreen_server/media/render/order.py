"""What the service tells a renderer's process and what that answers: lines of JSON.

The answers come from a process that a hostile file may have taken over, so they are read as data, never as code.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from evergreen_server.ports.rendering import Rendered, RenderOrder, RenderRefused
from evergreen_server.ports.timeline import (
    Blend,
    Caption,
    Captions,
    Fit,
    Heard,
    Profile,
    Sound,
    Source,
    Span,
    Timeline,
)

_CODES = ("CLIP_UNSUPPORTED", "RENDER_FAILED")
_LONGEST_TEXT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One process for an order."""

    mark: str
    """In the names of its unfinished files."""
    segments_at_once: int
    progress_seconds: float
    cache_bytes: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far a renderer is: frames that are there, and the spans that it works on."""

    done: int
    spans: tuple[int, ...]


Answer: TypeAlias = Step | Rendered | RenderRefused


def order_line(order: RenderOrder, attempt: Attempt) -> bytes:
    """Returns an order as a line."""
    return json.dumps({"order": asdict(order), "attempt": asdict(attempt)}, default=str).encode() + b"\n"


def read_order(line: bytes) -> tuple[RenderOrder, Attempt]:
    """Reads what `order_line` returned."""
    message = json.loads(line)
    order, timeline, profile = message["order"], message["order"]["timeline"], message["order"]["profile"]
    made = RenderOrder(
        timeline=Timeline(
            spans=tuple(
                Span(**{**span, "source": _source(span["source"]), "blend": Blend(span["blend"])})
                for span in timeline["spans"]
            ),
            sounds=tuple(
                Sound(**{**sound, "source": Source(**sound["source"]), "heard": Heard(sound["heard"])})
                for sound in timeline["sounds"]
            ),
            captions=tuple(
                Caption(**{**caption, "lines": tuple(caption["lines"])}) for caption in timeline["captions"]
            ),
            language=timeline["language"],
        ),
        profile=Profile(**{**profile, "fit": Fit(profile["fit"]), "captions": Captions(profile["captions"])}),
        files={sha256: Path(path) for sha256, path in order["files"].items()},
        out=Path(order["out"]),
        cache=Path(order["cache"]),
        scratch=Path(order["scratch"]),
        caption_font=order["caption_font"],
    )
    return made, Attempt(**message["attempt"])


def answer_line(answer: Answer) -> bytes:
    """Returns an answer as a line."""
    match answer:
        case Step():
            message: Mapping[str, object] = asdict(answer)
        case Rendered():
            message = {"rendered": asdict(answer)}
        case RenderRefused():
            text = str(answer)[:_LONGEST_TEXT]
            message = {"refused": {"code": answer.code, "span": answer.span, "sound": answer.sound, "text": text}}
    return json.dumps(message).encode() + b"\n"


def read_answer(line: bytes) -> Answer:
    """Reads what `answer_line` returned. Raises ValueError where a line is no answer, whatever else it is."""
    try:
        return _answer(json.loads(line))
    except (TypeError, LookupError, ArithmeticError, RecursionError) as exc:
        raise ValueError("no answer of a renderer") from exc


def _answer(message: Mapping[str, Any]) -> Answer:
    if "rendered" in message:
        made = message["rendered"]
        return Rendered(
            frames=int(made["frames"]),
            seconds=float(made["seconds"]),
            lufs=_number(made["lufs"]),
            peak_dbtp=_number(made["peak_dbtp"]),
            size_bytes=int(made["size_bytes"]),
            sha256=str(made["sha256"]),
            copied=bool(made["copied"]),
            segments_made=int(made["segments_made"]),
            segments_reused=int(made["segments_reused"]),
            warnings=tuple(str(warning)[:_LONGEST_TEXT] for warning in made["warnings"]),
        )
    if "refused" in message:
        why = message["refused"]
        if why["code"] not in _CODES:
            raise ValueError("no code of a renderer")
        return RenderRefused(
            str(why["text"])[:_LONGEST_TEXT], code=why["code"], span=_index(why["span"]), sound=_index(why["sound"])
        )
    return Step(done=int(message["done"]), spans=tuple(int(index) for index in message["spans"]))


def _source(message: Mapping[str, str] | None) -> Source | None:
    return None if message is None else Source(**message)


def _number(message: object) -> float | None:
    return None if message is None else float(str(message))


def _index(message: object) -> int | None:
    return None if message is None else int(str(message))
