"""`python -m tests.chaos.outages` takes away, in turn, what the service stands on, for as long as a bad day does.

Two servers share PostgreSQL and an S3 server, and come to these and to the provider through gates; a third, on SQLite,
keeps its scenes on a disk that goes away. Callers ask for jobs all the time, and repeat what was not answered. The exit
code is 1 if anything was lost, paid twice, torn or missed.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import grpc

from evergreen.v1 import video_pb2 as v1
from evergreen_storage import open_storage
from tests.chaos.storm import cut_off
from tests.chaos.tally import Tally
from tests.chaos.verdict import judge
from tests.e2e.gate import Gate, gate_before
from tests.e2e.rig import Rig
from tests.e2e.test_storage_faults import UNPRIVILEGED
from tests.postgres import OwnPostgres, own_postgres
from tests.serving import Control, request, sandbox_process
from tests.storage.emulators import S3Bucket, S3Emulator

EVERY_SECONDS = 2.0
"""How often a caller asks for one more job."""
HELD_BACK_SECONDS = 2.0
"""Within this time the provider has got what a gate held back, and its books tell what came of it."""
RECOVERY_SECONDS = 180
LARGEST = 1 << 26
REPEATED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
"""What a caller that knows nothing of outages answers with the same request again."""


@dataclass(slots=True, kw_only=True)
class Ground:
    """What a run stands on. `copy` brings the scenes to where the verdict looks for them."""

    rig: Rig
    gates: Mapping[str, Gate] = field(default_factory=dict)
    postgres: OwnPostgres | None = None
    every_seconds: float = EVERY_SECONDS
    copy: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What goes away, and for how many seconds in full."""

    seconds: float
    begin: Callable[[Ground], Awaitable[None]]
    end: Callable[[Ground], Awaitable[None]]


def gated(seconds: float, *names: str, hangs: bool) -> Outage:
    """An outage of the network: connections hang, and nobody is told, or they break and new ones are refused."""

    async def begin(ground: Ground) -> None:
        for name in names:
            if hangs:
                ground.gates[name].mute()
            else:
                await ground.gates[name].shut()

    async def end(ground: Ground) -> None:
        for name in names:
            ground.gates[name].open()

    return Outage(seconds=seconds, begin=begin, end=end)


async def stop_postgres(ground: Ground) -> None:
    assert ground.postgres is not None
    await asyncio.to_thread(ground.postgres.stop)


async def start_postgres(ground: Ground) -> None:
    assert ground.postgres is not None
    await asyncio.to_thread(ground.postgres.start)


async def take_disk(ground: Ground) -> None:
    ground.rig.scene.parents[1].chmod(0)


async def give_disk(ground: Ground) -> None:
    ground.rig.scene.parents[1].chmod(0o755)


NETWORK: Mapping[str, Outage] = {
    "the database hangs": gated(30, "database", hangs=True),
    "the database is stopped and started": Outage(seconds=30, begin=stop_postgres, end=start_postgres),
    "the storage hangs": gated(60, "storage", hangs=True),
    "the storage refuses": gated(60, "storage", hangs=False),
    "the provider hangs": gated(60, "provider", hangs=True),
    "the provider refuses": gated(60, "provider", hangs=False),
    "storage and provider hang": gated(60, "storage", "provider", hangs=True),
}
DISK: Mapping[str, Outage] = {"the disk is gone": Outage(seconds=60, begin=take_disk, end=give_disk)}


