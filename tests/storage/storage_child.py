"""A real process over a storage, to be killed or starved: `storage_child.py MODE URL [OPTIONS [MIB]]`."""

import asyncio
import json
import resource
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from evergreen_storage import SceneStore, Storage, Unavailable, open_storage

MIB = 1 << 20
KEY = "projects/p/s/videos/clip.mp4"


async def hang(storage: Storage, size: int) -> None:
    """Writes the beginning of a body, says so, and waits for its end."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(size):
            yield bytes(MIB)
        print("written", flush=True)
        await asyncio.Event().wait()

    await storage.put_stream(KEY, chunks(), size=None)


async def deliver(storage: Storage, _size: int) -> None:
    """Delivers one clip after the other, and says each one's job."""
    scenes = SceneStore(storage, clock=lambda: datetime.now(UTC))
    await scenes.create("p", "s")
    for number in range(10_000):
        job_id = f"job-{number}"
        await scenes.record_request("p", "s", job_id)
        asset = await scenes.add("p", "s", f"videos/{job_id}-1-1.mp4", job_id.encode(), "video/mp4")
        await scenes.publish("p", "s", job_id=job_id, assets=[asset], sidecar={"prompt": "a fox"})
        print(job_id, flush=True)


async def starve(storage: Storage, _size: int) -> None:
    """Meets the end of the disk: no file may grow beyond 2 MiB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, 2 * MIB))

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(MIB)

    try:
        await storage.put_stream(KEY, chunks(), size=4 * MIB)
    except Unavailable as fault:
        print(fault, flush=True)
    try:
        await storage.put(KEY, bytes(4 * MIB))
    except Unavailable as fault:
        print(fault, flush=True)


async def carry(storage: Storage, size: int) -> None:
    """Writes and reads a large body, and says by how many MiB the process grew."""

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(4 * size):
            yield bytes([number % 256]) * (MIB // 4)

    await storage.put_stream("projects/p/s/videos/warm.mp4", aiter_of(bytes(4 * MIB)), size=4 * MIB)
    before = peak_kib()
    await storage.put_stream(KEY, chunks(), size=size * MIB)
    read = 0
    async for block in storage.stream(KEY):
        read += len(block)
    grown = (peak_kib() - before) // 1024
    print(read // MIB, grown, flush=True)


def peak_kib() -> int:
    """The most memory so far; the maximum of getrusage counts that of the process that began this one."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


async def aiter_of(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def main(mode: str, url: str, options: str = "{}", size: str = "3") -> None:
    modes = {call.__name__: call for call in (hang, deliver, starve, carry)}
    async with open_storage(url, **json.loads(options)) as storage:
        await modes[mode](storage, int(size))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
