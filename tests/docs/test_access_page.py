"""docs/access.md names the right of every method, and no others."""

import re
from pathlib import Path

from evergreen_server.rpc.access.policy import RULES

PAGE = (Path(__file__).parents[2] / "docs" / "access.md").read_text()


def test_every_method_is_in_the_row_of_its_right() -> None:
    rows = [row.strip("|").split(" | ") for row in re.findall(r"^\| `.*", PAGE, re.MULTILINE)]
    named = {(right.strip(" `"), method) for right, *cells in rows for method in re.findall(r"`([A-Z]\w+)`", cells[0])}
    rules = {(str(rule.right), name.rpartition(".")[2]) for name, rule in RULES.items() if rule.right is not None}

    assert named == rules
