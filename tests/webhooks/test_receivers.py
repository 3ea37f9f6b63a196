"""Receivers of requests of the real server: the official packages, both clients, and the examples of the page."""

import asyncio
import base64
import json
import os
import re
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from standardwebhooks.webhooks import Webhook as Official
from standardwebhooks.webhooks import WebhookVerificationError

from evergreen import Delivery, DeliveryState, WebhookRejected, WireClient
from evergreen.webhooks import verify
from evergreen_server.webhooks.kinds import DEFAULT, EVENTS
from tests.clients.node import ROOT, run_node
from tests.serving import Api, open_sandbox, serving
from tests.webhooks.office import Got, Receiver, receiving

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = (ROOT / "docs" / "webhooks.md").read_text()
SECONDS = 60.0


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    """Of the examples' receivers, which the operator must have allowed before."""
    return {name: free_port() for name in ("python", "node")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(
    tmp_path_factory: pytest.TempPathFactory, receiver: Receiver, ports: dict[str, int]
) -> AsyncIterator[Api]:
    folder = tmp_path_factory.mktemp("receivers")
    key = folder / "key"
    key.write_text(secrets.token_urlsafe(48))
    key.chmod(0o600)
    hosts = [receiver.url.removeprefix("http://"), *(f"127.0.0.1:{port}" for port in ports.values())]
    changes = {"EVERGREEN_WEBHOOK_KEY_FILE": str(key), "EVERGREEN_WEBHOOK_HOSTS": ",".join(hosts)}
    async with open_sandbox() as sandbox, serving(folder / "data", sandbox.url, **changes) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(api: Api) -> AsyncIterator[WireClient]:
    async with WireClient(api.address) as opened:
        yield opened


async def sounded(client: WireClient) -> str:
    """The id of a job that is created, started, and ends."""
    fields = {"project_id": "film", "scene_id": "s", "labels": {"notify": "us"}}
    job = await client.generate_sound(model="eleven_text_to_sound_v2", prompt_text="rain", duration_seconds=1, **fields)
    return job.job_id


def by_official(got: Got, secret: str) -> bool:
    try:
        Official(secret).verify(got.body, got.headers)
    except WebhookVerificationError:
        return False
    return True


def by_ours(got: Got, secret: str) -> bool:
    try:
        verify(got.body, got.headers, secret)
    except WebhookRejected:
        return False
    return True


async def by_node(asked: Sequence[tuple[Got, str]], folder: Path) -> list[tuple[bool, str]]:
    """What the official package of npm makes of each, and the type and job that the TypeScript client reads."""
    file = folder / "recorded.json"
    recorded = [{"body": got.body.decode(), "headers": got.headers, "secret": secret} for got, secret in asked]
    file.write_text(json.dumps(recorded))
    lines = (await run_node("verifier.js", str(file))).splitlines()
    return [(official, told) for official, told in map(json.loads, lines)]


async def test_every_delivery_is_verified_before_during_and_after_a_rotation(
    client: WireClient, receiver: Receiver, tmp_path: Path
) -> None:
    names = ("audio.created", "audio.started", "audio.succeeded")
    made = await client.webhooks.create(url=receiver.url, project_ids=["film"], types=names)
    webhook_id, first = made.webhook.webhook_id, made.secret
    before = [await sounded(client)], len(await receiver.until(3))
    second = (await client.webhooks.rotate_secret(webhook_id)).secret
    during = [await sounded(client)], len(await receiver.until(before[1] + 3))
    third = (await client.webhooks.rotate_secret(webhook_id, overlap=timedelta())).secret
    after = [await sounded(client)], len(await receiver.until(during[1] + 3))
    await client.webhooks.delete(webhook_id)

    got = receiver.got
    signing = [{first}] * before[1] + [{first, second}] * (during[1] - before[1]) + [{third}] * (after[1] - during[1])
    asked = [(each, secret) for each in got for secret in (first, second, third)]
    good = [secret in signing[number] for number in range(len(got)) for secret in (first, second, third)]
    assert [by_official(*each) for each in asked] == good
    assert [by_ours(*each) for each in asked] == good
    node = await by_node(asked, tmp_path)
    assert [official for official, _ in node] == good
    assert [told != "" for _, told in node] == good
    jobs = [*before[0], *during[0], *after[0]]
    assert {told for _, told in node if told} == {f"{name} {job_id}" for name in names for job_id in jobs}


@asynccontextmanager
async def running(*command: str, port: int, secret: str) -> AsyncIterator[asyncio.StreamReader]:
    """A receiver as a process of its own, once it listens; gives what it prints."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, "PORT": str(port), "WEBHOOK_SECRET": secret},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                with suppress(ConnectionError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
        assert process.stdout is not None
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("language", ["python", "node"])
async def test_the_pages_receivers_take_what_is_genuine_once_and_nothing_else(
    client: WireClient, ports: dict[str, int], tmp_path: Path, language: str
) -> None:
    url = f"http://127.0.0.1:{ports[language]}/hooks"
    made = await client.webhooks.create(
        url=url, project_ids=["film"], types=["audio.succeeded"], labels={"notify": "us"}
    )
    webhook_id = made.webhook.webhook_id
    program = tmp_path / "receiver.py"
    if language == "node":
        # Compiled, and where the package is found.
        await by_node([], tmp_path)
        program = ROOT / ".make" / "typescript" / "receiver-of-the-page.mjs"
    program.write_text(examples({"node": "js"}.get(language, language))[0])
    command = ("node" if language == "node" else sys.executable, str(program))

    async with running(*command, port=ports[language], secret=made.secret) as printed, asyncio.timeout(SECONDS):
        tested = await client.webhooks.test(webhook_id)
        job_id = await sounded(client)
        lines = [(await printed.readline()).decode().split() for _ in range(2)]
        delivery = await delivered(client, webhook_id)
        assert await client.webhooks.redeliver(webhook_id, delivery.message_id) == 1
        await delivered(client, webhook_id, after=delivery.last_attempt_time)
        await client.webhooks.test(webhook_id)
        lines.append((await printed.readline()).decode().split())
        await client.webhooks.rotate_secret(webhook_id, overlap=timedelta())
        forged = await client.webhooks.test(webhook_id)
        await client.webhooks.delete(webhook_id)

    assert (tested.succeeded, tested.status) == (True, 204), tested
    # The repeat is told by nobody.
    assert lines == [
        ["evergreen.ping", "0"],
        ["audio.succeeded", str(delivery.revision), job_id],
        ["evergreen.ping", "0"],
    ]
    assert (forged.succeeded, forged.status) == (False, 400)


async def delivered(client: WireClient, webhook_id: str, after: Timestamp | None = None) -> Delivery:
    """Waits until the one delivery of a webhook was made, and last after a time."""
    while True:
        async for each in client.webhooks.deliveries(webhook_id, states=[DeliveryState.DELIVERY_STATE_DELIVERED]):
            if after is None or each.last_attempt_time.ToNanoseconds() > after.ToNanoseconds():
                return each
        await asyncio.sleep(0.02)


async def test_what_is_done_by_hand_comes_to_the_same(client: WireClient, receiver: Receiver, tmp_path: Path) -> None:
    made = await client.webhooks.create(url=receiver.url, project_ids=["film"])
    number = len(receiver.got)
    await client.webhooks.test(made.webhook.webhook_id)
    await client.webhooks.delete(made.webhook.webhook_id)
    got = receiver.got[number]
    names: dict[str, Callable[[str, bytes, dict[str, str]], bool]] = {}
    [by_hand] = [text for text in examples("python") if "is_genuine" in text]
    exec(by_hand, names)  # the page's own example
    [shell] = [text for text in examples("sh") if "openssl dgst" in text]
    script, body = tmp_path / "verify.sh", tmp_path / "body"
    script.write_text(shell)

    for genuine, data, secret in (
        (True, got.body, made.secret),
        (False, got.body + b" ", made.secret),
        (False, got.body, "whsec_" + base64.b64encode(b"another").decode()),
    ):
        assert names["is_genuine"](secret, data, got.headers) is genuine
        body.write_bytes(data)
        process = await asyncio.create_subprocess_exec(
            *("sh", str(script)),
            env={
                **os.environ,
                "BODY": str(body),
                "ID": got.headers["webhook-id"],
                "TIMESTAMP": got.headers["webhook-timestamp"],
                "SIGNATURE": got.headers["webhook-signature"],
                "WEBHOOK_SECRET": secret,
            },
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await process.communicate()
        assert (told, process.returncode) == ((b"genuine\n", 0) if genuine else (b"forged\n", 1))


async def test_the_pages_payload_has_the_form_of_a_real_one(receiver: Receiver) -> None:
    [shown] = map(json.loads, examples("json"))
    real = next(got.event for got in receiver.got if got.event["type"] == "audio.succeeded")

    assert shown.keys() == real.keys()
    assert shown["data"].keys() == real["data"].keys()
    assert shown["data"]["job"].keys() <= real["data"]["job"].keys()
    assert shown["data"]["job"]["outputs"][0].keys() <= real["data"]["job"]["outputs"][0].keys()
    assert isinstance(real["data"]["revision"], str)


async def test_the_page_names_every_type() -> None:
    rows = re.findall(r"^\| `(?:video|film)\.….*\| (`.*) \|$", PAGE, re.MULTILINE)
    jobs, films = ([re.findall(r"`(\w+)`", part) for part in row.split(";")] for row in rows)

    assert tuple(jobs[0] + jobs[1]) == EVENTS["video"]
    assert tuple(films[0] + films[1]) == EVENTS["film"]
    assert {f"video.{name}" for name in jobs[0]} | {f"film.{name}" for name in films[0]} == {
        each for each in DEFAULT if each.startswith(("video.", "film."))
    }
