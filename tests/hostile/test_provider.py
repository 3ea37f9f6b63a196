"""Whatever the provider answers: a read is tried again, a paid create keeps its id, and the server goes on."""

import json
import logging
from pathlib import Path
from random import Random

import pytest
from google.protobuf import json_format

from evergreen.v1 import video_pb2 as v1
from evergreen_server.ports.provider import (
    Account,
    DailyLimitReached,
    Download,
    ModelLimits,
    OutputUnavailable,
    ProviderError,
    ProviderUnavailable,
    Refused,
    Submission,
    SubmissionUnknown,
)
from evergreen_server.ports.specs import GenerationSpec
from evergreen_server.providers.runway.http import wire
from evergreen_server.providers.runway.http.retry import retry_after_seconds
from tests.hostile.mangled import Mangler, mangled
from tests.providers.runway.scripted import KEY, NOW, TASK_ID, answer, client_for, scripted
from tests.serving import Control, serving

SPEC = GenerationSpec(model="gen4.5", prompt_text="a wish", ratio="1280:720", duration_seconds=5)
DIGITS = b"9" * 400
DEEP = b"[" * 100_000
OTHER_ID = "4f0c2f6e-6a0b-4c57-9a0e-0d8d9f1f6b12"


def made(estimate: bytes, more: bytes = b"") -> bytes:
    return b'{"id":"%s","estimatedCost":{"credits":%s}%s}' % (TASK_ID.encode(), estimate, more)


KEPT = [
    # (what a create answered with 200, the estimate that is taken)
    (made(b"60.5"), 60_500),
    (made(b"0"), 0),
    (made(b"1e16"), None),
    (made(b"10000000000000000"), None),
    (made(b"-10000000000000000"), None),
    (made(b"-0.001"), None),
    (made(b"1e306"), None),
    (made(b"1e999"), None),
    (made(DIGITS), None),
    (made(b"9" * 5000), None),
    (made(b"NaN"), None),
    (made(b"-Infinity"), None),
    (made(b"true"), None),
    (made(b'"60"'), None),
    (made(b"[60]"), None),
    (made(b"null"), None),
    (made(b"5", b',"estimatedCost":"a lot"'), None),
    (made(b"5", b',"note":"\xff\xfe"'), 5_000),
    (made(b"5", b',"\\ud800":"\\udfff"'), 5_000),
    (made(b"5", b',"x":' + DEEP), None),
    (made(b"5", b',"x":"' + b"y" * 2_000_000 + b'"'), None),
    (made(b"5") + b"}", None),
    (b"\xef\xbb\xbf" + made(b"5"), 5_000),
    (made(b"5").decode().encode("utf-16"), 5_000),
    (b'{"id":"x","id":"%s"}' % TASK_ID.encode(), None),
    (b'<html>{"id": "%s", "estimatedCost"' % TASK_ID.encode(), None),
]


@pytest.mark.parametrize(("body", "estimate"), KEPT)
async def test_a_paid_create_keeps_its_id_whatever_else_is_odd(body: bytes, estimate: int | None) -> None:
    async with scripted(answer(200, body)) as script, client_for(script.url) as client:
        found = await client.create(SPEC, [], before_send=lambda: None)

    assert found == Submission(task_id=TASK_ID, estimated_millicredits=estimate)


async def test_an_answer_that_breaks_off_after_the_id_is_no_lost_one() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\nConnection: close\r\n\r\n"
    async with scripted(head + made(b"5")[:70]) as script, client_for(script.url) as client:
        found = await client.create(SPEC, [], before_send=lambda: None)

    assert found == Submission(task_id=TASK_ID, estimated_millicredits=None)


IDS: list[object] = [
    "", " ", "\ud800", "a\0b", "a\nb", "\x1b[31m", "x" * 65, "x" * 900_000, "../organization", "id?x=1", "naïve",
    None, 5, True, [TASK_ID], {"id": TASK_ID},
]  # fmt: skip


@pytest.mark.parametrize("task_id", IDS)
async def test_an_id_by_which_nothing_can_be_asked_for_is_a_lost_answer(task_id: object) -> None:
    async with scripted(answer(200, {"id": task_id})) as script, client_for(script.url) as client:
        with pytest.raises(SubmissionUnknown):
            await client.create(SPEC, [], before_send=lambda: None)


async def test_two_ids_in_a_broken_answer_are_none() -> None:
    body = b'{"id":"%s","id":"%s"' % (TASK_ID.encode(), OTHER_ID.encode())
    async with scripted(answer(200, body)) as script, client_for(script.url) as client:
        with pytest.raises(SubmissionUnknown):
            await client.create(SPEC, [], before_send=lambda: None)


