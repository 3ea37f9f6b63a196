"""Which form a script is written in, found out by what is in it."""

import re
from typing import Final

from evergreen_server.film.screenplay.av import is_av_header
from evergreen_server.film.screenplay.fountain import is_scene_heading, is_title_page
from evergreen_server.film.screenplay.markdown import front_matter_end
from evergreen_server.film.screenplay.script import ScriptFormat
from evergreen_server.film.screenplay.source import Lines
from evergreen_server.film.screenplay.table import header_row

__all__ = ["format_of"]

_HEADING: Final = re.compile(r"#{1,2} \S")


def format_of(lines: Lines) -> ScriptFormat:
    """Returns the first that fits of A/V, A/V table, Markdown, Fountain and plain text.

    `#` begins a heading in Markdown and a section in Fountain: a text that has scene headings of Fountain is Fountain.
    """
    if any(is_av_header(line) for line in lines):
        return ScriptFormat.AV
    if any(header_row(line) for line in lines):
        return ScriptFormat.AV_TABLE
    fountain = is_title_page(lines) or any(is_scene_heading(lines, index) for index in range(len(lines)))
    if front_matter_end(lines) or (not fountain and any(_HEADING.match(line) for line in lines)):
        return ScriptFormat.MARKDOWN
    return ScriptFormat.FOUNTAIN if fountain else ScriptFormat.PLAIN
