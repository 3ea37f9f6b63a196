"""Structured logs on stderr: a short fixed event as the message, the facts beside it."""

import json
import logging
import os
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

from evergreen_server.runtime.logs.foreign import ForeignLines
from evergreen_server.runtime.traces import current_trace

current_job: ContextVar[str] = ContextVar("current_job", default="")
"""The job that this task works for; every record of the task names it, whichever package logs."""

STDERR = 2
"""Its descriptor, whatever Python has in the place of the stream."""

_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class FactsFormatter(logging.Formatter):
    """Writes a record with every fact of its `extra`, as one JSON object or as text."""

    def __init__(self, form: Literal["json", "text"]) -> None:
        super().__init__()
        self._json = form == "json"

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        facts = {name: value for name, value in vars(record).items() if name not in _USUAL}
        if job_id := current_job.get():
            facts.setdefault("job_id", job_id)
        if trace := current_trace.get():
            facts.setdefault("trace_id", trace.split("-")[1])
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        if self._json:
            whole = {"time": at, "level": record.levelname, "logger": record.name, "event": record.getMessage()}
            return json.dumps({**whole, **facts}, default=str, ensure_ascii=False)
        text = " ".join(f"{name}={value}" for name, value in facts.items())
        return f"{at} {record.levelname:<7} {record.getMessage()} {text}".rstrip()


class LineHandler(logging.Handler):
    """Writes each record as a line; on a full disk, or for a reader that is gone, lines are lost and counted."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._lost = 0
        self._torn = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._lost:
                fresh = logging.makeLogRecord({"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING"})
                fresh.msg, fresh.lines = "log lines lost", self._lost
                self._write(self.format(fresh))
                self._lost = 0
            self._write(self.format(record))
        except OSError:
            self._lost += 1
        except Exception:
            self.handleError(record)

    def _write(self, line: str) -> None:
        data = (b"\n" if self._torn else b"") + line.encode(errors="backslashreplace") + b"\n"
        while data:
            written = os.write(self._descriptor, data)
            self._torn, data = written < len(data), data[written:]


def set_up_logs(level: str, form: Literal["auto", "json", "text"]) -> None:
    """Sends every logger's records to stderr; those of Python's libraries from WARNING on.

    In JSON, also what C libraries and child processes write to stderr by themselves becomes records.
    """
    _open_missing()
    if form == "auto":
        form = "text" if sys.stderr.isatty() else "json"
    descriptor = STDERR
    if form == "json":
        foreign = logging.getLogger("stderr")
        # A handshake that fails is none but information to gRPC's core.
        foreign.setLevel(level)
        descriptor = ForeignLines(foreign).take()
    handler = LineHandler(descriptor)
    handler.setFormatter(FactsFormatter(form))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("evergreen_server").setLevel(level)
    logging.getLogger("evergreen_storage").setLevel(level)


def _open_missing() -> None:
    """Opens on nothing what the process was started without of stdin, stdout and stderr.

    Otherwise the next files that are opened, such as the database, get those numbers, and the log is written into one.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, number in (("stdout", 1), ("stderr", STDERR)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))
