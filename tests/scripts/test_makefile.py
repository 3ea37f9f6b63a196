"""`make help` lists every target, and no page names one that is not there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
# In prose between backticks, in a block with a word on it. "Make sure" is neither.
NAMED = re.compile(r"(?:`make |^make (?=\S+ +#))([a-z0-9-]+)", re.MULTILINE)
LISTED = re.findall(r"^([a-z0-9-]+):.*## ", MAKEFILE, re.MULTILINE)


def test_the_targets_that_help_lists_are_those_that_make_no_file() -> None:
    [phony] = re.findall(r"^\.PHONY:((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)

    assert phony.replace("\\", "").split() == LISTED


def test_the_targets_that_pages_name_are_there() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    named = {name for page in pages for name in NAMED.findall(page.read_text())}

    assert len(named) > 5
    assert named - {*LISTED} == set()


def test_the_scripts_that_the_makefile_names_are_there() -> None:
    named = set(re.findall(r"scripts/[\w./-]+", MAKEFILE))

    assert len(named) > 5
    assert {name for name in named if not (ROOT / name).exists()} == set()
