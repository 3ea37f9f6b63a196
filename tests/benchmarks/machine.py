"""What every benchmark needs of the machine: cores to pin to, CPU and memory of a process, and a table to print."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

PINNABLE = hasattr(os, "sched_setaffinity")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") / 1024


def cores() -> tuple[set[int], set[int]]:
    """Gives the core of the measured process and the cores of all that loads it; the same ones where there is one."""
    available = sorted(os.sched_getaffinity(0)) if PINNABLE else [0]
    return {available[0]}, set(available[1:]) or {available[0]}


@contextmanager
def pinned(to: set[int]) -> Iterator[None]:
    """Pins this thread, and all threads and processes that it starts inside, to some cores."""
    if not PINNABLE:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, to)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_kib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KIB


def ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """The median of b / a over pairs measured one right after the other."""
    return median(b / a for a, b in pairs)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *notes: str) -> None:
    """Prints one benchmark's result."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    print(f"\n{title}")
    for row in (header, *rows):
        first, *rest = zip(row, widths, strict=True)
        print("  " + first[0].ljust(first[1]) + "".join("  " + text.rjust(width) for text, width in rest))
    for note in notes:
        print(f"  {note}")
    print(end="", flush=True)
