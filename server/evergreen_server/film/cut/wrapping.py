"""Divides a text into what can be read at once: two lines, broken where a reader would pause.

A line is measured in columns: a letter takes one, an ideograph two, a mark upon a letter none.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import accumulate
from math import ceil
from typing import Final

from evergreen_server.film.screenplay.source import squeezed

__all__ = ["COLUMNS", "MOST_COLUMNS", "columns_of", "lines_of", "parts_of", "readable", "together"]

COLUMNS: Final = 42
"""Of one line."""
MOST_COLUMNS: Final = 2 * COLUMNS

# Controls, surrogates, what is no character, and what turns the direction of all that follows.
_UNREADABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)
# Chinese and Japanese are written without spaces: a line may end after any of their characters.
_UNSPACED: Final = re.compile(
    "[\u2e80-\u2fdf\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff60\U00020000-\U000323af]"
)
# Small kana, and marks that lengthen or repeat what is before them.
_NEVER_FIRST: Final = frozenset("ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ々〻ー")
_CLAUSE: Final = re.compile("[,;:.!?…–—、。，；：！？،؛؟][\"'”’»)」』]* ?$")  # noqa: RUF001 # stops of many scripts
_CLAUSE_WORTH: Final = 12
"""By how many columns two lines may differ more where the upper ends with a clause."""
_ZERO_WIDTH_JOINER: Final = "\u200d"
_LONGEST_LETTER: Final = 32
"""Characters. What has more joiners or marks is no letter of any language."""


def readable(text: str) -> str:
    """Returns a text with white space made single spaces, and without characters that show nothing or disturb."""
    return squeezed(_UNREADABLE.sub(" ", text))


def columns_of(text: str) -> int:
    """Returns how wide a text is."""
    return len(text) if text.isascii() else sum(map(_width, text))


def together(first: str, second: str) -> str:
    """Returns two sentences as one text, with a space between them where their script has spaces."""
    unspaced = not first or _UNSPACED.match(first[-1])
    return first + second if unspaced else f"{first} {second}"


def parts_of(text: str, most: int = MOST_COLUMNS) -> Iterator[str]:
    """Yields a text in parts of one or two lines, each of at most so many columns; none for an empty text.

    A part ends with a clause where that is not far; a word longer than a line is divided between letters.
    """
    words = list(_words(text))
    ends = list(accumulate(map(columns_of, words), initial=0))
    start = 0
    while start < len(words):
        reach = _reach(words, ends, start, most)
        end = _end(words, ends, start, reach)
        yield "".join(words[start:end]).rstrip()
        start = end


def lines_of(part: str) -> tuple[str, ...]:
    """Returns the lines of a part: one, or two about as long as each other."""
    if columns_of(part) <= COLUMNS:
        return (part,)
    words = list(_words(part))
    ends = list(accumulate(map(columns_of, words), initial=0))

    def unevenness(index: int) -> float:
        left, right = _bare(words, ends, 0, index), _bare(words, ends, index, len(words))
        over = max(0, left - COLUMNS) + max(0, right - COLUMNS)
        return 1000 * over + abs(left - right) - _CLAUSE_WORTH * bool(_CLAUSE.search(words[index - 1]))

    best = min(range(1, len(words)), key=unevenness)
    return "".join(words[:best]).rstrip(), "".join(words[best:])


def _reach(words: list[str], ends: list[int], start: int, most: int) -> int:
    """Returns the word after the last one with which all from the start fit."""
    lower = 0
    """Where the second line begins; 0 before it does."""
    for index in range(start + 1, len(words) + 1):
        if _bare(words, ends, start, index) > most and index > start + 1:
            return index - 1
        if _bare(words, ends, lower or start, index) > COLUMNS:
            if lower:
                return index - 1
            lower = index - 1
    return len(words)


def _end(words: list[str], ends: list[int], start: int, reach: int) -> int:
    """Returns where the part ends that may end at `reach` at the latest, so that no few words are left for the next."""
    if reach == len(words):
        return reach
    whole = ends[reach] - ends[start]
    for index in range(reach, start, -1):
        if ends[index] - ends[start] < whole / 2:
            break
        if _CLAUSE.search(words[index - 1]):
            return index
    rest = ends[-1] - ends[start]
    target = ends[start] + rest / max(1, ceil(rest / max(1, whole)))
    return min(range(start + 1, reach + 1), key=lambda index: abs(ends[index] - target))


def _bare(words: list[str], ends: list[int], start: int, end: int) -> int:
    """Returns how wide some words are without the space after the last."""
    return ends[end] - ends[start] - words[end - 1].endswith(" ")


def _words(text: str) -> Iterator[str]:
    """Yields the pieces between which a line may end, each with the space that follows it."""
    spaced = [f"{word} " for word in text.split(" ") if word]
    if spaced:
        spaced[-1] = spaced[-1][:-1]
    for word in spaced:
        yield from [word] if word.isascii() and len(word) <= COLUMNS else _pieces(word)


def _pieces(word: str) -> Iterator[str]:
    """Yields a word whole, or in pieces: each character of an unspaced script, and at most a line of any other."""
    held, width = "", 0
    for letter in _letters(word):
        wide = columns_of(letter)
        if held and (width + wide > COLUMNS + (letter == " ") or _may_break(held, letter)):
            yield held
            held, width = "", 0
        held, width = held + letter, width + wide
    yield held


def _may_break(held: str, letter: str) -> bool:
    if letter == " " or not (_UNSPACED.match(held[-1]) or _UNSPACED.match(letter)):
        return False
    closes = unicodedata.category(letter[0]) in ("Pe", "Pf", "Po") or letter[0] in _NEVER_FIRST
    return not closes and unicodedata.category(held[-1]) not in ("Ps", "Pi")


def _letters(word: str) -> Iterator[str]:
    """Yields what is one letter to a reader, whatever marks, joiners and flags it is made of."""
    letter = ""
    for character in word:
        flag = _is_flag(character) and len(letter) == 1 and _is_flag(letter)
        joined = flag or not _width(character) or letter.endswith(_ZERO_WIDTH_JOINER)
        if letter and not (joined and len(letter) < _LONGEST_LETTER):
            yield letter
            letter = ""
        letter += character
    yield letter


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf") or "\U0001f3fb" <= character <= "\U0001f3ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
