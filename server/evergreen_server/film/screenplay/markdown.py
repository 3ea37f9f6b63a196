"""Scripts in Markdown: `## Scene n: title`, visuals plain or in italics, `**Name**: text`, `> ` on the screen."""

import re
from dataclasses import replace
from typing import Final

from evergreen_server.film.screenplay.cast import Names
from evergreen_server.film.screenplay.drafts import SceneDraft, unquoted
from evergreen_server.film.screenplay.header import HeaderReader, is_indented, key_and_value
from evergreen_server.film.screenplay.inline import plain_text
from evergreen_server.film.screenplay.script import Faults, Header, Script, ScriptFormat
from evergreen_server.film.screenplay.source import Lines, squeezed

__all__ = ["front_matter_end", "read_markdown"]

_HEADING: Final = re.compile(r"(#{1,6}) (.*)")
_NUMBERED: Final = re.compile(r"scene (\w{1,10}) ?(?:[:.–—-] ?(.*))?", re.IGNORECASE)
_RULE: Final = re.compile(r"-{3,}|\*{3,}|_{3,}")
_SPOKEN: Final = re.compile(
    r"\*\*([^*()]{1,60}?) ?(?:\(([^()*]{0,200})\))? ?(?::\*\*|\*\*(?: ?\(([^()]{0,200})\))? ?:) ?(.*)"
)
_COMMENT: Final = re.compile(r"(<!--|-->)")
_LIST: Final = re.compile(r"^(?:[-+*]|\d{1,3}[.)]) (?=\S)")


def front_matter_end(lines: Lines) -> int:
    """Returns the index of the line that ends the front matter; 0 if the text begins with none."""
    if not lines or lines[0].rstrip() != "---":
        return 0
    return next((index for index, line in enumerate(lines) if index and line.rstrip() in ("---", "...")), 0)


def read_markdown(lines: Lines, faults: Faults) -> Script:
    """Returns the script of a text in Markdown; what is wrong with it is added to the faults."""
    reader = HeaderReader(faults)
    end = front_matter_end(lines)
    for number, line in enumerate(lines[1:end], start=2):
        _read_setting(number, line, reader, faults)
    header = reader.header()
    body = _Body(Names(header.cast), faults)
    for number, line in enumerate(_without_comments(lines, faults), start=1):
        if number > end + (end > 0):
            body.take(number, squeezed(line))
    return body.script(header)


def _read_setting(number: int, line: str, reader: HeaderReader, faults: Faults) -> None:
    if is_indented(line) or line.startswith("- "):
        reader.go_on(number, line)
    elif pair := key_and_value(line):
        key, value = pair
        reader.set(number, key, unquoted(value) or value)
    elif line.strip() and not line.startswith("#"):
        faults.add(number, "a line of the front matter is Key: value")


def _without_comments(lines: Lines, faults: Faults) -> list[str]:
    """Returns the lines without `<!-- … -->`, as many as before."""
    clear: list[str] = []
    opened = 0
    for number, line in enumerate(lines, start=1):
        kept: list[str] = []
        for part in _COMMENT.split(line):
            if part == ("-->" if opened else "<!--"):
                opened = 0 if opened else number
            elif not opened:
                kept.append(part)
        clear.append("".join(kept))
    if opened:
        faults.add(opened, "a comment that begins with <!-- is never closed with -->")
    return clear


class _Body:
    """The scenes by block: blocks are parted by empty lines, and by a change of their kind."""

    def __init__(self, names: Names, faults: Faults) -> None:
        self._names = names
        self._faults = faults
        self._drafts: list[SceneDraft] = []
        self._preface: list[str] = []
        self._title = ""
        self._kind = ""
        self._first = 0
        self._speaker = ""
        self._direction = ""
        self._block: list[str] = []

    def take(self, number: int, line: str) -> None:
        """Takes a line with single spaces."""
        heading = _HEADING.fullmatch(line)
        if not line:
            self._close()
        elif heading:
            self._close()
            self._head(number, len(heading[1]), plain_text(heading[2]))
        elif _RULE.fullmatch(line):
            self._close()
            self._drafts.append(SceneDraft(line=number, title=""))
        elif line.startswith(("```", "~~~")):
            self._close()
            self._faults.add(number, "a block of code is neither seen nor spoken")
        elif line.startswith(">"):
            self._begin("shown", number, line.lstrip("> "))
        elif found := _SPOKEN.fullmatch(line):
            self._close()
            self._begin("spoken", number, found[4])
            self._speaker = self._names.speaker(plain_text(found[1]).removesuffix(":"))
            self._direction = found[2] or found[3] or ""
        elif self._kind == "spoken":
            self._block.append(line)
        else:
            self._begin("seen", number, _LIST.sub("", line, count=1))

    def script(self, header: Header) -> Script:
        """Returns what was read."""
        self._close()
        # A rule at the very end, or before a heading, begins nothing.
        drafts = [draft for draft in self._drafts if not _is_empty(draft)]
        return Script(
            format=ScriptFormat.MARKDOWN,
            header=replace(header, title=header.title or self._title),
            preface="\n".join(self._preface),
            scenes=tuple(draft.scene(self._faults) for draft in drafts),
        )

    def _head(self, number: int, level: int, title: str) -> None:
        if level == 2:
            found = _NUMBERED.fullmatch(title)
            self._drafts.append(
                SceneDraft(line=number, number=found[1] if found else "", title=(found[2] or "") if found else title)
            )
        elif level == 1 and not self._title and not self._drafts:
            self._title = title
        else:
            self._faults.add(number, "a heading is '# ' for the title, once and first, or '## ' for a scene")

    def _begin(self, kind: str, number: int, text: str) -> None:
        if kind != self._kind:
            self._close()
            self._kind, self._first = kind, number
        self._block.append(text)

    def _close(self) -> None:
        kind, self._kind = self._kind, ""
        block, self._block = self._block, []
        if not block:
            return
        text = plain_text(" ".join(block))
        if not self._drafts:
            if kind == "spoken":
                self._faults.add(self._first, "somebody speaks before the first scene, which begins with '## '")
            self._preface.append(text)
        elif kind == "spoken":
            if not text:
                self._faults.add(self._first, "nothing is spoken after the name")
            self._drafts[-1].say(self._first, self._speaker, unquoted(text) or text, self._direction)
        elif kind == "shown":
            self._drafts[-1].show([plain_text(line) for line in block])
        else:
            self._drafts[-1].see(text)


def _is_empty(draft: SceneDraft) -> bool:
    return not (draft.title or draft.number or draft.visuals or draft.spoken or draft.captions)