@asynccontextmanager
async def network(folder: Path, sandbox: Control) -> AsyncIterator[Ground]:
    """Two servers behind gates."""
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(own_postgres())
        url = postgres.create()
        parts = urlsplit(url)
        (folder / "s3").mkdir()
        bucket = stack.enter_context(S3Emulator.start(folder / "s3")).bucket()
        gates = {
            "database": gate_before(path=f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"),
            "storage": gate_before(port=int(bucket.address.rpartition(":")[2])),
            "provider": gate_before(port=urlsplit(sandbox.url).port),
        }
        opened = {name: await stack.enter_async_context(gate) for name, gate in gates.items()}
        environ = {
            "EVERGREEN_DATABASE_URL": f"postgresql://postgres@{opened['database'].address}{parts.path}",
            "EVERGREEN_STORAGE_URL": bucket.url,
            "EVERGREEN_STORAGE_OPTIONS": json.dumps(replace(bucket, address=opened["storage"].address).options),
            "RUNWAYML_BASE_URL": f"http://{opened['provider'].address}",
        }
        own = dict.fromkeys(range(2), environ)
        rig = await stack.enter_async_context(Rig(folder, sandbox, database_url=url, replicas=2, own=own))
        yield Ground(rig=rig, gates=opened, postgres=postgres, copy=partial(copied, bucket, folder / "data"))


@asynccontextmanager
async def disk(folder: Path, sandbox: Control) -> AsyncIterator[Ground]:
    """One server on SQLite, whom file permissions bind."""
    async with Rig(folder, sandbox, program=UNPRIVILEGED) as rig:
        yield Ground(rig=rig)


async def copied(bucket: S3Bucket, folder: Path) -> None:
    """Copies a bucket's scenes to a folder."""
    async with open_storage(bucket.url, clock=lambda: datetime.now(UTC), **bucket.options) as storage:
        async for meta in storage.list(""):
            data, _ = await storage.get(meta.key, max_bytes=LARGEST)
            path = folder / meta.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


Opened = Callable[[Path, Control], AbstractAsyncContextManager[Ground]]


class Run:
    """Jobs that are asked for without an end, through outage after outage."""

    def __init__(self, ground: Ground, tally: Tally) -> None:
        self._ground = ground
        self._tally = tally
        self._number = 0
        self.accepted: dict[str, str] = {}

    async def outage(self, name: str, outage: Outage, seconds: float) -> None:
        """Has one outage under jobs at every stage, and waits until each has ended."""
        rig = self._ground.rig
        first = len(self.accepted)
        for _ in range(4):
            job_id = await self._job()
            await rig.api.until(job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING, seconds=60)
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask_until(over), name="caller")
            await outage.begin(self._ground)
            # The outage lasts so long; nothing could tell its middle.
            await asyncio.sleep(seconds)
            await outage.end(self._ground)
            over.set()
        begun = time.monotonic()
        known = list(self.accepted.items())[first:]
        await asyncio.sleep(HELD_BACK_SECONDS)
        for prompt, job_id in known:
            await self._ended(prompt, job_id)
        self._tally.outages[f"{name}, {seconds:g} s"] = (len(known), time.monotonic() - begun)

    async def _ask_until(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self._job()
            try:
                await asyncio.wait_for(over.wait(), self._ground.every_seconds)
            except TimeoutError:
                continue

    async def _job(self) -> str:
        """Asks for a job until it is accepted, as a caller does who knows nothing of outages."""
        self._number += 1
        prompt = f"job {self._number:04d}"
        wanted = request(request_id=prompt.replace(" ", "-"), prompt_text=prompt)
        while True:
            with cut_off():
                try:
                    job = (await self._ground.rig.api.video.GenerateVideo(wanted, timeout=5)).job
                except grpc.aio.AioRpcError as error:
                    if error.code() not in REPEATED:
                        raise AssertionError("such an answer must not be") from error
                else:
                    self.accepted[prompt] = job.job_id
                    return str(job.job_id)
            await asyncio.sleep(0.2)

    async def _ended(self, prompt: str, job_id: str) -> None:
        rig = self._ground.rig
        while (job := await rig.steady(job_id, seconds=RECOVERY_SECONDS)).state == v1.JOB_STATE_NEEDS_ATTENTION:
            self._tally.attention[f"{prompt}, attempt {job.attempt}"] = job.error.message
            await rig.resolve(job, prompt)


async def outages(
    folder: Path,
    sandbox: Control,
    lengths: Mapping[str, float],
    *,
    kinds: Mapping[str, Outage] = NETWORK,
    open_ground: Opened = network,
) -> Tally:
    """Has outages of so many seconds in turn, and gives the verdict."""
    tally = Tally()
    await sandbox.settings(task_mean_seconds=150.0)
    await sandbox.account(maxConcurrentGenerations=None, maxDailyGenerations=None, creditBalance=100_000_000)
    async with open_ground(folder, sandbox) as ground:
        run = Run(ground, tally)
        for name, seconds in lengths.items():
            await run.outage(name, kinds[name], seconds)
        await ground.copy()
        await judge(ground.rig, run.accepted, tally)
    return tally


async def whole(folder: Path, kinds: Mapping[str, Outage], part: float, open_ground: Opened) -> Tally:
    """Has every outage of a kind, each for a part of its full length."""
    async with sandbox_process() as sandbox:
        lengths = {name: outage.seconds * part for name, outage in kinds.items()}
        return await outages(folder, sandbox, lengths, kinds=kinds, open_ground=open_ground)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tests.chaos.outages", description="Takes away what the service stands on.")
    parser.add_argument("--part", type=float, default=1.0, help="how much of each outage's full length")
    part = parser.parse_args(arguments).part
    sound = True
    for title, kinds, open_ground in (("network", NETWORK, network), ("disk", DISK, disk)):
        folder, begun = Path(tempfile.mkdtemp(prefix=f"evergreen-outages-{title}-")), time.monotonic()
        tally = asyncio.run(whole(folder, kinds, part, open_ground))
        sound = tally.conclude(f"{title}, {time.monotonic() - begun:.0f} s", folder) and sound
    sys.exit(not sound)


if __name__ == "__main__":
    main()
