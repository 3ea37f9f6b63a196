"""docs/cli.md is what the commands say."""

from pathlib import Path

from docs.make_cli import page

ROOT = Path(__file__).parents[2]


def test_the_page_on_the_command_line_is_current() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == page(), "run make docs"