RETRY_AFTER = [
    ("1 Jan 99999999999999999999 00:00:00 GMT", None),
    ("Sun, 22 Nov 99999 12:00:00 GMT", None),
    ("Sun, 99 Nov 2026 12:00:00 GMT", None),
    ("Fri, 31 Dec 9999 23:59:59 -9999", None),
    ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
    ("-5", None),
    ("1e9", None),
    ("NaN", None),
    ("inf", None),
    ("9" * 5000, 86_400.0),
    ("٣", 3.0),
    ("²", None),
    (",", None),
    (" ", None),
    ("0", 0.0),
    ("x" * 8000, None),
    ("Sun, 22 Nov 2026 12:01:00", 60.0),
]


@pytest.mark.parametrize(("header", "seconds"), RETRY_AFTER)
def test_an_absurd_wait_is_none_or_bounded(header: str, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@pytest.mark.parametrize("header", [header for header, _ in RETRY_AFTER if header.isascii()])
async def test_a_429_to_a_create_is_a_daily_limit_whatever_it_says(header: str) -> None:
    said = answer(429, {"error": "limit"}, {"Retry-After": header})
    async with scripted(said) as script, client_for(script.url) as client:
        with pytest.raises(DailyLimitReached):
            await client.create(SPEC, [], before_send=lambda: None)


TASKS = [
    # (members of a task's answer, its progress, what it cost)
    (b'"progress":' + DIGITS, None, None),
    (b'"progress":1e999', None, None),
    (b'"progress":NaN', None, None),
    (b'"progress":"0.5"', None, None),
    (b'"progress":0.5,"output":{"a":1}', 0.5, None),
    (b'"progress":0.5,"output":[["x"],5,null]', 0.5, None),
    (b'"cost":{"credits":1e16}', None, None),
    (b'"cost":{"credits":-10000000000000000}', None, None),
    (b'"cost":{"credits":1e306}', None, None),
    (b'"cost":{"credits":%s}' % DIGITS, None, None),
    (b'"cost":{"credits":%s}' % (b"9" * 5000), None, None),
    (b'"cost":{"credits":true}', None, None),
    (b'"cost":7', None, None),
    (b'"cost":{"credits":7},"failure":"\\ud800","failureCode":["x"]', None, 7_000),
    (b'"cost":{"credits":7},"id":"\\ud800"', None, 7_000),
]


@pytest.mark.parametrize(("members", "progress", "charged"), TASKS)
@pytest.mark.parametrize("status", ["RUNNING", "FAILED", "SUCCEEDED"])
async def test_odd_figures_of_a_task_are_left_out(
    members: bytes, progress: float | None, charged: int | None, status: str
) -> None:
    body = b'{"status":"%s",%s}' % (status.encode(), members)
    async with scripted(answer(200, body)) as script, client_for(script.url) as client:
        task = await client.task(TASK_ID)

    assert (task.status, task.progress, task.charged_millicredits) == (status, progress, charged)
    assert task.output_urls == ()


BROKEN = [
    b"", b"null", b"5", b'"x"', b"[]", b"{}", b"{", DEEP, b'{"a":' * 50_000, b"\xff\xfe\xfa", b"\0" * 64,
    b'{"status":"RUNNING"' + b" " * 2_000_000 + b"}", b'{"creditBalance":' + b"9" * 5000, b"<html>busy</html>",
    b'{"status":["RUNNING"],"creditBalance":"5"}', b'{"status":null,"creditBalance":null}',
]  # fmt: skip


@pytest.mark.parametrize("body", BROKEN)
async def test_an_answer_that_cannot_be_read_is_unavailable(body: bytes) -> None:
    async with scripted(*[answer(200, body)] * 8) as script, client_for(script.url) as client:
        with pytest.raises(ProviderUnavailable):
            await client.account()
        with pytest.raises(ProviderUnavailable):
            await client.task(TASK_ID)


@pytest.mark.parametrize(
    "balance",
    [b"1e306", b"-1e306", b"1e999", b"-Infinity", DIGITS, b"9" * 5000, b"NaN", b"true", b'"5000"', b"[5]", b"1e13"],
)
async def test_an_odd_balance_is_no_account(balance: bytes) -> None:
    said = answer(200, b'{"creditBalance":%s}' % balance)
    async with scripted(*[said] * 4) as script, client_for(script.url) as client:
        with pytest.raises(ProviderUnavailable):
            await client.account()


UNLIMITED = ModelLimits(max_concurrent=None, max_daily=None, used_today=0)
ACCOUNTS = [
    # (the models of the tier, what is kept of them)
    (b'{"m":{"maxConcurrentGenerations":%s}}' % DIGITS, {}),
    (b'{"m":{"maxConcurrentGenerations":1e30}}', {}),
    (b'{"m":{"maxDailyGenerations":1e306}}', {}),
    (b'{"m":{"maxDailyGenerations":-1}}', {}),
    (b'{"m":{"maxDailyGenerations":"many"}}', {}),
    (b'{"m":{"maxDailyGenerations":2147483648}}', {}),
    (b'{"m":{"maxDailyGenerations":null}}', {"m": UNLIMITED}),
    (b'{"\\ud800":{"maxDailyGenerations":1}}', {}),
    (b'{"":{},"a\\u0000b":{},"a b":{},"%s":{}}' % (b"x" * 65), {}),
    (b'["m"]', {}),
    (b'{"m":7}', {"m": UNLIMITED}),
    (b"{%s}" % b",".join(b'"m%d":{}' % number for number in range(2000)), 1000),
]


@pytest.mark.parametrize(("models", "kept"), ACCOUNTS)
async def test_odd_limits_are_left_out_of_an_account(models: bytes, kept: dict[str, ModelLimits] | int) -> None:
    body = b'{"creditBalance":-5,"tier":{"maxMonthlyCreditSpend":1e30,"models":%s}}' % models
    async with scripted(answer(200, body)) as script, client_for(script.url) as client:
        account = await client.account()

    assert isinstance(account, Account)
    assert (account.balance_millicredits, account.max_monthly_millicredits) == (-5_000, None)
    assert account.limits == kept if isinstance(kept, dict) else len(account.limits) == kept


REFUSALS = [
    {"error": "\ud800" * 10, "issues": "none"},
    {"error": ["x"], "issues": [[], None, {"path": 5, "message": 5}]},
    {"error": "no", "issues": [{"path": ["\ud800", 10**30, None, {}], "message": "\x1b[0m \0 odd"}]},
    {"error": "no", "issues": [{"path": ["x"] * 5000, "message": "m"}]},
    {"error": "http://" * 2000, "issues": [{"path": [], "message": f"n{number}"} for number in range(900)]},
    {"error": f"your key {KEY} and data:image/png;base64,AAAA"},
]


@pytest.mark.parametrize("body", REFUSALS)
async def test_an_odd_refusal_is_told_in_clean_and_bounded_words(body: dict[str, object]) -> None:
    async with scripted(answer(400, body)) as script, client_for(script.url) as client:
        with pytest.raises(Refused) as raised:
            await client.create(SPEC, [], before_send=lambda: None)

    told = str(raised.value) + "".join(error.field + error.description for error in raised.value.field_errors)
    assert told.isprintable()
    assert KEY not in told
    assert "base64" not in told
    assert len(raised.value.field_errors) <= 50
    assert len(told) < 30_000


OUTPUTS = ["", "https://", "https://a b/", "https://a/\ud800", "https://a\r\nHost: b/", "ftp://a/", "https://a:99999/"]


@pytest.mark.parametrize("url", [*OUTPUTS, "//a", "https://[::1", "https://" + "a" * 70 + ".invalid/", "x" * 100_000])
async def test_an_output_url_that_cannot_be_asked_is_unavailable(url: str) -> None:
    async with client_for("http://127.0.0.1:9") as client:
        with pytest.raises((OutputUnavailable, ProviderUnavailable)):
            async with client.download(url):
                pytest.fail("it was opened")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 5-9/" + "9" * 5000},
        {"Content-Range": "bytes \u0665-9/10"},
        {"Content-Range": "bytes 5-4/-1"},
        {"Content-Range": "\x7f"},
    ],
)
async def test_a_range_that_makes_no_sense_is_unavailable(headers: dict[str, str]) -> None:
    async with scripted(answer(206, b"01234", headers)) as script, client_for(script.url) as client:
        with pytest.raises(ProviderUnavailable):
            await _read(client.download(f"{script.url}/clip.mp4", offset=5))


