"""Captions as files: SubRip, which every player and editor reads, and WebVTT, which browsers read."""

import re
from collections.abc import Iterable
from typing import Final

from evergreen_server.ports.timeline import Caption

__all__ = ["srt", "vtt"]

# SubRip has no way to write what it would take for a mark-up, a time, or the number of the next caption. A character
# that shows nothing keeps it from that; FFmpeg does the same.
_WORD_JOINER: Final = "\u2060"
_MARKUP: Final = re.compile(
    r"(?<=--)(?=>)"
    r"|(?<=<)(?=\s*/?\s*[A-Za-z])"
    r"|(?<=\{)(?=[\\A-Za-z])"
    r"|(?<=\\)(?=[A-Za-z{}])"
    r"|(?<=\d:)(?=\d+:\d+[.,]\d)"
)
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def srt(captions: Iterable[Caption]) -> str:
    """Returns captions as a SubRip file; where one stands at the top, by the mark that players know for it."""
    blocks = []
    for number, caption in enumerate(captions, start=1):
        text = "\n".join(map(_harmless, caption.lines))
        place = r"{\an8}" if caption.top else ""
        blocks.append(f"{number}\n{_time(caption.start, ',')} --> {_time(caption.end, ',')}\n{place}{text}\n\n")
    return "".join(blocks)


def vtt(captions: Iterable[Caption]) -> str:
    """Returns captions as a WebVTT file."""
    blocks = ["WEBVTT\n\n"]
    for caption in captions:
        text = "\n".join(map(_escaped, caption.lines))
        place = " line:0" if caption.top else ""
        blocks.append(f"{_time(caption.start, '.')} --> {_time(caption.end, '.')}{place}\n{text}\n\n")
    return "".join(blocks)


def _time(seconds: float, point: str) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{milliseconds:03}"


def _harmless(line: str) -> str:
    line = _MARKUP.sub(_WORD_JOINER, line)
    return line + _WORD_JOINER if line.isdigit() else line


def _escaped(line: str) -> str:
    return "".join(_ENTITIES.get(character, character) for character in line)
