"""Pages for contributors name files and functions; each of them is there."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASES = [ROOT, ROOT / "server/evergreen_server", ROOT / "storage/evergreen_storage", ROOT / "clients/python/evergreen"]
"""What a path may be relative to."""
ARCHITECTURE = ROOT / "docs/architecture.md"
PAGES = [
    *(
        ROOT / name
        for name in (
            "CONTRIBUTING.md",
            "SECURITY.md",
            "docs/architecture.md",
            "docs/glossary.md",
            "docs/state-machine.md",
        )
    ),
    *sorted((ROOT / "docs/adr").glob("*.md")),
]

FILE = re.compile(r"([\w./-]*\w\.(?:py|pyi|proto|toml|sql|ts|mjs|md))(?:::?([A-Za-z_][\w.]*))?")
FOLDER = re.compile(r"((?:[\w.-]+/)+)")
SPAN = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def found(path: str) -> Path | None:
    return next((base / path for base in BASES if (base / path).exists()), None)


@cache
def definitions(path: Path) -> dict[str, str]:
    """The source of what a module defines, by name; that of a class's members by `Class.member`."""
    source = path.read_text()
    names: dict[str, str] = {}

    def add(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            text = ast.get_source_segment(source, node) or ""
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    names[prefix + name] = text
                case ast.ClassDef(name=name):
                    names[prefix + name] = text
                    add(node.body, f"{prefix}{name}.")
                case ast.Assign(targets=targets):
                    names.update((prefix + ast.unparse(target), text) for target in targets)
                case ast.AnnAssign(target=target):
                    names[prefix + ast.unparse(target)] = text

    add(ast.parse(source).body, "")
    return names


def missing(name: str, symbol: str | None) -> bool:
    path = found(name)
    if path is None:
        return True
    return symbol is not None and path.suffix == ".py" and symbol not in definitions(path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_for_contributors_names_is_there(page: Path) -> None:
    text = page.read_text()
    spans = SPAN.findall(FENCE.sub("", text))
    commands = re.findall(r"\btests/[\w/.:-]+", "\n".join(FENCE.findall(text)))

    files = [match for span in (*spans, *commands) if (match := FILE.fullmatch(span))]
    folders = [span for span in spans if FOLDER.fullmatch(span) and found(span.split("/")[0])]

    assert len(files) > (60 if page == ARCHITECTURE else -1)
    assert [match[0] for match in files if missing(match[1], match[2])] == []
    assert [folder for folder in folders if found(folder) is None] == []


def test_the_lines_that_the_architecture_page_points_at_are_there() -> None:
    _, _, table = ARCHITECTURE.read_text().partition("## Where is")
    rows = [
        SPAN.findall(cell)[:1] for row in re.findall(r"^\| .*", table, re.MULTILINE) for cell in row.split(" | ")[1:]
    ]
    pointed = [(where[0], line[0]) for where, line in zip(rows[::2], rows[1::2], strict=True) if where and line]

    assert len(pointed) >= 20
    for where, line in pointed:
        name, _, symbol = where.partition(":")
        path = found(name)
        assert path is not None, where
        assert line in definitions(path)[symbol], (where, line)


@pytest.mark.parametrize("container", ["evergreen_server", "evergreen_server.jobs", "evergreen_storage"])
def test_the_architecture_page_has_the_layers_of_the_import_rules(container: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract.get("containers") == [container]]

    assert f" {' > '.join(layers)}\n" in ARCHITECTURE.read_text()
