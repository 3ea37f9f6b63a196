"""Serves, and stops for ever at the moment that a test waits for to kill it.

That is within a transaction of the database, right before a file gets its name, or within a renderer that it has
started. The file that PYTEST_HELD names says which transaction and where in it, `publish` and how the file's name ends,
or `render` and where; then the port at which the test is told which process it is.
"""

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from evergreen_server.__main__ import main

TRANSACTIONS = {
    "accept": ("INSERT INTO requests", ""),
    "intend": ("UPDATE jobs", "SUBMITTING"),
    "record": ("INSERT INTO provider_tasks", ""),
    "settle": ("INSERT INTO ledger", "SETTLE"),
    "clip": ("INSERT INTO job_files", ".mp4"),
    "poster": ("INSERT INTO job_files", ".jpg"),
    "note": ("INSERT INTO audit", "UNKNOWN"),
    "noted": ("UPDATE audit", ""),
    "plan": ("INSERT INTO film_plans", ""),
    "unmark": ("DELETE FROM scene_deletions", ""),
    "end": ("DELETE FROM films", ""),
    "start": ("INSERT INTO film_runs", ""),
    "children": ("INSERT INTO film_outputs", ""),
    "output": ("UPDATE film_outputs SET asset", ""),
    "gate": ("UPDATE film_runs", "AWAITING_APPROVAL"),
    "approval": ("UPDATE film_runs", "approved"),
    "over": ("UPDATE film_runs", "SUCCEEDED"),
    "export": ("INSERT INTO film_exports", ""),
}
"""What each writes that no other does: a statement, and a word among its values."""
KEY = "held"
PUBLISH = "publish"
NAMING = ("os.link", "os.rename")
"""What Python tells its audit hooks when a hidden file, whole by then, gets its name."""

RENDERING = Path(__file__).with_name("rendering")
"""What each renderer loads first, which learns by its environment what the test waits for."""

wanted = Path(os.environ["PYTEST_HELD"])


def asked() -> Sequence[str]:
    """Gives transaction, moment and port; empty while a test asks for none."""
    try:
        return wanted.read_text().split()
    except FileNotFoundError:
        return "", "", ""


def hold(moment: str) -> None:
    """Says so, and waits for what never comes, if this is the moment."""
    _, wanted_moment, port = asked()
    if moment == wanted_moment:
        with socket.create_connection(("127.0.0.1", int(port))) as test:
            test.sendall(b"%d\n" % os.getpid())
            test.recv(1)


def publishing(name: str, arguments: tuple[object, ...]) -> None:
    if name in NAMING:
        kind, ending, _ = asked()
        if kind == PUBLISH and str(arguments[1]).endswith(ending):
            hold(ending)


@event.listens_for(Engine, "after_cursor_execute")
def executed(
    connection: Connection, _cursor: object, statement: str, parameters: object, _context: object, _many: bool
) -> None:
    begins, word = TRANSACTIONS.get(asked()[0], ("nothing", ""))
    if statement.startswith(begins) and word in repr(parameters):
        connection.info[KEY] = True


@event.listens_for(Engine, "commit")
def committing(connection: Connection) -> None:
    if connection.info.get(KEY):
        hold("whole")


@event.listens_for(Pool, "checkin")
def returned(_connection: object, record: ConnectionPoolEntry) -> None:
    if record.info.pop(KEY, False):
        hold("committed")


if __name__ == "__main__":
    os.environ |= {"PYTHONPATH": str(RENDERING), "PYTHONHELD": str(wanted)}
    sys.addaudithook(publishing)
    main(["serve"])
