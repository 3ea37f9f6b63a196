"""docs/errors.md names every reason that the code can give, and no other; the contract's comments name none besides."""

import ast
import re
from enum import Enum
from functools import cache
from pathlib import Path

from evergreen_server.film import digests, model, statuses
from evergreen_server.film.runs import deciding, events, run
from evergreen_server.film.screenplay import script
from evergreen_server.jobs.model import states
from evergreen_server.ports import audit, provider, specs, timeline
from evergreen_server.webhooks import model as webhooks

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "server" / "evergreen_server"
PAGE = (ROOT / "docs" / "errors.md").read_text()
WORD = re.compile(r"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?::.*)?", re.DOTALL)
OTHER_ROOMS = ("sandbox", "config", "__main__.py")
"""The sandbox speaks the provider's language; the settings' names are no reasons."""

STATUSES, ERRORS, WARNINGS = (
    {tuple(re.findall(r"`([A-Z_]+)`", cell)[0] for cell in row.split(" | ")[:columns]) for row in rows}
    for part, columns in zip(re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:], (2, 1, 1), strict=True)
    if (rows := re.findall(r"^\| (`[A-Z_]+` \| .*)", part, re.MULTILINE))
)
ON_PAGE = {row[-1] for row in STATUSES | ERRORS | WARNINGS}


@cache
def sources() -> list[ast.Module]:
    paths = [path for path in SERVER.rglob("*.py") if not set(path.relative_to(SERVER).parts) & set(OTHER_ROOMS)]
    return [ast.parse(path.read_text(), str(path)) for path in paths]


def no_reasons(tree: ast.AST) -> set[ast.AST]:
    """The names that a module exports, and the words of the provider's that it compares with."""
    return {
        node
        for place in ast.walk(tree)
        if isinstance(place, ast.pattern)
        or (isinstance(place, ast.Assign) and any(ast.unparse(target) == "__all__" for target in place.targets))
        for node in ast.walk(place)
    }


def vocabulary() -> set[str]:
    """The members of our own enums, which are no reasons either."""
    enums = (
        kind
        for module in (
            audit,
            states,
            specs,
            provider,
            timeline,
            script,
            digests,
            model,
            statuses,
            run,
            deciding,
            events,
            webhooks,
        )
        for kind in vars(module).values()
        if isinstance(kind, type)
    )
    return {member.value for kind in enums if issubclass(kind, Enum) for member in kind}


def statuses_in_the_code() -> set[tuple[str, str]]:
    """Each code and reason that stand together in a call, as those of the error table do."""
    found: set[tuple[str, str]] = set()
    for call in (node for tree in sources() for node in ast.walk(tree) if isinstance(node, ast.Call)):
        given = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg in ("code", "reason"))]
        codes = [node.attr for node in given if ast.unparse(node).startswith("grpc.StatusCode.")]
        # What follows the reason names what is told beside it.
        reasons = [text(node) for node in given if text(node)][:1]
        found |= {(code, reason) for code in codes for reason in reasons}
    return found


def text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def in_the_code() -> set[str]:
    """Every word in capitals that stands in a string, or begins one with a colon after it, and is nothing else."""
    found = {reason for _, reason in statuses_in_the_code()}
    for tree in sources():
        strings = (text(node) for node in set(ast.walk(tree)) - no_reasons(tree))
        found |= {word[1] for string in strings if (word := WORD.fullmatch(string))}
    return found - vocabulary()


def in_the_contract() -> tuple[set[tuple[str, str]], set[str]]:
    """The codes and reasons of its tables, and the words of its lists of causes."""
    contract = "\n".join(path.read_text() for path in (ROOT / "protos" / "evergreen" / "v1").glob("*.proto"))
    statuses = set(re.findall(r"^// \| `([A-Z_]+)` \| `([A-Z_]+)` \|", contract, re.MULTILINE))
    return statuses, set(re.findall(r"^  // \* `([A-Z_]+)`:", contract, re.MULTILINE))


def test_the_page_names_every_reason_of_the_code_and_no_other() -> None:
    assert in_the_code() == ON_PAGE


def test_the_page_tells_the_code_with_which_each_status_leaves() -> None:
    assert len(statuses_in_the_code()) > 15
    assert statuses_in_the_code() <= STATUSES


def test_the_page_names_every_reason_of_the_contract() -> None:
    statuses, causes = in_the_contract()

    assert len(statuses) > 20
    assert statuses <= STATUSES
    assert len(causes) > 25
    assert {(cause,) for cause in causes} <= ERRORS | WARNINGS
