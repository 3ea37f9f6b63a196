"""The table of docs/metrics.md, which says what is served."""

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(\w+)` \| (\w+)(?:, \*all\*)? \| ([^|]*)\|", re.MULTILINE)


@dataclass(frozen=True)
class Documented:
    type: str
    labels: frozenset[str]


def documented() -> dict[str, Documented]:
    """Every metric of the table, by its name without an ending."""
    rows = ROW.findall(PAGE.read_text())
    return {name: Documented(kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
