"""The log: its form, its lines that are lost, and what libraries write into it."""

import json
import logging
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evergreen_server.runtime.logs import FactsFormatter, LineHandler

SET_UP = """
import logging, os, subprocess, sys
from evergreen_server.runtime.logs import set_up_logs
set_up_logs("INFO", {form!r})
logger = logging.getLogger("evergreen_server.test")
"""


def run(
    code: str, *, form: str = "auto", stderr: int = subprocess.PIPE, before: Callable[[], object] | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", SET_UP.format(form=form) + code]
    return subprocess.run(command, stderr=stderr, stdout=subprocess.PIPE, timeout=60, preexec_fn=before, check=False)


def test_a_log_is_text_on_a_terminal_and_json_elsewhere() -> None:
    code = 'logger.info("job accepted", extra={"job_id": "j"})'
    ours, theirs = pty.openpty()

    run(code, stderr=theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    os.close(theirs)
    piped = json.loads(run(code).stderr)

    assert shown.rstrip().endswith("INFO    job accepted job_id=j")
    assert (piped["event"], piped["job_id"], piped["level"]) == ("job accepted", "j", "INFO")


def test_what_libraries_and_children_write_becomes_records_and_no_secret_of_it_is_shown() -> None:
    core = "E0000 00:00:1764400000.123456   4242 ssl_transport.cc:1884] Handshake failed, Bearer evg_sesame"
    code = f"""
for _ in range(1000):
    os.write(2, {core!r}.encode() + b"\\n")
subprocess.run([sys.executable, "-c", "import sys; sys.stderr.write('of a child ?sig=sesame&a=1')"])
logger.info("of our own")
raise SystemExit("the last words")
"""

    lines = run(code).stderr.decode().splitlines()

    records = [json.loads(line) for line in lines if line.startswith("{")]
    of_core = [record for record in records if record.get("place") == "ssl_transport.cc:1884"]
    assert 1 <= len(of_core) <= 10, "a storm fills no disk"
    assert (of_core[0]["level"], of_core[0]["event"]) == ("ERROR", "library wrote")
    assert of_core[0]["text"].startswith("Handshake failed, Bearer ")
    assert [record["text"] for record in records if record.get("text", "").startswith("of a child")]
    assert [record["event"] for record in records if record["logger"] == "evergreen_server.test"] == ["of our own"]
    assert "sesame" not in str(records)
    plain = [line for line in lines if not line.startswith("{")]
    assert plain == ["the last words"], "Python's own are as they were"


def test_one_long_line_or_any_number_of_places_fill_no_log_and_show_no_half_of_a_secret() -> None:
    code = """
os.write(2, b"x" * 3988 + b" Bearer " + b"a" * 40_000 + b"\\n")
for number in range(1000):
    os.write(2, f"E0000 00:00:1764400000.123456   4242 place{number}.cc:1] of a file\\n".encode())
"""

    records = [json.loads(line) for line in run(code).stderr.decode().splitlines()]

    [long, *of_places] = [record["text"] for record in records if record["event"] == "library wrote"]
    assert set(long) == {"x"}
    assert 1 <= len(of_places) <= 110


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    full, log = os.open("/dev/full", os.O_WRONLY), os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    descriptor = os.dup(full)
    handler = LineHandler(descriptor)
    handler.setFormatter(FactsFormatter("json"))
    logger = logging.Logger("full")
    logger.addHandler(handler)

    for number in range(3):
        logger.info("lost", extra={"number": number})
    os.dup2(log, descriptor)
    logger.info("kept")
    for each in (full, log, descriptor):
        os.close(each)

    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(line["event"], line.get("lines")) for line in lines] == [("log lines lost", 3), ("kept", None)]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_reader_that_is_gone_ends_nothing(form: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    ended = run("logger.info('unread')\nprint('done')", form=form, stderr=writing)
    os.close(writing)

    assert (ended.returncode, ended.stdout) == (0, b"done\n")


@pytest.mark.parametrize("form", ["json", "text"])
def test_without_stderr_the_log_is_written_into_no_file_that_is_opened_later(tmp_path: Path, form: str) -> None:
    code = f"""
with open({str(tmp_path / "database")!r}, "wb") as database:
    logger.info("nowhere")
    subprocess.run([sys.executable, "-c", "import os; os.write(2, b'nowhere')"], check=True)
    sys.stderr.write("nowhere")
print("done")
"""

    ended = run(code, form=form, before=lambda: os.close(2))

    assert (ended.returncode, ended.stdout) == (0, b"done\n")
    assert (tmp_path / "database").read_bytes() == b""
