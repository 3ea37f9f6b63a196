"""Plain text: each paragraph is a scene, all of it narration, and its first sentence the picture."""

from evergreen_server.film.screenplay.drafts import SceneDraft
from evergreen_server.film.screenplay.header import KEYS, HeaderReader, is_indented, key_and_value
from evergreen_server.film.screenplay.script import NARRATOR, Faults, Script, ScriptFormat
from evergreen_server.film.screenplay.sentences import first_sentence
from evergreen_server.film.screenplay.source import Lines

__all__ = ["read_plain"]


def read_plain(lines: Lines, faults: Faults) -> Script:
    """Returns the script of a plain text; what is wrong with it is added to the faults."""
    reader = HeaderReader(faults)
    begin = _read_top(lines, reader)
    header = reader.header()
    drafts: list[SceneDraft] = []
    paragraph: list[str] = []
    for number, line in enumerate((*lines[begin:], ""), start=begin + 1):
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            text = " ".join(paragraph)
            draft = SceneDraft(line=number - len(paragraph))
            draft.say(draft.line, NARRATOR, text)
            draft.see(first_sentence(text, header.language))
            drafts.append(draft)
            paragraph = []
    return Script(format=ScriptFormat.PLAIN, header=header, scenes=tuple(draft.scene(faults) for draft in drafts))


def _read_top(lines: Lines, reader: HeaderReader) -> int:
    """Reads the lines at the top that set something; returns how many lines that were."""
    position = next((index for index, line in enumerate(lines) if line.strip()), 0)
    begun = False
    while position < len(lines) and lines[position].strip():
        line = lines[position]
        pair = key_and_value(line)
        # A first paragraph may begin with a word and a colon as well: only a key that is known opens a header.
        if pair and (begun or pair[0].lower() in KEYS):
            begun = True
            reader.set(position + 1, *pair)
        elif begun and is_indented(line):
            reader.go_on(position + 1, line)
        else:
            break
        position += 1
    return position if begun else 0
