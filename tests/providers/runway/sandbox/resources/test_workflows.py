"""Workflows: seeded, listed, run as real tasks."""

from typing import Any

from tests.providers.runway.sandbox.driver import Caller
from tests.providers.runway.sandbox.resources.samples import found, made, wrong


def clip(prompt: object) -> dict[str, Any]:
    body = {"model": "gen4.5", "promptText": prompt, "ratio": "1280:720", "duration": 5}
    return {"operation": "text_to_video", "body": body}


GRAPH = {
    "nodes": [
        {"id": "words", "name": "Words", "outputs": {"text": {"type": "primitive", "value": "a fox"}}},
        {"id": "clip", "name": "Clip", "run": clip({"node": "words", "key": "text"})},
    ]
}


async def seeded(runway: Caller, *more: dict[str, Any]) -> str:
    graph = {"nodes": [*GRAPH["nodes"], *more]}
    return str((await runway.control("POST", "workflows", {"name": "Foxes", "graph": graph}))["id"])


async def test_versions_of_a_workflow_are_listed_newest_first(runway: Caller) -> None:
    first, second = await seeded(runway), await seeded(runway)

    (listed,) = (await found(runway, "workflows"))["data"]

    assert listed["name"] == "Foxes"
    assert [(version["id"], version["version"]) for version in listed["versions"]] == [(second, 2), (first, 1)]
    whole = await found(runway, f"workflows/{first}")
    assert whole["graph"] == {"edges": [], "version": 1, **GRAPH}


async def test_a_run_is_followed_to_its_output_and_costs_what_its_tasks_cost(runway: Caller) -> None:
    run = f"workflow_invocations/{(await made(runway, f'workflows/{await seeded(runway)}', {}))['id']}"
    assert await found(runway, run) == {**await found(runway, run), "status": "PENDING"}
    await runway.advance(16)
    running = await found(runway, run)
    await runway.advance(30)

    done = await found(runway, run)

    assert (running["status"], running["output"], running["progress"]) == ("RUNNING", {}, 0.5)
    assert "cost" not in running
    assert (done["status"], done["cost"]) == ("SUCCEEDED", {"credits": 60})
    (url,) = done["output"]["clip"]
    assert (await runway.call("GET", url, headers={})).headers["Content-Type"] == "video/mp4"
    (task,) = (await runway.control("GET", "tasks"))["tasks"]
    assert task["promptText"] == "a fox"


async def test_a_run_gives_nodes_other_outputs(runway: Caller) -> None:
    workflow = await seeded(runway)
    given = {"nodeOutputs": {"words": {"text": {"type": "primitive", "value": "a hen"}}}}

    await made(runway, f"workflows/{workflow}", given)

    (task,) = (await runway.control("GET", "tasks"))["tasks"]
    assert task["promptText"] == "a hen"
    for bad, field in (
        ({"words": {"text": {"type": "primitive", "value": []}}}, "nodeOutputs.words.text.value"),
        ({"words": {"text": {"type": "image", "uri": "ftp://x"}}}, "nodeOutputs.words.text.uri"),
        ({"words": "x"}, "nodeOutputs.words"),
        ({"nobody": {}}, "nodeOutputs.nobody"),
        ([], "nodeOutputs"),
    ):
        assert await wrong(runway, "POST", f"workflows/{workflow}", {"nodeOutputs": bad}) == {field}


async def test_a_node_that_fails_leaves_the_others_and_is_named(runway: Caller) -> None:
    failing = {"id": "bad", "name": "Bad", "run": clip("doomed")}
    invalid = {"id": "odd", "run": clip("")}
    await runway.fault("failure", rule={"match": {"promptText": "doomed"}}, failureCode="INTERNAL", message="No.")
    workflow = await seeded(runway, failing, invalid)
    run = f"workflow_invocations/{(await made(runway, f'workflows/{workflow}', {}))['id']}"
    await runway.advance(60)

    done = await found(runway, run)

    assert (done["status"], [*done["output"]]) == ("SUCCEEDED", ["clip"])
    assert done["nodeErrors"]["bad"] == {"message": "No.", "nodeName": "Bad", "failureCode": "INTERNAL"}
    assert done["nodeErrors"]["odd"].keys() == {"message"}


async def test_a_run_whose_every_node_fails_has_failed(runway: Caller) -> None:
    await runway.fault("failure", rule={"count": None}, failureCode="INTERNAL", message="No.")
    run = f"workflow_invocations/{(await made(runway, f'workflows/{await seeded(runway)}', {}))['id']}"
    await runway.advance(60)

    done = await found(runway, run)

    assert (done["status"], done["failureCode"], done["cost"]) == ("FAILED", "INTERNAL", {"credits": 0})
    assert done["nodeErrors"].keys() == {"clip"}
