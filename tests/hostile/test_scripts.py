"""Scripts that are made to break a parser: each is read, or refused by line, in bounded memory."""

import random
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from evergreen_server.film.screenplay.reading import read_script
from evergreen_server.film.screenplay.script import MAX_BYTES, InvalidScript, Script, ScriptFormat
from evergreen_server.film.screenplay.splitter import Limits, split

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "tests/samples/scripts").iterdir())
FORMS = (None, *ScriptFormat)
LIMITS = Limits(longest_clip=10, longest_line=5_000)

BEGINNINGS = (
    "",
    "INT. HOUSE - DAY\n\n",
    "[0:00 – a]\n",
    "| time | visual | audio |\n|---|---|---|\n| 0:00 | a | b |\n",
    "# T\n\n## S\n\n",
)
"""After each of these another form is found in what follows."""

ATOMS = (
    *("[[", "]]", "[[ ", "/*", "*/", "/*[[", "[[/*", "[/**/[", "*", "_", "**", "***a", "*a ", "_a ", "_*", "\\", "\\*"),
    *(
        "“",
        "“a. ",
        '"',
        '"a" ',
        "(",
        ")",
        "((a)",
        "A (",
        "A () ",
        "A ^",
        "@",
        "@a",
        "@A (",
        "~a",
        "!",
        "!a",
        ".",
        ".A",
        "...",
    ),
    *("#", "# a", "## a", "###", "#1#", "INT. A #", "INT. A #1#", "=", "= a", "===", ">", "> a <", "> a", "<", ">a<b<"),
    *(
        "INT. A",
        "INT",
        "int. a",
        "EXT. ",
        "I/E. A",
        "CUT TO:",
        "FADE",
        "A TO:",
        "ÉA",
        "ÉA (V.O.)",
        "A",
        "A B ",
        "a",
        "a b ",
    ),
    *("|", "| a ", "| a | b |", "\\|", "|-", "|---|", "\t", "a\t", "<br>", "| <br> | a: b |", "| 0:00 | a | b |"),
    *(
        "---",
        "***",
        "- ",
        "- a",
        "1. ",
        "> ",
        "**A**: b",
        "**A** ",
        "**A",
        "**A:** ",
        "`",
        "```",
        "![a](b",
        "[a](",
        "](",
        "<!--",
    ),
    *(
        "-->",
        "<!---->",
        "Title: a",
        "a: b",
        "A:",
        "  a",
        "Cast:",
        "  A = b",
        "  A = b; images/../a.png",
        "  = ; ; ;",
        "key: ",
    ),
    *(
        "[0:00 – a]",
        "[0:00 – ",
        "[0:00",
        "[0:00 – 0:01 – ",
        "[9:99]",
        "[0:00 – END]",
        "END",
        "Visual: a",
        "Visual (",
        "TEXT: a",
    ),
    *(
        "Narration (a – b): c",
        "Sound:",
        "a a a text",
        "0:0",
        "0:00:00",
        "\u0661:\u0660\u0660",
        " ",
        "\u00a0",
        "  ",
        "\u3000",
        "\u200b",
        "\u200d",
    ),
    *("e\u0301", "\u0301", "猫", "。", "א", "\U0001f600", "\u0130", "ß", "ǅ", "x" * 1_000, "a" + "\u0316\u0301" * 14),
)


