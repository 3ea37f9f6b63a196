"""Reading and dividing scripts: a film of ordinary size, and the worst of half a megabyte.

The reference is fountain-py alone on the ordinary film, in the same run; each figure is CPU time.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from statistics import median

from fountain import FountainParser

from evergreen_server.film.screenplay.reading import read_script
from evergreen_server.film.screenplay.script import InvalidScript
from evergreen_server.film.screenplay.splitter import Limits, split
from tests.benchmarks.machine import ratio, table

ROUNDS, QUICK_ROUNDS = 15, 3
LIMITS = Limits(longest_clip=10, longest_line=5_000)
WORST_SECONDS = 1.0
LINE = "Ada climbs a spiral stair, one hand on the wall, a tin of *oil* in the other. [[Whose?]]"


def film(scenes: int) -> str:
    """A screenplay of about 0.8 KB a scene."""
    body = f"{LINE}\n{LINE}\n\nADA\n(softly)\n{LINE}\n\n{LINE} {LINE}\n\nBEN (V.O.)\n{LINE}\n{LINE}"
    return "\n\n".join(f"INT. LAMP ROOM {number} - NIGHT #{number}#\n\n{body}" for number in range(scenes))


def filled(beginning: str, line: str) -> str:
    """Lines up to both limits, 20,000 of them and half a megabyte, in paragraphs of 400."""
    line = (line * 26)[:26] + "\n"
    return beginning + "".join(line + ("\n" if number % 400 == 399 else "") for number in range(18_900))


WORST = {
    "Fountain, open emphasis": filled("INT. A\n\n", "**"),
    "Fountain, open quotation marks in wide lines": "INT. A\n\n" + (("“a. " * 4_900) + "\n\n") * 17,
    "A/V, a field on each line": filled("[0:00 - a]\n", "Visual: a"),
    "A/V table, a fault in each row": filled("| time | visual |\n|---|---|\n", "| a | b |"),
    "Markdown, a speaker on each line": filled("## S\n\n", "**A**: b "),
    "plain, a scene on each line": "a\n\n" * 9_900,
}


def divide(text: str) -> None:
    with suppress(InvalidScript):
        split(read_script(text), LIMITS)


def cpu(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def run(*, quick: bool) -> None:
    rounds, ordinary = QUICK_ROUNDS if quick else ROUNDS, film(190)
    assert len(split(read_script(ordinary), LIMITS).scenes) == 190
    pairs = [(cpu(lambda: FountainParser().parse(ordinary)), cpu(lambda: divide(ordinary))) for _ in range(rounds)]
    alone, ours = (median(times) for times in zip(*pairs, strict=True))
    rows = [[f"190 scenes, {len(ordinary) // 1024} KiB", f"{ours * 1000:.0f}", f"{ratio(pairs):.2f}"]]
    for name, text in WORST.items():
        took = median(cpu(lambda text=text: divide(text)) for _ in range(rounds))
        rows.append([name, f"{took * 1000:.0f}", f"{took / alone:.2f}"])
    slowest = max(float(row[1]) for row in rows) / 1000
    table(
        "Reading scripts",
        ("script", "CPU, ms", "fountain-py alone on the film"),
        rows,
        f"fountain-py alone: {alone * 1000:.0f} ms. The slowest took {slowest:.2f} s; "
        f"aim {WORST_SECONDS:.0f} s: {'met' if slowest <= WORST_SECONDS else 'MISSED'}.",
    )
