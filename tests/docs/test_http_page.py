"""docs/http.md names every path that the gateway serves for a call."""

import re
from pathlib import Path

from evergreen_server.gateway.rest.routes import BINDINGS

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text()


def test_the_table_of_rest_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([A-Z]+) (/\S+)` \|", PAGE, re.MULTILINE)

    assert rows == [(binding.call.partition("/")[2], binding.verb, binding.path) for binding in BINDINGS]
