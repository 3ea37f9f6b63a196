"""docs/when-things-go-wrong.md names every metric that is served, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    page = (ROOT / "docs" / "when-things-go-wrong.md").read_text()
    table = re.search(r"^## Metrics\n.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    code = (ROOT / "server" / "evergreen_server" / "metrics.py").read_text()

    assert table is not None
    rows = re.findall(r"^\| (`evergreen_.*?) \|", table[0], re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]

    assert sorted(named) == sorted(re.findall(r'"(evergreen_\w+)"', code))
