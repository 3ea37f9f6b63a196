"""What the tests of watches share: reading one to its end, and reading it against what the database holds."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from pathlib import Path

from evergreen.v1 import video_pb2
from tests.serving import WAIT_SECONDS, Api

Message = video_pb2.WatchProgressResponse
PROGRESS = video_pb2.EVENT_KIND_PROGRESS
SNAPSHOT = video_pb2.EVENT_KIND_SNAPSHOT


async def whole(messages: AsyncIterator[Message], seconds: float = WAIT_SECONDS) -> list[Message]:
    """Reads a watch that ends by itself."""
    async with asyncio.timeout(seconds):
        return [message async for message in messages]


async def until_checkpoint(api: Api, seconds: float = WAIT_SECONDS, **fields: object) -> list[Message]:
    """Opens a watch and gives what it tells until it has caught up."""
    told: list[Message] = []
    async with asyncio.timeout(seconds), aclosing(api.events(**fields)) as messages:
        async for message in messages:
            if message.HasField("checkpoint"):
                break
            told.append(message)
    return told


def changes(messages: Iterable[Message]) -> list[tuple[int, int]]:
    """The (revision, kind) of what must never be left out."""
    return [
        (message.revision, message.event.kind)
        for message in messages
        if message.HasField("event") and message.event.kind not in (PROGRESS, SNAPSHOT)
    ]


def recorded(data_dir: Path, *, job_id: str = "", after: int = 0) -> list[tuple[int, int]]:
    """The same of all jobs, or of one, as the database has them."""
    with sqlite3.connect(f"file:{data_dir / 'state' / 'evergreen.sqlite'}?mode=ro", uri=True) as db:
        rows = db.execute(
            "SELECT revision, kind FROM job_events WHERE kind != 'PROGRESS' AND revision > ? AND job_id LIKE ?"
            " ORDER BY revision",
            (after, job_id or "%"),
        ).fetchall()
    db.close()
    return [(revision, video_pb2.EventKind.Value(f"EVENT_KIND_{kind}")) for revision, kind in rows]
