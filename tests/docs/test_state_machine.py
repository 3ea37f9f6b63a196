"""docs/state-machine.md is what the transitions say."""

from pathlib import Path

from docs.make_state_machine import page

PAGE = Path(__file__).parents[2] / "docs" / "state-machine.md"


def test_the_page_on_states_is_current() -> None:
    assert PAGE.read_text() == page(), "run make docs"
