"""`evergreen doctor` finds each fault that keeps a server from working, and says what to do."""

import asyncio
import json
import os
import resource
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from evergreen_server.config import Config
from evergreen_server.doctor import Finding, examine
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.migrations import VERSION
from evergreen_server.providers.runway.sandbox import SANDBOX_KEY
from tests.media.web import Web, response
from tests.postgres import Postgres
from tests.serving import Control

KEY = "key_" + "5" * 128


async def found(folder: Path, **environ: str) -> dict[str, Finding]:
    """What is found with some settings, by check; without a provider, unless they name one."""
    usual = {"EVERGREEN_DATA_DIR": str(folder / "data"), "RUNWAYML_API_SECRET": KEY}
    sandbox = "RUNWAYML_BASE_URL" not in environ
    config = Config.from_env({**usual, **environ}, sandbox=sandbox)
    return {finding.check: finding async for finding in examine(config)}


async def wrong(check: str, folder: Path, **environ: str) -> str:
    """What a check says of these settings, which are wrong in nothing else."""
    findings = await found(folder, **environ)
    assert [finding.check for finding in findings.values() if finding.state == "wrong"] == [check], findings
    assert findings[check].advice
    return findings[check].text


async def test_nothing_is_wrong_with_what_a_server_can_be_started_with(tmp_path: Path, sandbox: Control) -> None:
    findings = await found(tmp_path, RUNWAYML_BASE_URL=sandbox.url, RUNWAYML_API_SECRET=SANDBOX_KEY)

    assert {finding.check: finding.state for finding in findings.values()} == {
        **dict.fromkeys(("settings", "access", "database", "storage", "provider", "clock", "files"), "ok"),
        "webhooks": "skipped",
    }
    assert "credits" in findings["provider"].text
    assert not list((tmp_path / "data").iterdir()), "nothing is left of the probe"
    assert SANDBOX_KEY not in str(findings)


async def test_a_database_that_cannot_be_used_is_told_with_the_cause(tmp_path: Path, postgres: Postgres) -> None:
    url = "sqlite:///{}"
    broken, newer, inside = tmp_path / "broken", tmp_path / "newer", tmp_path / "broken" / "inside"
    broken.write_bytes(b"no database" * 1000)
    async with open_database(url.format(newer)):
        assert (await found(tmp_path, EVERGREEN_DATABASE_URL=url.format(newer)))["database"].state == "ok", "in use"
    with sqlite3.connect(newer) as db:
        db.execute("UPDATE schema_version SET version = version + 1")
    db.close()
    of_nobody = "postgresql://someone:sesame@127.0.0.1:1/jobs"

    assert "not a database" in await wrong("database", tmp_path, EVERGREEN_DATABASE_URL=url.format(broken))
    assert f"{VERSION + 1}" in await wrong("database", tmp_path, EVERGREEN_DATABASE_URL=url.format(newer))
    assert "no folder" in await wrong("database", tmp_path, EVERGREEN_DATABASE_URL=url.format(inside))
    text = await wrong("database", tmp_path, EVERGREEN_DATABASE_URL=of_nobody)
    assert "cannot be opened" in text
    assert "sesame" not in text
    findings = await found(tmp_path, EVERGREEN_DATABASE_URL=postgres.create())
    assert [findings[name].state for name in ("database", "clock")] == ["ok", "ok"]
    assert "empty" in findings["database"].text


