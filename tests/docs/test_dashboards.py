"""The dashboard and the rules ask for metrics, labels and values that there are; both are PromQL that parses."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import promql_parser as promql
import pytest
from ruamel.yaml import YAML

from evergreen_server.film.statuses import Status
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.ports import provider
from evergreen_storage import StorageError
from tests.documented import documented

DEPLOY = Path(__file__).parents[2] / "deploy"
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
SCRAPED = {"job", "instance"}
"""Labels that Prometheus itself puts to all that it scrapes."""
ERRORS = {each.__name__ for each in vars(provider).values() if isinstance(each, type) and issubclass(each, Exception)}
VALUES = {
    "state": {*State, *Status, "used", "idle"},
    "stage": {*Stage, "NEEDS_ATTENTION"},
    "code": {code.name for code in grpc.StatusCode},
    "outcome": {"OK", "CANCELLED", *ERRORS, *(kind.__name__ for kind in StorageError.__subclasses__())},
    "kind": {"read", "write", *ERRORS},
    "job": {"evergreen"},
}


def of_the_rules() -> Iterator[tuple[str, str]]:
    for group in YAML(typ="safe").load(DEPLOY / "prometheus" / "alerts.yaml")["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def of_the_dashboard() -> Iterator[tuple[str, str]]:
    for panel in json.loads((DEPLOY / "grafana" / "evergreen.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            # Grafana's own, which is an interval by the time that it is asked.
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


def faults(expression: str) -> list[str]:
    """What a query asks for that there is not."""
    known = {name + ending: of for name, of in documented().items() for ending in ENDINGS[of.type]}
    found: list[str] = []

    def walk(node: object, by: set[str]) -> None:
        match node:
            case promql.VectorSelector():
                if node.name == "up":
                    return
                of = known.get(node.name)
                if of is None:
                    found.append(f"there is no {node.name}")
                    return
                labels = {*of.labels, *SCRAPED, *(("le",) if node.name.endswith("_bucket") else ())}
                found.extend(f"{node.name} has no {label}" for label in by - labels)
                for matcher in node.matchers.matchers:
                    if matcher.name not in labels:
                        found.append(f"{node.name} has no {matcher.name}")
                    elif (values := VALUES.get(matcher.name)) is not None:
                        found.extend(
                            f"{matcher.name} is never {v}" for v in matcher.value.split("|") if v not in values
                        )
            case promql.MatrixSelector():
                walk(node.vector_selector, by)
            case promql.AggregateExpr():
                walk(node.expr, set(node.modifier.labels) if node.modifier else by)
            case promql.BinaryExpr():
                walk(node.lhs, by)
                walk(node.rhs, by)
            case promql.Call():
                for argument in node.args:
                    walk(argument, by)
            case promql.ParenExpr() | promql.SubqueryExpr() | promql.UnaryExpr():
                walk(node.expr, by)
            case promql.NumberLiteral() | promql.StringLiteral():
                pass
            case _:
                raise AssertionError(f"a kind of node that is not known: {node!r}")

    walk(promql.parse(expression), set())
    return found


@pytest.mark.parametrize(
    "expression",
    [
        "evergreen_nothing > 0",
        "evergreen_queue_depth_total",
        "sum by (project) (evergreen_jobs)",
        'evergreen_jobs{state="BROKEN"}',
        "rate(evergreen_job_seconds[5m])",
        'max(evergreen_jobs{project_id="film"})',
    ],
)
def test_what_is_not_there_is_found(expression: str) -> None:
    assert faults(expression)


def test_a_query_that_is_none_does_not_parse() -> None:
    with pytest.raises(ValueError, match="expected"):
        faults("sum by (state) evergreen_jobs[5m")


def test_the_rules_ask_for_what_there_is() -> None:
    asked = list(of_the_rules())

    assert len(asked) > 10
    assert len({name for name, _ in asked}) == len(asked)
    assert {name: wrong for name, expression in asked if (wrong := faults(expression))} == {}


def test_the_dashboard_asks_for_what_there_is_and_for_all_of_it() -> None:
    asked = list(of_the_dashboard())
    named = {name for _, expression in asked for name in re.findall(r"\bevergreen_\w+", expression)}

    assert len(asked) > 30
    assert {title: wrong for title, expression in asked if (wrong := faults(expression))} == {}
    ours = {name: ENDINGS[of.type] for name, of in documented().items() if name.startswith("evergreen_")}
    assert [name for name, endings in ours.items() if not named & {name + ending for ending in endings}] == []