async def _read(opened: object) -> Download:
    async with opened as download:  # type: ignore[attr-defined] # the context that `download` gives
        return download


@pytest.mark.parametrize(
    "told",
    [
        {"uploadUrl": "http://a/\ud800", "fields": {}, "runwayUri": "runway://asset-1"},
        {"uploadUrl": "SELF", "fields": {"\ud800": "\ud800"}, "runwayUri": "runway://asset-1"},
        {"uploadUrl": "SELF", "fields": {"k": "v\r\nx: y"}, "runwayUri": "runway://\ud800\ud800\ud800"},
        {"uploadUrl": "SELF", "fields": {}, "runwayUri": "https://elsewhere.example/x"},
        {"uploadUrl": "SELF", "fields": {}, "runwayUri": "runway://" + "x" * 5000},
        {"uploadUrl": "SELF", "fields": [], "runwayUri": "runway://asset-1"},
    ],
)
async def test_an_upload_that_cannot_be_made_is_unavailable(told: dict[str, object]) -> None:
    async def read(offset: int, size: int) -> bytes:
        return bytes(600)[offset : offset + size]

    async with scripted() as script, client_for(script.url) as client:
        script.acts = [answer(200, {**told, "uploadUrl": str(told["uploadUrl"]).replace("SELF", script.url)})] * 8
        with pytest.raises(ProviderError) as raised:
            await client.upload("a.jpg", "image/jpeg", 600, read)

    assert isinstance(raised.value, ProviderUnavailable)


