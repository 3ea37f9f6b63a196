"""docs/http.md on watching: what it shows is said and heard, and its lists are those of the code."""

import json
import re
from pathlib import Path

import aiohttp

from evergreen.v1 import video_pb2
from evergreen_server.gateway.live.conversations import BROKEN, CODES, GOING_AWAY, TOO_SLOW
from evergreen_server.gateway.live.frames import MEMBERS
from evergreen_server.gateway.live.items import EVENTS, FILM_EVENTS, checkpoint_item, end_item, gap_item, item_of
from evergreen_server.gateway.problems import invalid
from tests.gateway.gateways import gateway_to
from tests.gateway.live.pages import page
from tests.gateway.live.scripted import event, scripted_at

TEXT = (Path(__file__).parents[3] / "docs" / "http.md").read_text()
WATCHING = TEXT.partition("## Watching\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of the table that begins with this title."""
    table = WATCHING.partition(f"| {title} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def shown(cell: str) -> dict[str, object]:
    """The frame that a cell shows; what it leaves out stands as null."""
    text = cell.strip("`").replace("{…}", "null").replace("[…]", "null").replace(", …", "")
    return json.loads(re.sub(r": …", ": null", text))


def test_the_page_names_every_kind_of_event_and_every_close_code() -> None:
    kinds = re.search(r"`event` is what has just happened: (.*?)\. There may be", WATCHING, re.DOTALL)
    codes = {int(row[0]) for row in rows("closed with")}

    assert kinds is not None
    assert re.findall(r"`(\w+)`", kinds[1]) == [name for kind, name in EVENTS.items() if kind]
    assert "film_started" in {f"film_{name}" for name in FILM_EVENTS.values()}
    assert codes == {1000, 1009, GOING_AWAY, BROKEN, TOO_SLOW, *CODES.values()}


async def test_what_the_page_shows_is_understood(path: str) -> None:
    frames = [shown(row[0]) for row in rows("client says")]
    async with scripted_at(path) as upstream, gateway_to(path) as url, page(url) as one:
        await upstream.tell(event(1, "01a2…"))
        for frame in frames:
            if frame["type"] != "hello":
                await one.socket.send_json(frame)
        told = await one.until("pong")
        async with page(url, welcome=False) as other:
            welcome = await other.next()
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{url}/api/v1/projects/film/events", headers={"Accept": "application/x-ndjson"}) as answer,
        ):
            first = json.loads(await answer.content.readline())

    assert {frame["type"] for frame in frames} == MEMBERS.keys()
    assert all(frame.keys() - {"type"} <= MEMBERS[str(frame["type"])] for frame in frames)
    assert "error" not in {each["type"] for each in told}
    assert first["event"] == "snapshot"
    said = {str(frame["type"]): frame for frame in (shown(row[0]) for row in rows("server says"))}
    assert said["welcome"].keys() <= welcome.keys()
    example = json.loads(WATCHING.partition("```json\n")[2].partition("```")[0])
    job = item_of(event(27, "a", video_pb2.EVENT_KIND_PROGRESS))
    assert job is not None
    assert example.keys() == json.loads(job.data).keys()
    assert example["job"].keys() <= json.loads(job.data)["job"].keys()
    fault = invalid("a", "b").fault
    for item in (checkpoint_item("film", 1), gap_item("film", fault), end_item("film", ["a", "film/movie"])):
        assert json.loads(item.data).keys() == said[item.event].keys()
    assert said.keys() == {"welcome", "event", "checkpoint", "gap", "end", "error", "pong"}
