"""Sends random bodies to every create of a sandbox: none may crash it, and each refusal names what is wrong.

python -m tests.providers.runway.sandbox.suite.random_bodies [COUNT [SEED]]
"""

import asyncio
import json
from collections import Counter
from io import BytesIO
from typing import Any

import aiohttp

from evergreen_server.ports.specs import Kind
from tests.providers.runway.sandbox.driver import HEADERS, Caller, opened, picture
from tests.providers.runway.sandbox.made import clip, sound
from tests.providers.runway.sandbox.suite.bodies import Case, Maker

_AT_ONCE = 8


async def storm(runway: Caller, count: int, seed: int) -> tuple[Counter[int], list[str]]:
    """Returns how often each status came, and a line for each answer that is not as it should be."""
    await runway.control("PATCH", "account", {"creditBalance": 10**11, "maxDailyGenerations": None})
    await runway.call("POST", "/v1/routers", json={"slug": "any"})
    media = {
        Kind.PICTURE: await uploaded(runway, "a.png", picture(1280, 720)),
        Kind.VIDEO: await uploaded(runway, "a.mp4", clip(5)),
        Kind.AUDIO: await uploaded(runway, "a.wav", sound(5)),
    }
    maker = Maker(seed, media=media, router="any")
    statuses: Counter[int] = Counter()
    wrong: list[str] = []

    async def send() -> None:
        for number in numbers:
            case = maker.case()
            status, answer = await posted(runway, case)
            statuses[status] += 1
            if (fault := fault_in(case, status, answer)) is not None:
                sent = json.dumps(case.body)[:400]
                wrong.append(f"case {number} of seed {seed}: {fault}: POST /v1/{case.path} {sent}")

    numbers = iter(range(count))
    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(send())
    return statuses, wrong


async def posted(runway: Caller, case: Case) -> tuple[int, Any]:
    data = json.dumps(case.body).encode()
    headers = {**HEADERS, "Content-Type": "application/json"}
    async with runway.session.post(f"{runway.url}/v1/{case.path}", data=BytesIO(data), headers=headers) as answer:
        raw = await answer.read()
        return answer.status, json.loads(raw) if answer.content_type == "application/json" else raw


async def uploaded(runway: Caller, name: str, data: bytes) -> str:
    """Returns the URI of an upload."""
    asked = (await runway.call("POST", "/v1/uploads", json={"filename": name, "type": "ephemeral"})).json
    form = aiohttp.FormData(asked["fields"])
    form.add_field("file", data, filename=name)
    reply = await runway.call("POST", asked["uploadUrl"], data=form, headers={})
    assert reply.status == 204, reply.data
    return str(asked["runwayUri"])


def fault_in(case: Case, status: int, answer: Any) -> str | None:
    """Returns what is wrong with an answer: no crash, and a refusal names members that were sent or are known."""
    if status == 200:
        return None if isinstance(case.body, dict) else "200 for no object"
    if status >= 500 or not isinstance(answer, dict):
        return f"{status} {answer!r:.200}"
    match answer:
        case {"error": "The body must be a JSON object."} if not isinstance(case.body, dict):
            return None
        case {"issues": [*issues]} if status == 400 and issues:
            named = {str(issue["path"][0]) for issue in issues if issue["path"]}
            named |= {key for issue in issues if not issue["path"] for key in issue.get("keys", ())}
            strange = named - case.known - set(case.body)
            if case.spoilt and case.spoilt not in named and any(issue["code"] != "custom" for issue in issues):
                return f"does not name {case.spoilt}: {issues!r:.300}"
            pathless = [issue for issue in issues if not issue["path"] and not issue.get("keys")]
            return f"names {strange or pathless}" if strange or pathless else None
        case {"code": "no_eligible_model" | "router_config_not_found"} if case.path.startswith("generate/"):
            return None
        case {"error": str(error)} if error.startswith("You have reached the limit of"):
            return None
        case {"message": "Request Too Long"} if len(json.dumps(case.body)) > 10 * 1024 * 1024:
            return None
        case {"error": str()} if status == 409 and case.path == "routers":
            return None
    return f"{status} {answer!r:.300}"


async def check_bodies(count: int = 20_000, seed: int = 1) -> bool:
    """Sends so many bodies, and returns whether all answers were as they should be."""
    async with opened(workers=2) as runway:
        statuses, wrong = await storm(runway, count, seed)
    print(
        f"{count} random bodies: {', '.join(f'{times} times {status}' for status, times in sorted(statuses.items()))}"
    )
    print("\n".join(wrong[:50]))
    return not wrong
