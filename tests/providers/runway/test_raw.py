"""`evergreen provider call`: an operator's own request to the provider."""

import asyncio
import json
import os
import sys
import tomllib
from pathlib import Path

import pytest

from evergreen_server.providers.runway.http.raw import path_error
from tests.providers.runway.proxy import proxy
from tests.providers.runway.scripted import KEY, Act, Partial, answer, scripted
from tests.serving import SANDBOX_KEY, Control

ROOT = Path(__file__).parents[3]


async def call(
    *words: str, url: str, stdin: bytes = b"", key: str = KEY, **environ: str
) -> tuple[int | None, str, str]:
    """Runs the command as a process of its own, and gives its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evergreen_server", "provider", "call", *words),
        env={**os.environ, "RUNWAYML_BASE_URL": url, "RUNWAYML_API_SECRET": key, **environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 60)
    return process.returncode, out.decode(), err.decode()


async def test_what_no_command_offers_is_reached_in_the_sandbox(sandbox: Control, tmp_path: Path) -> None:
    knows = {"url": sandbox.url, "key": SANDBOX_KEY}
    document = tmp_path / "document.json"
    document.write_text(json.dumps({"name": "bible", "content": "The rocket is red."}))

    code, out, err = await call("get", "/v1/organization", **knows)
    created = await call("POST", "/v1/documents", "--body", str(document), "--yes", **knows)
    listed = await call("GET", "/v1/documents?limit=1", **knows)
    gone = await call("GET", "/v1/tasks/3f0c2f6e-6a0b-4c57-9a0e-0d8d9f1f6b11", **knows)

    assert (code, err) == (0, "HTTP 200\n")
    assert json.loads(out)["creditBalance"] > 0
    assert created[0] == 0, created
    assert json.loads(listed[1])["data"][0]["id"] == json.loads(created[1])["id"]
    assert (gone[0], gone[2]) == (1, "HTTP 404\n")


async def test_the_request_is_sent_once_as_it_is_worded_and_the_key_is_never_shown() -> None:
    echo = {"error": f"Bearer {KEY} \x1b[31m", "seen": "\N{ROCKET}\x9b1m"}
    async with scripted(answer(500, json.dumps(echo, ensure_ascii=False).encode())) as script:
        code, out, err = await call(
            "PATCH", "/v1/voices/a-b?x=1%2F2", "--body", "-", "--yes", url=script.url, stdin=b'{"a": 1}'
        )

    assert (code, err) == (1, "HTTP 500\n")
    assert KEY not in out + err
    assert "[key]" in out
    assert "\N{ROCKET}" in out
    assert not {"\x1b", "\x9b"} & {*out}
    [request] = script.requests
    assert (request.method, request.target, request.body) == ("PATCH", "/v1/voices/a-b?x=1%2F2", b'{"a": 1}')
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["x-runway-version"]


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (Act.CLOSE, "gave no answer (connection closed)"),
        (Act.HANG, "gave no answer (timeout)"),
        (Partial(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), "gave no answer (timeout)"),
        (Partial(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), "HTTP 200, and the answer is not whole"),
        (answer(302, b"", {"Location": "http://127.0.0.1:1/v1/x"}), "HTTP 302"),
    ],
)
async def test_an_answer_that_does_not_come_is_told_and_not_asked_for_again(act: object, said: str) -> None:
    async with scripted(act) as script:
        code, _, err = await call("POST", "/v1/text_to_image", "--yes", "--timeout", "2", url=script.url)

    assert said in err
    assert (code == 0) == ("not whole" in said)
    assert ("Whether it was carried out is not known" in err) == ("no answer" in said)
    assert "Traceback" not in err
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("POST", "/v1/text_to_image"), "cost credits, which no ledger or limit of the service would know"),
        (("DELETE", "/v1/tasks/a"), "repeat it with --yes"),
        (("GET", "/v2/organization"), "must be a path of the provider's API"),
        (("GET", "http://example.com/v1/x"), "must be a path of the provider's API"),
        (("TRACE", "/v1/organization"), "is not one of"),
        (("POST", "/v1/x", "--yes", "--body", "{}"), "No such file"),
        (("POST", "/v1/x", "--yes", "--body", "-"), "is not JSON"),
    ],
)
async def test_what_may_cost_or_is_no_call_of_the_api_is_not_sent(words: tuple[str, ...], said: str) -> None:
    async with scripted() as script:
        code, out, err = await call(*words, url=script.url, stdin=b"not json")

    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())
    assert not script.requests


@pytest.mark.parametrize(
    "path",
    [
        *("", "/v1", "/v1/", "v1/x", "/v1//x", "/v1/x/", "/v1/../x", "/v1/x/..", "/v1/./x", "/v1/%2e%2e/x", "//v1/x"),
        *(
            "/v1/x#y",
            "/v1/x y",
            "/v1/x\r\nHost: y",
            "/v1/x\\y",
            "/v1/\N{ROCKET}",
            "/v1/x?a=\r\n",
            "/v1/..?x",
            "@h/v1/x",
        ),
    ],
)
def test_no_path_leads_out_of_the_api(path: str) -> None:
    assert path_error(path)


@pytest.mark.parametrize("path", ["/v1/organization", "/v1/tasks/a-b_c", "/v1/x/.../y", "/v1/x?limit=5&cursor=a%3D%3D"])
def test_paths_of_the_api_are_taken(path: str) -> None:
    assert path_error(path) is None


async def test_it_goes_by_the_proxy_and_names_what_is_missing(tmp_path: Path) -> None:
    async with scripted(answer(200, {"ok": True})) as script, proxy() as passed:
        code, out, _ = await call("GET", "/v1/x", url=script.url, EVERGREEN_PROVIDER_PROXY=passed.url)
        missing = await call("GET", "/v1/x", url=script.url, key="")

    assert (code, json.loads(out)) == (0, {"ok": True})
    assert passed.asked == [("GET", f"{script.url}/v1/x")]
    assert missing[0] == 2
    assert "RUNWAYML_API_SECRET: is not set" in missing[2]


def test_the_command_is_one_of_evergreens() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["entry-points"]["evergreen.commands"]["provider"] == "evergreen_server.__main__:provider"
