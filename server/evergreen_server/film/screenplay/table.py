"""Two-column scripts as a table: a Markdown or tab-separated one, with a header row that names its columns."""

import re
from collections.abc import Iterator
from typing import Final

from evergreen_server.film.screenplay.cast import Names
from evergreen_server.film.screenplay.clock import TIME, clocked, set_lengths
from evergreen_server.film.screenplay.drafts import SceneDraft, unquoted
from evergreen_server.film.screenplay.header import HeaderReader, is_indented, key_and_value
from evergreen_server.film.screenplay.inline import plain_text
from evergreen_server.film.screenplay.script import MAX_SECONDS, NARRATOR, Faults, Script, ScriptFormat
from evergreen_server.film.screenplay.source import Lines, squeezed

__all__ = ["header_row", "read_table"]

_COLUMNS: Final = {
    "time": "time",
    "scene": "scene",
    "video": "picture",
    "visual": "picture",
    "visuals": "picture",
    "picture": "picture",
    "audio": "speech",
    "narration": "speech",
    "voice": "speech",
    "text": "text",
    "on-screen text": "text",
    "sound": "sound",
    "seconds": "seconds",
}
_MAX_COLUMNS: Final = 12
_RULE: Final = re.compile(r"\|?(?:[ \t]*:?-+:?[ \t]*\|)+(?:[ \t]*:?-+:?[ \t]*)?")
_SPAN: Final = re.compile(rf"({TIME})(?:\s*[–—-]\s*({TIME}))?")
_SECONDS: Final = re.compile(r"(\d{1,4}(?:\.\d{1,3})?)\s*(?:s|sec|seconds)?")
_BREAK: Final = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)
_SPEAKER: Final = re.compile(r"(?:\*\*)?([\w .'’&#/-]{1,60}?) ?(?:\(([^()]{0,200})\))? ?(?:\*\*)?:(?:\*\*)? (.+)")
_EDGE: Final = re.compile(r"(?<!\\)\|")


def header_row(line: str) -> tuple[str, ...] | None:
    """Returns the columns that a header row names; None if the line is none.

    A header row names two columns that are known, one of them of picture or speech.
    """
    cells = _cells(line)
    if not 2 <= len(cells) <= _MAX_COLUMNS:
        return None
    names = tuple(_COLUMNS.get(cell.strip("*_ ").lower(), f"?{cell}") for cell in cells)
    known = [name for name in names if not name.startswith("?")]
    return names if len(known) >= 2 and {"picture", "speech"} & set(known) else None


def read_table(lines: Lines, faults: Faults) -> Script:
    """Returns the script of a table; what is wrong with it is added to the faults."""
    begin = next((index for index, line in enumerate(lines) if header_row(line)), len(lines))
    reader = HeaderReader(faults)
    title, preface = _read_top(lines[:begin], reader)
    header = reader.header()
    columns = header_row(lines[begin]) if begin < len(lines) else None
    drafts: list[SceneDraft] = []
    if columns is None:
        faults.add(1, f"there is no header row; columns are {', '.join(_COLUMNS)}")
    else:
        _check_columns(begin + 1, columns, faults)
        body = _Body(columns, Names(header.cast), faults)
        for number, line in enumerate(lines[begin + 1 :], start=begin + 2):
            if line.strip() and not _RULE.fullmatch(line.strip()) and header_row(line) != columns:
                body.take(number, line)
        drafts = body.drafts()
    if title and not header.title:
        reader.set(1, "title", title)
        header = reader.header()
    return Script(
        format=ScriptFormat.AV_TABLE,
        header=header,
        preface=preface,
        scenes=tuple(draft.scene(faults) for draft in drafts),
    )


def _read_top(lines: Lines, reader: HeaderReader) -> tuple[str, str]:
    title, preface = "", list[str]()
    open_key = False
    for number, line in enumerate(lines, start=1):
        if line.startswith("# ") and not title:
            title = squeezed(line[2:])
        elif pair := key_and_value(line):
            reader.set(number, *pair)
            open_key = True
        elif open_key and is_indented(line):
            reader.go_on(number, line)
        else:
            open_key = False
            preface.append(line.strip(" \t-"))
    return title, "\n".join(filter(None, preface))


