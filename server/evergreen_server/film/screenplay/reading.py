"""The way from a text to a script: its lines are checked, its form found out, and its scenes read."""

from collections.abc import Callable
from typing import Final

from evergreen_server.film.screenplay.av import read_av
from evergreen_server.film.screenplay.detect import format_of
from evergreen_server.film.screenplay.fountain import read_fountain
from evergreen_server.film.screenplay.markdown import read_markdown
from evergreen_server.film.screenplay.plain import read_plain
from evergreen_server.film.screenplay.script import MAX_LINES, MAX_SCENES, Faults, Script, ScriptFormat
from evergreen_server.film.screenplay.source import Lines, lines_of
from evergreen_server.film.screenplay.table import read_table

__all__ = ["read_script"]

_READERS: Final[dict[ScriptFormat, Callable[[Lines, Faults], Script]]] = {
    ScriptFormat.FOUNTAIN: read_fountain,
    ScriptFormat.AV: read_av,
    ScriptFormat.AV_TABLE: read_table,
    ScriptFormat.MARKDOWN: read_markdown,
    ScriptFormat.PLAIN: read_plain,
}
_SCENE_BEGINS: Final = {
    ScriptFormat.FOUNTAIN: "INT. or EXT. on a line of its own",
    ScriptFormat.AV: "[m:ss – title]",
    ScriptFormat.AV_TABLE: "a row below the header row",
    ScriptFormat.MARKDOWN: "'## '",
    ScriptFormat.PLAIN: "a paragraph",
}


def read_script(text: str, form: ScriptFormat | None = None) -> Script:
    """Returns what a script says, read in the given form; by default in the one that it is found to have.

    Raises InvalidScript with every fault, each with its line and column; a text that is no text, or too long, is read
    no further. At most 512 KiB, 300 scenes and 2,000 spoken lines.
    """
    lines = lines_of(text)
    form = form or format_of(lines)
    faults = Faults()
    script = _READERS[form](lines, faults)
    if not script.scenes:
        faults.add(1, f"the script has no scene; read as {form}, a scene begins with {_SCENE_BEGINS[form]}")
    if len(script.scenes) > MAX_SCENES:
        faults.add(
            script.scenes[MAX_SCENES].line,
            f"the script has {len(script.scenes)} scenes; at most {MAX_SCENES} are taken",
        )
    spoken = [line for scene in script.scenes for line in scene.spoken]
    if len(spoken) > MAX_LINES:
        faults.add(spoken[MAX_LINES].line, f"the script has {len(spoken)} spoken lines; at most {MAX_LINES} are taken")
    faults.check()
    return script
