"""Writes the page on the settings in Markdown, from the docstrings of `config/settings.py:Config`.

Run by `make docs`; the page goes to stdout.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "server" / "evergreen_server" / "config" / "settings.py"

HEAD = """# Settings

<!-- Generated from server/evergreen_server/config/settings.py by `make docs`; edit that. -->

All settings are environment variables. At its start the server reports all that are invalid at once, by name, and
never prints a secret; a name that is almost a setting is refused too. `evergreen serve` has options for those that are
changed most: `--listen`, `--http`, `--sandbox` and `--insecure`.

## The server's

| variable | meaning | default |
|---|---|---|"""

CLIENTS = """
## The clients'

The command line reads these, each of which has an option too, such as `--endpoint`. The clients of Python and of Node
read all but the last two where an argument is absent.

| variable | meaning | default |
|---|---|---|
| `EVERGREEN_ENDPOINT` | the server, as `host:port` | `127.0.0.1:50051` |
| `EVERGREEN_TOKEN`, `EVERGREEN_TOKEN_FILE` | the token, or the file that holds it | none |
| `EVERGREEN_TLS`, `EVERGREEN_TLS_CA` | whether TLS is used, and which authorities are trusted | none; the usual ones |
| `EVERGREEN_TLS_CLIENT_CERT`, `EVERGREEN_TLS_CLIENT_KEY` | the client's certificate and key, for mutual TLS | none |
| `EVERGREEN_CONTEXT` | a service that `evergreen context add` has named, for all of the above | that of `context use` |
| `EVERGREEN_PROJECT`, `EVERGREEN_SCENE` | the project and the scene of commands that name none | none |
"""

DECLARED = re.compile(r"((?:[A-Z0-9]+_[A-Z0-9_*]+)(?:, [A-Z0-9]+_[A-Z0-9_*]+)*): (.*)", re.DOTALL)
DEFAULT = re.compile(r"(.*?)\s*\bDefault (.*)\.", re.DOTALL)
PLAIN = re.compile(r"[0-9A-Za-z.:/_-]*[0-9:./_][0-9A-Za-z.:/_-]*|json|text")


def page() -> str:
    """Returns the whole page."""
    return "\n".join([HEAD, *rows(), CLIENTS])


def rows() -> Iterator[str]:
    """Yields a row for each field of the settings that an environment variable sets."""
    classes = (node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.ClassDef))
    body = next(node.body for node in classes if node.name == "Config")
    for node in body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found = DECLARED.fullmatch(" ".join(node.value.value.split()))
            if found is not None:
                yield _row(*found.groups())


def _row(names: str, text: str) -> str:
    told = DEFAULT.fullmatch(text)
    meaning, default = told.groups() if told else (text, "none")
    variables = ", ".join(f"`{name}`" for name in names.split(", "))
    shown = f"`{default}`" if PLAIN.fullmatch(default) else default
    return f"| {variables} | {meaning.rstrip(' .')} | {shown} |"


if __name__ == "__main__":
    sys.stdout.write(page())
