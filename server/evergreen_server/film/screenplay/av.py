"""Two-column scripts by time: a time and a title in brackets, and fields such as `Visual:` and `Narration:` below."""

import re
from typing import Final

from evergreen_server.film.screenplay.cast import Names
from evergreen_server.film.screenplay.clock import TIME, clocked, set_lengths
from evergreen_server.film.screenplay.drafts import SceneDraft, unquoted
from evergreen_server.film.screenplay.header import HeaderReader, is_indented, key_and_value
from evergreen_server.film.screenplay.script import NARRATOR, Faults, Script, ScriptFormat
from evergreen_server.film.screenplay.source import Lines, squeezed

__all__ = ["is_av_header", "read_av"]

_BRACKET: Final = re.compile(rf"\[[ \t]*{TIME}(?!\d)")
_HEADER: Final = re.compile(rf"\[[ \t]*({TIME})(?:[ \t]*[–—-][ \t]*({TIME}))?(?:[ \t]*[–—-][ \t]*(.*))?[ \t]*\]")
_FIELD: Final = re.compile(
    r"(visual|narration|audio|voice[ -]?over|(?:[\w-]+[ \t]+){0,3}text|sound|music)"
    r"[ \t]*(?:\(([^()]{0,200})\))?[ \t]*:[ \t]*(.*)",
    re.IGNORECASE,
)
_WHO_AND_HOW: Final = re.compile(r"[ \t]+[–—-][ \t]+|[–—]")
_END: Final = re.compile(r"END(?: [A-Z ]+)?[.!]?")
_SPEECH: Final = ("narration", "audio", "voice")


def is_av_header(line: str) -> bool:
    """Returns whether a line is a scene's header: a bracket that begins with a time."""
    return bool(_BRACKET.match(line.strip()))


def read_av(lines: Lines, faults: Faults) -> Script:
    """Returns the script of a text with scenes by time; what is wrong with it is added to the faults."""
    begin = next((index for index, line in enumerate(lines) if is_av_header(line)), len(lines))
    reader = HeaderReader(faults)
    preface = _read_top(lines[:begin], reader)
    header = reader.header()
    body = _Body(Names(header.cast), faults)
    for number, line in enumerate(lines[begin:], start=begin + 1):
        if not body.take(number, line):
            _check_end(lines, number, faults)
            break
    drafts = body.drafts()
    return Script(
        format=ScriptFormat.AV,
        header=header,
        preface=preface,
        scenes=tuple(draft.scene(faults) for draft in drafts),
    )


def _read_top(lines: Lines, reader: HeaderReader) -> str:
    preface: list[str] = []
    open_key = False
    for number, line in enumerate(lines, start=1):
        if pair := key_and_value(line):
            key, value = pair
            reader.set(number, "title" if key.lower() == "script" else key, value)
            open_key = True
        elif open_key and is_indented(line):
            reader.go_on(number, line)
        else:
            open_key = False
            preface.append(line.strip())
    return "\n".join(filter(None, preface))


def _check_end(lines: Lines, end: int, faults: Faults) -> None:
    # What follows the end is left out, and a scene must not be lost by that.
    if following := next(
        (number for number in range(end + 1, len(lines) + 1) if is_av_header(lines[number - 1])), None
    ):
        faults.add(following, f"the scene comes after the script's end in line {end}")


class _Body:
    """The scenes, field by field. A field lasts until the next one; what a line without a field is, its marks tell."""

    def __init__(self, names: Names, faults: Faults) -> None:
        self._names = names
        self._faults = faults
        self._drafts: list[SceneDraft] = []
        self._ends: list[float | None] = []
        self._field = "visual"
        self._speaker = NARRATOR
        self._direction = ""
        self._first = 0
        self._text: list[str] = []
        self._quoted = False

    def take(self, number: int, line: str) -> bool:
        """Takes a line; returns whether the script goes on after it."""
        # One space at most in a row: patterns with several optional ones would else take quadratic time.
        line = squeezed(line)
        if is_av_header(line):
            return self._begin_scene(number, line)
        if _END.fullmatch(line):
            self._close()
            return False
        if not line:
            self._close()
            # What was quoted is complete; what was not may go on in another paragraph.
            if self._quoted or self._field not in ("visual", *_SPEECH):
                self._enter("visual")
        elif found := _FIELD.fullmatch(line):
            self._close()
            self._enter(found[1].lower(), found[2] or "")
            self._add(number, found[3])
        else:
            if self._field == "visual" and unquoted(line) is not None:
                self._close()
                self._enter("narration")
            self._add(number, line)
        return True

    def drafts(self) -> list[SceneDraft]:
        """Returns the scenes with their lengths."""
        self._close()
        set_lengths(self._drafts, self._ends, self._faults)
        return self._drafts

    def _begin_scene(self, number: int, line: str) -> bool:
        self._close()
        self._enter("visual")
        found = _HEADER.fullmatch(line)
        if found is None:
            self._faults.add(number, "a scene's header is [m:ss – title] or [m:ss – m:ss – title]")
            # Its fields are read all the same, so that their faults are named as well.
            self._drafts.append(SceneDraft(line=number, title="?"))
            self._ends.append(None)
            return True
        times = [clocked(time) for time in (found[1], found[2]) if time]
        if None in times:
            self._faults.add(number, "a time is m:ss or h:mm:ss, at most 1:00:00")
        title = squeezed(found[3] or "")
        if title.casefold() == "end" and self._drafts:
            self._ends[-1] = self._ends[-1] or times[0]
            return False
        self._drafts.append(SceneDraft(line=number, title=title, start=times[0]))
        self._ends.append(times[1] if len(times) > 1 else None)
        return True

    def _enter(self, name: str, who: str = "") -> None:
        self._field = next((speech for speech in _SPEECH if name.startswith(speech)), name)
        self._quoted = False
        speaker, _, direction = _WHO_AND_HOW.sub("\n", who, count=1).partition("\n")
        self._speaker = self._names.speaker(speaker)
        self._direction = direction

    def _add(self, number: int, text: str) -> None:
        if not text:
            return
        if not self._text:
            self._first = number
        elif self._field in _SPEECH and unquoted(text) is not None:
            # A quotation that begins a line is a line of its own.
            self._close()
            self._first = number
        self._text.append(text)

    def _close(self) -> None:
        text, self._text = self._text, []
        if not text or not self._drafts:
            return
        draft, joined = self._drafts[-1], squeezed(" ".join(text))
        match self._field:
            case "narration" | "audio" | "voice":
                spoken = unquoted(joined)
                self._quoted = spoken is not None
                draft.say(self._first, self._speaker, joined if spoken is None else spoken, self._direction)
            case "sound":
                draft.sounds.append(joined)
            case "music":
                draft.music.append(joined)
            case "visual":
                draft.see(joined)
            case _:
                draft.show(text)
