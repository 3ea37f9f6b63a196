"""SQLite for one process: how its file is opened, and where it cannot be used."""

import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import OperationalError

from evergreen_server.jobs.db.documents import read_json

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
    "beegfs",
    "ocfs2",
    "gfs2",
    "gpfs",
)
NETWORK_FUSE = ("sshfs", "ceph-fuse", "glusterfs", "rclone", "s3fs", "gcsfuse", "mount-s3", "davfs", "juicefs")
"""File systems that several machines may mount, and whose locks and shared memory are local to each."""


def network_disk(path: Path, mounts: Iterable[str]) -> str | None:
    """Returns the type of the network file system that a path lies on, by the lines of mountinfo; else None."""
    best, found = -1, ""
    for line in mounts:
        fields, _, rest = line.partition(" - ")
        parts = fields.split()
        if len(parts) < 5 or not rest.split():
            continue
        point = Path(parts[4].encode().decode("unicode_escape"))
        # Of several mounts at the same point, the last one is on top.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), rest.split()[0]
    kind = found.removeprefix("fuse.")
    return found if kind in (NETWORK if kind == found else NETWORK_FUSE) else None


def check_sqlite(path: Path, *, python: tuple[int, ...], sqlite: tuple[int, ...], mounts: Iterable[str]) -> str | None:
    """Returns why the file at `path` cannot be the database, and what to do; None if it can."""
    if python >= (3, 12) and sqlite < (3, 42):
        have = ".".join(str(part) for part in sqlite)
        return (
            f"needs SQLite 3.42 or newer under Python {python[0]}.{python[1]}, and here is {have}; install a Python "
            "that brings its own, such as that of uv, or Python 3.11, or use PostgreSQL"
        )
    if kind := network_disk(path, mounts):
        return (
            f"lies on a network disk ({kind}), where nothing keeps two servers from writing it at once and ruining "
            "it; use a disk of this machine, or PostgreSQL"
        )
    return None


def unusable(path: Path) -> str | None:
    """Returns the result of `check_sqlite` for this process."""
    try:
        mounts = MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        mounts = []
    return check_sqlite(path.resolve(), python=sys.version_info[:2], sqlite=sqlite3.sqlite_version_info, mounts=mounts)


def sqlite_engine(path: Path) -> sa.Engine:
    """Returns an engine in WAL mode that loses no commit on power loss (synchronous=FULL)."""
    # Errors show the statement only: its parameters hold prompts, and errors are logged.
    engine = sa.create_engine(
        f"sqlite:///{path}", pool_size=6, max_overflow=0, hide_parameters=True, json_deserializer=read_json
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _record: object) -> None:
        # The driver's own BEGIN comes only before a write, which would leave reads outside the
        # transaction; ours is sent below instead.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        if options.get("isolation_level") == "AUTOCOMMIT":
            return
        reading = options.get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    @event.listens_for(engine, "handle_error", retval=True)
    def translate(context: ExceptionContext) -> BaseException | None:
        """Reports a damaged file as a database that is away: it is not the caller's mistake."""
        original = context.original_exception
        damaged = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        if isinstance(original, sqlite3.DatabaseError) and getattr(original, "sqlite_errorcode", 0) & 0xFF in damaged:
            return OperationalError(context.statement, None, original, hide_parameters=True)
        return None

    return engine