def filled(atom: str, size: int, *, columns: int, apart: bool) -> str:
    """About `size` bytes of lines of one atom; each a paragraph, or four hundred together."""
    line = (atom * max(1, columns // len(atom)))[: max(columns, len(atom))] + "\n"
    count = min(19_000, max(1, size // (len(line.encode()) + apart)))
    return "".join(line + ("\n" if apart or number % 400 == 399 else "") for number in range(count))


def result(text: str, form: ScriptFormat | None) -> Script | InvalidScript:
    try:
        script = read_script(text, form)
        split(script, LIMITS)
    except InvalidScript as invalid:
        return invalid
    return script


def check(text: str, form: ScriptFormat | None) -> Script | InvalidScript:
    """Reads and divides a script. What it gives is in the text; what it refuses has a place, and a short reason."""
    script = result(text, form)
    if isinstance(script, InvalidScript):
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        assert 1 <= len(script.faults) <= min(100, script.count)
        for fault in script.faults:
            assert 1 <= fault.line <= len(lines)
            assert fault.column == 1 or fault.column <= len(lines[fault.line - 1])
            assert 10 < len(fault.message) < 300
            assert fault.message.isprintable()
        return script

    assert all(one.line < next_one.line for one, next_one in pairwise(script.scenes))
    told = [
        *(part for scene in script.scenes for part in (*scene.visuals, *scene.captions, *scene.sounds, scene.title)),
        *(line.text for scene in script.scenes for line in scene.spoken),
    ]
    assert sum(map(len, told)) <= 3 * len(text)
    assert not re.search("[\x00-\x08\ufdd0-\ufdef]", "".join(told))
    assert all(line.text for scene in script.scenes for line in scene.spoken)
    return script


@pytest.mark.parametrize("atom", ATOMS)
def test_a_text_full_of_a_mark_is_read_or_refused(atom: str) -> None:
    for number, beginning in enumerate(BEGINNINGS):
        for apart in (False, True):
            check(beginning + filled(atom, 4_000, columns=26, apart=apart), FORMS[number])
            check(beginning + filled(atom, 4_000, columns=2_000, apart=apart), None)


@pytest.mark.parametrize("form", ScriptFormat)
@pytest.mark.parametrize("end", ["", "\n", " ", "\n\n\n", "\u00a0\n\t\n", "\ufeff"])
def test_a_text_of_nothing_is_refused_in_every_form(end: str, form: ScriptFormat) -> None:
    assert isinstance(check(end, form), InvalidScript)


@pytest.mark.parametrize(
    "character",
    [
        *map(chr, (*range(9), 0xB, 0xC, *range(0xE, 0x20), 0x7F, 0x80, 0x85, 0x9F)),
        *(
            "\u2028",
            "\u2029",
            "\u202a",
            "\u202d",
            "\u202e",
            "\u2066",
            "\u2069",
            "\ud800",
            "\udfff",
            "\ufdd0",
            "\ufffe",
            "\uffff",
        ),
    ],
)
def test_a_character_that_hides_or_controls_is_refused_where_it_stands(character: str) -> None:
    for beginning in BEGINNINGS:
        text = f"{beginning}a\nab{character}c\n"
        with pytest.raises(InvalidScript) as caught:
            read_script(text)

        (fault,) = caught.value.faults
        assert (fault.line, fault.column) == (beginning.count("\n") + 2, 3)
        assert f"U+{ord(character):04X}" in fault.message


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a\n" + "x" * 500_000, 2, "500000 characters"),
        ("INT. HOUSE - DAY\n\nADA\n" + "x " * 200_000, 4, "400000 characters"),
        ("| time | visual |\n|---|---|\n" + "| a " * 100_000, 3, "400000 characters"),
        ("\n" * 20_000, 1, "empty"),
        ("a\n" * 20_000, 20_001, "20001 lines"),
        ("x" * (MAX_BYTES + 1), 1, "524289 bytes"),
        ("猫" * 200_000, 1, "600000 bytes"),
        ("e" + "\u0316\u0301" * 100, 1, "combining marks"),
        ("## a\n\n### b\n" + "c\n" * 30, 3, "heading"),
        ("a\n\n" * 301, 601, "301 scenes"),
        ("## a\n\nb\n\n" * 301, 1201, "301 scenes"),
        ("[0:00 – a]\n" + "“b”\n" * 2_001, 2_002, "2001 spoken lines"),
        ("| time | visual |\n|---|---|\n| 0:00 | a |" + " b |" * 1_000, 3, "1002 cells"),
        ("Cast:\n" + "".join(f"  A{number} = a\n" for number in range(60)) + "\nINT. A\n\na\n", 52, "50 members"),
        ("Title: T\nCast:\n  A = b; images/../../../etc/passwd\n\nINT. A\n\na\n", 3, "images/FILE"),
        ("---\ncast: A = b; images/%2e%2e/a.png\n---\n## S\n\na\n", 2, "images/FILE"),
        ("Cast:\n  ../A = b\n[0:00 – a]\nb\n", 2, "a cast line is"),
        ("Cast:\n  A = b; images/a.png\u0000.exe\n[0:00 – a]\nb\n", 2, "U+0000"),
        ("INT. A\n\n" + "[[" * 5_000, 3, "the note is never closed with ]]"),
        ("INT. A\n\n" + "/*" * 5_000, 3, "the boneyard is never closed with */"),
        ("# T\n\n## S\n\na" + "<!--" * 4_000, 5, "never closed"),
    ],
)
def test_what_is_too_much_or_left_open_is_named(text: str, line: int, message: str) -> None:
    with pytest.raises(InvalidScript) as caught:
        read_script(text)

    assert line in {fault.line for fault in caught.value.faults}
    assert any(message in fault.message for fault in caught.value.faults)


@pytest.mark.parametrize("seed", range(300))
def test_a_sample_with_pieces_changed_is_read_or_refused(seed: int) -> None:
    source = random.Random(seed)
    text = source.choice(SAMPLES).read_text(encoding="utf-8")
    for _ in range(source.randint(1, 12)):
        begin = source.randrange(len(text) + 1)
        end = min(len(text), begin + source.choice((0, 0, 1, 3, 40, 400)))
        other = source.choice(SAMPLES).read_text(encoding="utf-8")
        cut = source.randrange(len(other))
        piece = source.choice(
            (*source.choices(ATOMS, k=3), "\n", "\n\n", "", other[cut : cut + source.randint(1, 200)])
        )
        text = text[:begin] + piece + text[end:]

    for form in (None, source.choice(FORMS)):
        first, again = check(text, form), result(text, form)
        assert str(first) == str(again)


WORST = """
from pathlib import Path
from tests.hostile.test_scripts import BEGINNINGS, filled, result
for beginning, atom, columns in (
    (BEGINNINGS[1], "**", 26), (BEGINNINGS[1], "a", 26), (BEGINNINGS[1], "A", 26), (BEGINNINGS[1], "[a](", 19_000),
    (BEGINNINGS[1], "“a. ", 19_000), (BEGINNINGS[2], "“a. ", 19_000), (BEGINNINGS[4], "<!---->", 19_000),
    (BEGINNINGS[3], "| a | b | c |", 13), (BEGINNINGS[4], "**A**: b", 26), ("", ".A", 2),
):
    result(beginning + filled(atom, 500_000, columns=columns, apart=columns == 2), None)
# In MiB. The maximum of getrusage counts the memory of the process that began this one.
print(int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024)
"""


def test_the_worst_scripts_of_half_a_megabyte_are_read_in_200_mib() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WORST], cwd=ROOT, capture_output=True, text=True, timeout=240, check=True
    )

    assert int(ended.stdout) <= 200
