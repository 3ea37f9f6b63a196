"""Fountain, read by fountain-py behind a pass that decides what the library misses or takes too long over.

Before the library sees a line: notes, boneyard and emphasis are gone (`marks.py`), scene headings and cues are forced,
also those with letters beyond ASCII, and so are paragraphs of action. What is left to the library is in linear time.
"""

import re
from dataclasses import replace
from typing import Final

from fountain import ElementType, FountainElement, FountainParser

from evergreen_server.film.screenplay.cast import Names
from evergreen_server.film.screenplay.drafts import SceneDraft, transition_of
from evergreen_server.film.screenplay.header import KEYS, HeaderReader, is_indented, key_and_value
from evergreen_server.film.screenplay.inline import unveiled
from evergreen_server.film.screenplay.marks import Line, unmarked, without_hidden
from evergreen_server.film.screenplay.script import Faults, Header, Script, ScriptFormat
from evergreen_server.film.screenplay.source import Lines, squeezed

__all__ = ["is_scene_heading", "is_title_page", "read_fountain"]

_TITLE_PAGE: Final = KEYS | {
    "credit",
    "author",
    "authors",
    "source",
    "notes",
    "draft date",
    "date",
    "contact",
    "copyright",
}
_PLACE: Final = r"(?:INT\.?/EXT|EXT\.?/INT|INT|EXT|EST|I\.?/E)"
# `Est. 1985` and `Int house` are prose: small letters want a full stop and an empty line below, and establish nothing.
_HEADING: Final = re.compile(rf"{_PLACE}(?:\.| )|(?i:int\.?/ext|ext\.?/int|int|ext|i\.?/e)\.")
_SURE_HEADING: Final = re.compile(rf"{_PLACE}\.")
_FORCED_HEADING: Final = re.compile(r"\.(?!\.)(?=\w)")
_NUMBER: Final = re.compile(r"\s*#([\w.-]{1,20})#$")
_CUE: Final = re.compile(r"(?=[^(]*[^\W\d_])[\w .'’&#/-]{1,60}(?:\([^()]{0,60}\) ?){0,2}\^?")
_FADE: Final = re.compile(r"(?:FADE|CUT|DISSOLVE|SMASH CUT|MATCH CUT)\b[A-Z .:]{0,40}")
_EXTENSION: Final = re.compile(r"\s*\(.*")
_FORCING: Final = tuple(".!@>#=~")
_MAX_PARAGRAPH: Final = 500
"""Lines. The library copies a paragraph once for each of its lines."""


def is_scene_heading(lines: Lines, index: int) -> bool:
    """Returns whether a line, with empty lines around it, is a scene heading."""
    line = lines[index].strip()
    if not line or (index and lines[index - 1].strip()):
        return False
    following = lines[index + 1].strip() if index + 1 < len(lines) else ""
    return _is_heading(line, following) or (not following and bool(_FORCED_HEADING.match(line)))


def is_title_page(lines: Lines) -> bool:
    """Returns whether a text begins with a title and a credit, an author or the date of a draft."""
    keys = set[str]()
    for line in lines:
        if pair := key_and_value(line):
            keys.add(pair[0].lower())
        elif not is_indented(line) and (keys or line.strip()):
            break
    return "title" in keys and bool(keys & {"credit", "author", "authors", "draft date"})


def read_fountain(lines: Lines, faults: Faults) -> Script:
    """Returns the script of a text in Fountain; what is wrong with it is added to the faults."""
    reader = HeaderReader(faults)
    begin = _read_title_page(lines, reader)
    header = reader.header()
    header = replace(header, title=unveiled(unmarked(header.title)))
    prepared = _prepare(without_hidden(lines, begin, faults), faults)
    # The page break keeps the library from looking for a title page.
    text = "\n".join(["===", "", *(line.text for line in prepared)])
    body = _Body([0, 0, *(line.number for line in prepared)], Names(header.cast), faults)
    for element in FountainParser().parse(text).elements[1:]:
        body.take(element)
    return body.script(header)


def _read_title_page(lines: Lines, reader: HeaderReader) -> int:
    position = next((index for index, line in enumerate(lines) if line.strip()), 0)
    begun = False
    while position < len(lines) and lines[position].strip():
        line = lines[position]
        pair = key_and_value(line)
        if begun and is_indented(line):
            reader.go_on(position + 1, line)
        elif pair and (begun or pair[0].lower() in _TITLE_PAGE) and not _HEADING.match(line):
            begun = True
            reader.set(position + 1, *pair)
        else:
            break
        position += 1
    return position if begun else 0


def _prepare(lines: list[Line], faults: Faults) -> list[Line]:
    """Returns the lines with single spaces, without emphasis, and with the marks that force what each of them is."""
    texts = [unmarked(squeezed(line.text)) if line.text.strip() else line.text for line in lines]
    prepared: list[Line] = []
    opens, speaks, length = True, False, 0
    for index, (line, text) in enumerate(zip(lines, texts, strict=True)):
        if not text.strip():
            # Two spaces on an empty line let the same speaker go on.
            speaks = speaks and len(text) > 1
            prepared.append(Line(number=line.number, text="  " if speaks else ""))
            opens, length = not speaks, length if speaks else 0
            continue
        length += 1
        if length == _MAX_PARAGRAPH + 1:
            faults.add(line.number, f"a paragraph has more than {_MAX_PARAGRAPH} lines")
        # What is over the limit is a fault already, and needs no reading.
        if length <= _MAX_PARAGRAPH:
            following = texts[index + 1].strip() if index + 1 < len(texts) else ""
            forced = _forced(text, following, opens=opens)
            speaks = speaks or forced.startswith("@")
            prepared.append(Line(number=line.number, text=forced))
        opens = False
    return prepared


