"""docs/settings.md is what the code says, and names every setting that is read."""

import re
from pathlib import Path

from docs.make_settings import page

ROOT = Path(__file__).parents[2]
SETTING = re.compile(r"(?:EVERGREEN|RUNWAYML)_[A-Z0-9_]*[A-Z]")


def test_the_page_on_settings_is_current() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == page(), "run make docs"


def test_every_setting_of_the_server_has_a_row() -> None:
    rows = re.findall(r"^\| `.*", page().partition("## The clients'")[0], re.MULTILINE)
    named = {name for row in rows for name in SETTING.findall(row.split(" | ")[0])}
    read = set(SETTING.findall((ROOT / "server/evergreen_server/config/settings.py").read_text()))

    assert len(read) > 20
    assert named == read