async def test_a_storage_that_cannot_be_used_is_told_with_the_cause(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    assert "foo" in await wrong("storage", tmp_path, EVERGREEN_STORAGE_URL="foo://user:sesame@bar")
    assert await wrong("storage", tmp_path, EVERGREEN_STORAGE_URL=(tmp_path / "file").as_uri())
    text = await wrong(
        "storage", tmp_path, EVERGREEN_STORAGE_URL="file:///tmp/x", EVERGREEN_STORAGE_OPTIONS='{"key": "sesame"}'
    )
    assert "sesame" not in text


async def test_a_provider_that_does_not_answer_as_it_should_is_told_with_the_cause(
    tmp_path: Path, sandbox: Control
) -> None:
    async with Web() as web:
        web.routes["/v1/organization"] = response(b"<html>sign in</html>")
        here = f"http://127.0.0.1:{web.port}"

        assert "no answer" in await wrong("provider", tmp_path, RUNWAYML_BASE_URL="http://127.0.0.1:1")
        assert "does not answer as" in await wrong("provider", tmp_path, RUNWAYML_BASE_URL=here)
        web.routes["/v1/organization"] = response(b"", status=503)
        assert "503" in await wrong("provider", tmp_path, RUNWAYML_BASE_URL=here)
    refused = {"RUNWAYML_BASE_URL": sandbox.url, "RUNWAYML_API_SECRET": "sesame"}
    assert "refuses the key" in await wrong("provider", tmp_path, **refused)


async def test_a_clock_that_is_wrong_is_told_with_how_much(tmp_path: Path) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    body = b'{"creditBalance": 5}'
    head = f"HTTP/1.1 200 OK\r\nDate: {later}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    async with Web() as web:
        web.routes["/v1/organization"] = head.encode() + body

        text = await wrong("clock", tmp_path, RUNWAYML_BASE_URL=f"http://127.0.0.1:{web.port}")

    assert "behind that of the provider" in text


async def test_files_that_cannot_be_used_are_told_with_the_cause(tmp_path: Path) -> None:
    tokens, key = tmp_path / "tokens", tmp_path / "key"
    tokens.write_text("no JSON")
    key.write_text("short")
    key.chmod(0o600)

    assert "line 1" in await wrong("access", tmp_path, EVERGREEN_TOKENS_FILE=str(tokens))
    assert "too short" in await wrong("webhooks", tmp_path, EVERGREEN_WEBHOOK_KEY_FILE=str(key))
    key.write_text("a" * 64)
    key.chmod(0o644)
    assert "chmod 600" in await wrong("webhooks", tmp_path, EVERGREEN_WEBHOOK_KEY_FILE=str(key))
    key.chmod(0o600)
    assert (await found(tmp_path, EVERGREEN_WEBHOOK_KEY_FILE=str(key)))["webhooks"].state == "ok"


def run(folder: Path, *options: str, files: int | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    command = [sys.executable, "-m", "evergreen_server", "doctor", *options]
    env = {**os.environ, "EVERGREEN_DATA_DIR": str(folder / "data"), **environ}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, preexec_fn=limit, check=False)


@pytest.mark.parametrize("form", ["table", "json"])
def test_the_command_exits_with_1_if_anything_is_wrong(tmp_path: Path, form: str) -> None:
    few = run(tmp_path, "--sandbox", "--output", form, files=500)
    bad = run(
        tmp_path, "--output", form, EVERGREEN_LISTEN="0.0.0.0:1", EVERGREEN_MAX_QUEUED="many", RUNWAYML_API_SECRET=""
    )

    assert (few.returncode, bad.returncode) == (1, 1), few.stderr + bad.stderr
    if form == "json":
        findings = [json.loads(line) for line in few.stdout.splitlines()]
        assert [each["check"] for each in findings if each["state"] == "wrong"] == ["files"]
        assert all(json.loads(line)["check"] == "settings" for line in bad.stdout.splitlines())
    else:
        assert "wrong    files     500 files" in few.stdout
        assert "ulimit -n" in few.stdout
    for name in ("EVERGREEN_LISTEN", "EVERGREEN_MAX_QUEUED", "RUNWAYML_API_SECRET"):
        assert name in bad.stdout, "every fault at once"


async def test_a_database_and_a_storage_that_never_answer_are_told_and_the_command_ends(tmp_path: Path) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers to PostgreSQL's first message, and to nothing else."""
        if not (await reader.read(4096)).startswith(b"\0"):
            await reader.read(-1)
        told = (
            "server_encoding=UTF8",
            "in_hot_standby=off",
            "default_transaction_read_only=off",
            "server_version=16.0",
        )
        messages = [
            (b"R", bytes(4)),
            *((b"S", each.encode().replace(b"=", b"\0") + b"\0") for each in told),
            (b"Z", b"I"),
        ]
        writer.write(b"".join(kind + (len(body) + 4).to_bytes(4, "big") + body for kind, body in messages))
        await reader.read(-1)
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        [at] = [each.getsockname()[1] for each in server.sockets]
        environ = {
            "EVERGREEN_DATABASE_URL": f"postgresql://someone@127.0.0.1:{at}/jobs?sslmode=disable&gssencmode=disable",
            "EVERGREEN_STORAGE_URL": "s3://bucket",
            "EVERGREEN_STORAGE_OPTIONS": json.dumps(
                {"endpoint_url": f"http://127.0.0.1:{at}", "key": "key", "secret": "secret"}
            ),
        }
        told = await asyncio.to_thread(run, tmp_path, "--sandbox", "--output", "json", "--timeout", "1", **environ)

    assert told.returncode == 1
    findings = {each["check"]: each for each in map(json.loads, told.stdout.splitlines())}
    assert [name for name, each in findings.items() if each["state"] == "wrong"] == ["database", "storage"]
    assert findings["database"]["text"] == findings["storage"]["text"] == "no answer in 1 s"
    assert "webhooks" in findings, "what comes after is checked, too"