def _check_columns(number: int, columns: tuple[str, ...], faults: Faults) -> None:
    for position, column in enumerate(columns):
        if column.startswith("?"):
            faults.add(number, f"the column {column[1:][:40]!r} is not known; columns are {', '.join(_COLUMNS)}")
        elif column in columns[:position]:
            faults.add(number, f"there are two columns for {column}")


def _cells(line: str) -> list[str]:
    line = line.strip("\n")
    if "|" in line:
        inner = line.strip().removeprefix("|")
        inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
        return [squeezed(cell.replace("\\|", "|")) for cell in _EDGE.split(inner)]
    return [squeezed(cell) for cell in line.split("\t")] if "\t" in line else []


class _Body:
    def __init__(self, columns: tuple[str, ...], names: Names, faults: Faults) -> None:
        self._columns = columns
        self._names = names
        self._faults = faults
        self._drafts: list[SceneDraft] = []
        self._ends: list[float | None] = []

    def take(self, number: int, line: str) -> None:
        """Takes a row. One that names no time and no scene, where there are such columns, goes on with its scene."""
        cells = _cells(line)
        if len(cells) > len(self._columns):
            self._faults.add(number, f"the row has {len(cells)} cells, and the table {len(self._columns)} columns")
            return
        if len(cells) < 2:
            self._faults.add(number, "the line is not a row of the table")
            return
        row = dict(zip(self._columns, cells, strict=False))
        if not any(cells):
            return
        self._fill(number, self._draft(number, row), row)

    def drafts(self) -> list[SceneDraft]:
        """Returns the scenes with their lengths: a column of seconds goes before times."""
        given = [draft.seconds for draft in self._drafts]
        timed = [draft for draft in self._drafts if draft.start is not None]
        if timed and len(timed) < len(self._drafts):
            for draft in self._drafts:
                if draft.start is None:
                    self._faults.add(draft.line, "the scene has no time, and others have one")
        set_lengths(self._drafts, self._ends, self._faults)
        for draft, seconds in zip(self._drafts, given, strict=True):
            draft.seconds = seconds if seconds is not None else draft.seconds
        return self._drafts

    def _draft(self, number: int, row: dict[str, str]) -> SceneDraft:
        time, scene = row.get("time", ""), row.get("scene", "")
        named = "time" in row or "scene" in row
        last = self._drafts[-1] if self._drafts else None
        if last and named and not time and scene in ("", last.number):
            return last
        draft = SceneDraft(
            line=number, number=scene if len(scene) <= 10 else "", title=scene if len(scene) > 10 else ""
        )
        self._drafts.append(draft)
        self._ends.append(None)
        if time:
            found = _SPAN.fullmatch(time)
            times = [clocked(value) for value in found.groups() if value] if found else [None]
            if None in times:
                self._faults.add(number, "a time is m:ss or h:mm:ss, at most 1:00:00, or two of them with a dash")
            draft.start = times[0]
            self._ends[-1] = times[1] if len(times) > 1 else None
        return draft

    def _fill(self, number: int, draft: SceneDraft, row: dict[str, str]) -> None:
        for part in _BREAK.split(row.get("picture", "")):
            draft.see(plain_text(squeezed(part)))
        for speaker, direction, text in self._spoken(row.get("speech", "")):
            draft.say(number, speaker, text, direction)
        draft.show([plain_text(squeezed(part)) for part in _BREAK.split(row.get("text", ""))])
        if sound := row.get("sound"):
            draft.sounds.append(squeezed(_BREAK.sub(" ", sound)))
        if seconds := row.get("seconds"):
            found = _SECONDS.fullmatch(seconds.lower())
            value = float(found[1]) if found else 0.0
            if 0 < value <= MAX_SECONDS:
                draft.seconds = (draft.seconds or 0.0) + value
            else:
                self._faults.add(number, f"seconds are a number above 0, at most {MAX_SECONDS}")

    def _spoken(self, cell: str) -> Iterator[tuple[str, str, str]]:
        for part in _BREAK.split(cell):
            part = part.strip()
            found = _SPEAKER.fullmatch(part)
            # A sentence may have a colon as well: a speaker is in the cast, or marked or written in capitals.
            if found and (self._names.knows(found[1]) or part.startswith("**") or found[1].isupper()):
                yield self._names.speaker(found[1]), found[2] or "", _spoken_text(found[3])
            elif part:
                yield NARRATOR, "", _spoken_text(part)


def _spoken_text(text: str) -> str:
    text = plain_text(text)
    return unquoted(text) or text
