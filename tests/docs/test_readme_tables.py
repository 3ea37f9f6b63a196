"""The README's tables name every setting of the server and the right of every method, and no others."""

import re
from pathlib import Path

from evergreen_server.rpc.access.policy import RULES

ROOT = Path(__file__).parents[2]
SETTING = re.compile(r"(?:EVERGREEN|RUNWAYML)_[A-Z0-9_]*[A-Z]")


def rows(heading: str) -> list[list[str]]:
    """Returns the cells of the first table below a heading of the README."""
    _, _, part = (ROOT / "README.md").read_text().partition(f"\n## {heading}\n")
    table, _, _ = part.partition("\n## ")
    return [row.strip("|").split(" | ") for row in re.findall(r"^\| `.*", table, re.MULTILINE)]


def test_every_setting_of_the_server_has_a_row() -> None:
    of_the_server = [variable for variable, meaning, *_ in rows("Settings") if "command line" not in meaning]
    named = {name for variable in of_the_server for name in SETTING.findall(variable)}
    read = set(SETTING.findall((ROOT / "server/evergreen_server/config.py").read_text()))

    assert len(read) > 20
    assert named == read


def test_every_method_is_in_the_row_of_its_right() -> None:
    named = {
        (right.strip(" `"), method)
        for right, *cells in rows("Who may call")
        for method in re.findall(r"`([A-Z]\w+)`", cells[0])
    }
    rules = {(str(rule.right), name.rpartition(".")[2]) for name, rule in RULES.items() if rule.right is not None}

    assert named == rules