ODD = [
    "0",
    "-1",
    "1e16",
    "-1e306",
    "9" * 400,
    "NaN",
    "Infinity",
    "true",
    "null",
    '"x"',
    '"\\ud800"',
    '"\\u0000"',
    "[]",
    "{}",
]
MEMBERS = [
    "id", "status", "progress", "output", "failure", "failureCode", "cost", "estimatedCost", "credits", "creditBalance",
    "tier", "usage", "models", "maxConcurrentGenerations", "dailyGenerations", "error", "issues", "path", "message",
]  # fmt: skip


RIGHT = ['"status":"FAILED"', '"status":"RUNNING"', '"creditBalance":5', f'"id":"{TASK_ID}"']


def odd_json(source: Random, depth: int = 0) -> str:
    """Draws JSON of the API's own members with odd values in them, now and then several times the same member."""
    kind = source.random()
    if depth > 3 or (depth and kind < 0.4):
        return source.choice([*ODD, '"RUNNING"', '"SUCCEEDED"', '"FAILED"', f'"{TASK_ID}"', "5"])
    if kind < 0.5:
        return "[" + ",".join(odd_json(source, depth + 1) for _ in range(source.randrange(4))) + "]"
    names = [source.choice(MEMBERS) for _ in range(source.randrange(8))]
    members = [f'"{name}":{odd_json(source, depth + 1)}' for name in names]
    return "{" + ",".join([*members, "" if depth else source.choice(RIGHT)]).strip(",") + "}"


def test_no_answer_raises_anything_of_its_own() -> None:
    source, read = Random(11), 0
    composed = wire.request_for(SPEC, [])[1]
    for _ in range(3000):
        body = odd_json(source).encode()
        parsed = wire.parse(body)
        task, account, submission = wire.read_task("t", parsed), wire.read_account(parsed), wire.read_submission(parsed)
        read += sum(found is not None for found in (task, account, submission))
        told = [*wire.field_errors_of(body, composed), *([task.failure] if task and task.failure else [])]
        assert all(str(each).isprintable() for each in told)
        wire.error_text(body).encode()

    assert read > 1000


async def test_a_job_is_delivered_by_a_provider_that_is_odd_everywhere(
    tmp_path: Path, sandbox: Control, caplog: pytest.LogCaptureFixture
) -> None:
    """The account cannot be read at first, then has odd limits; estimate, progress and cost are never right."""
    caplog.set_level(logging.INFO)
    accounts = [b'{"creditBalance":%s}' % DIGITS, b'{"creditBalance":1e306}', DEEP]
    mangler = Mangler()

    @mangler.on("GET", "/v1/organization")
    def odd_account(body: dict[str, object]) -> bytes:
        if accounts:
            return accounts.pop()
        return json.dumps(body).replace('"maxDailyGenerations": ', '"maxDailyGenerations": 1' + "0" * 30).encode()

    @mangler.on("POST", "/v1/text_to_video")
    def odd_estimate(body: dict[str, object]) -> bytes:
        return b'{"id":"%s","estimatedCost":{"credits":1e16}}' % str(body["id"]).encode()

    @mangler.on("GET", "/v1/tasks/")
    def odd_task(body: dict[str, object]) -> bytes:
        text = json.dumps({**body, "cost": {"credits": "COST"}, "progress": "PROGRESS"})
        return text.replace('"COST"', "-1e16").replace('"PROGRESS"', "9" * 400).encode()

    async with mangled(sandbox.url, mangler) as url, serving(tmp_path / "data", url) as api:
        done = await api.finished((await api.generate()).job_id)
        account = await api.video.GetAccount(v1.GetAccountRequest(project_id="film"))

    assert done.state == v1.JOB_STATE_SUCCEEDED
    assert done.cost_basis == v1.COST_BASIS_UPPER_BOUND
    assert done.charged_credits == 24
    assert json_format.MessageToDict(account)["creditBalance"] > 0
    assert not [record for record in caplog.records if record.exc_info]
