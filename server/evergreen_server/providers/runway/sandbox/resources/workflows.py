"""Workflows, which are seeded since only the provider's app makes them, and their runs.

A node of a seeded graph may have `outputs`, such as `{"prompt": {"type": "primitive", "value": "a fox"}}`, which a run
may override, and `run`, `{"operation": …, "body": {…}}`, which becomes a real task. Anywhere in such a body
`{"node": ID, "key": KEY}` stands for an output of another node.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from evergreen_server.providers.runway.catalog.models import Issue, Json, Kind
from evergreen_server.providers.runway.catalog.rules import Path, custom, wrong_type
from evergreen_server.providers.runway.catalog.shapes import Object, Uri, tagged
from evergreen_server.providers.runway.sandbox.http.answers import Answer
from evergreen_server.providers.runway.sandbox.http.creates import plan_of
from evergreen_server.providers.runway.sandbox.http.faults import Script
from evergreen_server.providers.runway.sandbox.http.routes import Asked, Handler, Route
from evergreen_server.providers.runway.sandbox.http.tasks import Tasks
from evergreen_server.providers.runway.sandbox.resources.bodies import body_issues, no_resource, refused
from evergreen_server.providers.runway.sandbox.resources.records import Invocation, Workflow
from evergreen_server.providers.runway.sandbox.resources.shelves import Shelves
from evergreen_server.providers.runway.sandbox.state.books import Books
from evergreen_server.providers.runway.sandbox.state.clock import timestamp
from evergreen_server.providers.runway.sandbox.state.tasks import MILLI, Task

__all__ = ["OUTPUT", "Workflows"]

_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass(frozen=True, slots=True)
class _Primitive:
    """A text, a number, or true or false."""

    expected: ClassVar[str] = "string"

    def issues(self, value: Json, path: Path) -> Iterator[Issue]:
        if not isinstance(value, str | int | float):
            yield wrong_type(path, self.expected, value)

    def describe(self) -> str:
        return "a text, a number, or true or false"


OUTPUT = tagged(
    {
        "primitive": {"value!": _Primitive()},
        "image": {"uri!": Uri(Kind.PICTURE)},
        "video": {"uri!": Uri(Kind.VIDEO)},
        "audio": {"uri!": Uri(Kind.AUDIO)},
    }
)
"""What a node gives to others."""


class Workflows:
    """Answers /v1/workflows and /v1/workflow_invocations."""

    def __init__(
        self, *, shelves: Shelves, books: Books, tasks: Tasks, creates: Mapping[str, Handler], script: Script
    ) -> None:
        """`creates` are the calls that create a task, by operation."""
        self._shelves = shelves
        self._books = books
        self._tasks = tasks
        self._creates = creates
        self._script = script

    def routes(self) -> list[Route]:
        one, run = "/v1/workflows/{id}", "/v1/workflow_invocations/{id}"
        return [
            Route(operation="list_workflows", method="GET", path="/v1/workflows", handler=self._list),
            Route(operation="get_workflow", method="GET", path=one, handler=self._get),
            Route(operation="run_workflow", method="POST", path=one, handler=self._run),
            Route(operation="get_workflow_invocation", method="GET", path=run, handler=self._invocation),
        ]

    async def _list(self, asked: Asked) -> Answer:
        versions: dict[str, list[Json]] = {}
        for workflow in reversed(self._shelves.workflows.all()):
            shown: Json = {"id": workflow.id, "version": workflow.version, "createdAt": timestamp(workflow.created_at)}
            versions.setdefault(workflow.name, []).append(shown)
        return Answer(status=200, body={"data": [{"name": name, "versions": of} for name, of in versions.items()]})

    async def _get(self, asked: Asked) -> Answer:
        workflow = self._shelves.workflows.get(asked.parts["id"])
        if workflow is None:
            return no_resource("Workflow")
        created = timestamp(workflow.created_at)
        body: dict[str, Json] = {
            "id": workflow.id,
            "name": workflow.name,
            "description": workflow.description,
            "version": workflow.version,
            "createdAt": created,
            "updatedAt": created,
            "graph": dict(workflow.graph),
        }
        return Answer(status=200, body=body)

    async def _run(self, asked: Asked) -> Answer:
        workflow = self._shelves.workflows.get(asked.parts["id"])
        if workflow is None:
            return no_resource("Workflow")
        nodes = _nodes(workflow)
        given = Object({}, closed=False)
        rule = Object({"nodeOutputs": given}, closed=False)
        if issues := [*body_issues(rule, asked), *_output_issues(asked.body.get("nodeOutputs"), nodes)]:
            return refused(issues)
        outputs = _outputs(nodes, asked.body.get("nodeOutputs"))
        task_ids: dict[str, str] = {}
        errors: dict[str, str] = {}
        for node_id, node in nodes.items():
            match node.get("run"):
                case {"operation": str(operation), "body": dict(body)} if operation in self._creates:
                    filled = _filled(body, outputs)
                    assert isinstance(filled, dict)
                    plan = plan_of(self._script, operation, filled)
                    answer = await self._creates[operation](replace(asked, body=filled, plan=plan))
                    match answer.body:
                        case {"id": str(task_id)} if answer.status == 200:
                            task_ids[node_id] = task_id
                        case _:
                            errors[node_id] = _reason(answer)
        invocation = Invocation(
            id=str(uuid.uuid4()),
            created_at=asked.now,
            task_ids=task_ids,
            refused=errors,
            names={node_id: name for node_id, node in nodes.items() if isinstance(name := node.get("name"), str)},
        )
        self._shelves.invocations.put(invocation, asked.now)
        return Answer(status=200, body={"id": invocation.id})

    async def _invocation(self, asked: Asked) -> Answer:
        invocation = self._shelves.invocations.get(asked.parts["id"])
        if invocation is None:
            return no_resource("Workflow invocation")
        tasks = {
            node_id: task
            for node_id, task_id in invocation.task_ids.items()
            if (task := self._books.task(task_id, asked.now)) is not None
        }
        body: dict[str, Json] = {"id": invocation.id, "createdAt": timestamp(invocation.created_at)}
        status = body["status"] = _status(invocation, [task.status(asked.now) for task in tasks.values()])
        errors = _errors(invocation, tasks, asked.now)
        if status in ("RUNNING", "SUCCEEDED"):
            body["output"] = {
                node_id: [*self._tasks.outputs(task, asked)]
                for node_id, task in tasks.items()
                if task.status(asked.now) == "SUCCEEDED" and task.deleted_at is None
            }
        if status == "RUNNING":
            parts = [self._progress(task, asked) for task in tasks.values()]
            body["progress"] = round(sum(parts) / len(parts), 2)
        if status == "FAILED":
            body["failure"] = "Every node of the workflow failed."
            if codes := [code for error in errors.values() if (code := error.get("failureCode"))]:
                body["failureCode"] = codes[0]
        if errors and status in ("RUNNING", "SUCCEEDED", "FAILED"):
            body["nodeErrors"] = {**errors}
        if status in ("SUCCEEDED", "FAILED"):
            body["cost"] = {"credits": round(sum(task.charged for task in tasks.values()) / MILLI)}
        return Answer(status=200, body=body)

    def _progress(self, task: Task, asked: Asked) -> float:
        settings = asked.settings
        match task.status(asked.now):
            case "RUNNING":
                return task.progress(asked.now, shape=settings.progress, every=settings.progress_every_seconds)
            case "THROTTLED" | "PENDING":
                return 0.0
            case _:
                return 1.0


def _status(invocation: Invocation, states: Sequence[str]) -> str:
    if not states:
        return "FAILED" if invocation.refused else "SUCCEEDED"
    if all(state in _ENDED for state in states):
        if "SUCCEEDED" in states:
            return "SUCCEEDED"
        return "CANCELLED" if all(state == "CANCELLED" for state in states) else "FAILED"
    if all(state == "THROTTLED" for state in states):
        return "THROTTLED"
    return "PENDING" if all(state in ("THROTTLED", "PENDING") for state in states) else "RUNNING"


def _errors(invocation: Invocation, tasks: Mapping[str, Task], now: float) -> dict[str, dict[str, Json]]:
    errors: dict[str, dict[str, Json]] = {node_id: {"message": text} for node_id, text in invocation.refused.items()}
    for node_id, task in tasks.items():
        failure = task.record.failure
        if task.status(now) == "FAILED" and failure is not None:
            code: dict[str, Json] = {"failureCode": failure.code} if failure.code else {}
            errors[node_id] = {"message": failure.message, **code}
    return {
        node_id: {**error, **({"nodeName": invocation.names[node_id]} if node_id in invocation.names else {})}
        for node_id, error in errors.items()
    }


def _nodes(workflow: Workflow) -> dict[str, Mapping[str, Json]]:
    nodes = workflow.graph["nodes"]
    assert isinstance(nodes, list)
    return {str(node["id"]): node for node in nodes if isinstance(node, dict) and "id" in node}


def _output_issues(given: Json, nodes: Mapping[str, Mapping[str, Json]]) -> Iterator[Issue]:
    for node_id, outputs in given.items() if isinstance(given, dict) else ():
        path: Path = ("nodeOutputs", node_id)
        if node_id not in nodes:
            yield custom(path, "The workflow has no such node")
        elif not isinstance(outputs, dict):
            yield wrong_type(path, "object", outputs)
        else:
            for key, value in outputs.items():
                yield from OUTPUT.issues(value, (*path, key))


def _outputs(nodes: Mapping[str, Mapping[str, Json]], given: Json) -> dict[tuple[str, str], Json]:
    """Returns every output that is known, by node and key: as the run gives it, else as the graph does."""
    outputs: dict[tuple[str, str], Json] = {}
    for source in ({node_id: node.get("outputs") for node_id, node in nodes.items()}, given):
        for node_id, of_node in source.items() if isinstance(source, dict) else ():
            for key, value in of_node.items() if isinstance(of_node, dict) else ():
                if isinstance(value, dict):
                    outputs[node_id, key] = value.get("value", value.get("uri"))
    return outputs


def _filled(value: Json, outputs: Mapping[tuple[str, str], Json]) -> Json:
    match value:
        case {"node": str(node_id), "key": str(key), **rest} if not rest:
            return outputs.get((node_id, key))
        case dict():
            return {name: _filled(member, outputs) for name, member in value.items()}
        case list():
            return [_filled(member, outputs) for member in value]
    return value


def _reason(answer: Answer) -> str:
    match answer.body:
        case {"issues": [{"message": str(message)}, *_]}:
            return message
        case {"error": str(error)}:
            return error
    return "The node could not be run."
