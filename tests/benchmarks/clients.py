"""The clients of the jobs benchmark, as a process of its own: asks for jobs, watches each three times, tells all.

The three watchers of a job differ: one asks for its whole history, one for what is new, and one goes away after
every other message and comes back with its cursor.
"""

import asyncio
import json
from contextlib import aclosing
from dataclasses import dataclass, field

import grpc
import uvloop

from evergreen.v1 import video_pb2
from tests.benchmarks.commanded import obey
from tests.serving import FINAL, Api

PATIENCE_SECONDS = 240
CHANNELS = 8


@dataclass(slots=True, kw_only=True)
class Seen:
    """What one watcher was told of its job: (revision, kind) of every event, and how its watch ended."""

    job_id: str
    after: int
    events: list[tuple[int, str]] = field(default_factory=list)
    ended: bool = False


def note(seen: Seen, message: video_pb2.WatchProgressResponse) -> bool:
    """Notes an event and tells whether it was the last one."""
    if not message.HasField("event"):
        return False
    kind = video_pb2.EventKind.Name(message.event.kind).removeprefix("EVENT_KIND_")
    seen.events.append((message.revision, kind))
    return message.event.job.state in FINAL


async def follow(api: Api, seen: Seen, **cursor: int) -> None:
    """Follows a job in one watch, to the watch's own end."""
    async with aclosing(api.events(job_ids=[seen.job_id], **cursor)) as messages:
        async for message in messages:
            note(seen, message)
    seen.ended = True


async def follow_with_breaks(api: Api, seen: Seen) -> None:
    """Follows a job by many short watches, each resumed at the cursor of the last."""
    cursor, final = 0, False
    while not final:
        async with aclosing(api.events(job_ids=[seen.job_id], after_revision=cursor)) as messages:
            read = 0
            async for message in messages:
                final = note(seen, message) or final
                cursor, read = message.revision, read + 1
                if read == 2 and not final:
                    break
    seen.ended = True


async def watch_all(command: list[str]) -> str:
    """`ADDRESS JOBS`: asks for so many jobs at once and gives what their watchers saw, as JSON."""
    address, jobs = command[0], int(command[1])
    channels = [grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(CHANNELS)]
    apis = [Api(channel, address) for channel in channels]
    watchers: list[Seen] = []

    async def one(number: int) -> None:
        api = apis[number % CHANNELS]
        job = await api.generate(request_id=f"job-{number}")
        own = [Seen(job_id=job.job_id, after=after) for after in (0, job.revision, 0)]
        watchers.extend(own)
        async with asyncio.TaskGroup() as group:
            group.create_task(follow(api, own[0], after_revision=0))
            group.create_task(follow(api, own[1]))
            group.create_task(follow_with_breaks(api, own[2]))

    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        for number in range(jobs):
            group.create_task(one(number))
    for channel in channels:
        await channel.close()
    return json.dumps([[seen.job_id, seen.after, seen.events, seen.ended] for seen in watchers])


if __name__ == "__main__":
    uvloop.run(obey("ready", watch_all))