def _forced(text: str, following: str, *, opens: bool) -> str:
    if _FORCED_HEADING.match(text):
        # The letter is for the library, which takes no other letters than ASCII's after the full stop.
        return f".S{text[1:]}"
    if text.startswith("@"):
        return text.rstrip("^ ")
    if not opens or not text.strip() or text.startswith(_FORCING):
        return text
    if _is_heading(text, following):
        return f".S{text}"
    if not following and _FADE.fullmatch(text):
        return f">{text}"
    if not following and text.endswith(" TO:") and not _has_small_letters(text):
        return f">{text}"
    if _is_cue(text, following):
        return f"@{text.rstrip('^ ')}"
    return f"!{text}"


def _is_heading(text: str, following: str) -> bool:
    # People forget the empty line below a heading, and a scene must not be lost for that.
    plain = not following or not _has_small_letters(text)
    return bool(_SURE_HEADING.match(text) or (plain and _HEADING.match(text)))


def _is_cue(text: str, following: str) -> bool:
    if not following or (following.startswith(_FORCING[:-1]) and not following.startswith("..")):
        return False
    name = unveiled(_EXTENSION.sub("", text))
    return bool(_CUE.fullmatch(unveiled(text))) and any(map(str.isupper, name)) and not _has_small_letters(name)


def _has_small_letters(text: str) -> bool:
    return any(map(str.islower, text))


class _Body:
    """The scenes, element by element of the library."""

    def __init__(self, numbers: list[int], names: Names, faults: Faults) -> None:
        self._numbers = numbers
        self._names = names
        self._faults = faults
        self._drafts: list[SceneDraft] = []
        self._preface: list[str] = []
        self._in_section = False
        self._cue = 0
        self._said = False
        self._speaker = ""
        self._direction = ""
        self._first = 0
        self._speech: list[str] = []

    def take(self, element: FountainElement) -> None:
        """Takes an element."""
        number = self._numbers[element.line_number - 1] if element.line_number else 0
        text = unveiled(element.text)
        match element.type:
            case ElementType.CHARACTER:
                self._end_speech()
                self._cue, self._said, self._direction = number, False, ""
                self._speaker = self._names.speaker(_EXTENSION.sub("", text))
            case ElementType.PARENTHETICAL:
                self._say()
                self._direction = text.strip("() ")
            case ElementType.DIALOGUE:
                self._speak(number, text)
            case ElementType.LYRICS if self._cue:
                self._speak(number, text)
            case _:
                self._end_speech()
                self._take_other(element, number, text)

    def script(self, header: Header) -> Script:
        """Returns what was read."""
        self._end_speech()
        return Script(
            format=ScriptFormat.FOUNTAIN,
            header=header,
            preface="\n".join(self._preface),
            scenes=tuple(draft.scene(self._faults) for draft in self._drafts),
        )

    def _take_other(self, element: FountainElement, number: int, text: str) -> None:
        draft = self._drafts[-1] if self._drafts else None
        match element.type:
            case ElementType.SCENE_HEADING:
                heading = text[1:].strip()
                found = _NUMBER.search(heading)
                scene_number = found[1] if found else str(element.metadata.get("scene_number", ""))
                heading = _NUMBER.sub("", heading)
                self._in_section = False
                self._drafts.append(SceneDraft(line=number, number=scene_number, title=heading, setting=heading))
            case ElementType.SECTION:
                self._in_section = True
            case ElementType.PAGE_BREAK:
                pass
            case ElementType.TRANSITION:
                if draft:
                    draft.transition = transition_of(text)
            case ElementType.SYNOPSIS if draft and not self._in_section:
                draft.hints.append(text)
            case ElementType.SYNOPSIS:
                self._preface.append(text)
            case ElementType.CENTERED if draft:
                draft.show([text])
            case _ if draft:
                draft.see(text)
            case _:
                self._preface.append(squeezed(text))

    def _speak(self, number: int, text: str) -> None:
        if text.startswith("(") and ")" not in text:
            # It would be spoken.
            self._faults.add(number, "the direction in parentheses is not closed in its line")
        if not self._speech:
            self._first = number
        self._speech.append(text)

    def _say(self) -> None:
        speech, self._speech = squeezed(" ".join(self._speech)), []
        if not speech:
            return
        self._said = True
        if self._drafts:
            self._drafts[-1].say(self._first, self._speaker, speech, self._direction)
        else:
            self._faults.add(self._first, "somebody speaks before the first scene heading")

    def _end_speech(self) -> None:
        self._say()
        if self._cue and not self._said:
            self._faults.add(self._cue, "nothing is spoken after the name")
        self._cue = 0
