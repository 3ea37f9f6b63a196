"""Many jobs with nine large pictures each, accepted at once: what they hold in memory, and when the first is ready.

The pictures are as phones make them, of 12 megapixels and with EXIF, so that each is decoded and encoded anew. No job
is submitted meanwhile. The reference is one such job alone, on the same server before it.
"""

import asyncio
import io
import random
import tempfile
import time
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from evergreen.v1 import scene_pb2, video_pb2
from tests.benchmarks.machine import cores, pinned, resident_kib, table
from tests.rpc.scenes import upload
from tests.serving import Api, ServerProcess, sandbox_process

JOBS, QUICK_JOBS = 60, 12
PICTURES = 9
SIZE = (4032, 3024)
SCENE = "many"
MODEL = "seedance2"
UNAGED = {"EVERGREEN_CONNECTION_AGE_SECONDS": "0"}
"""On a busy machine the jobs may take longer than a watch lasts."""
SAMPLE_SECONDS = 0.05
PATIENCE_SECONDS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    first: float
    """Seconds until a job was ready."""
    whole: float
    own_mib: float
    """The most that the server itself held."""
    tree_mib: float
    """With the processes that it started; what they share counts once."""

    def row(self, name: str) -> list[str]:
        return [name, f"{self.first:.1f}", f"{self.whole:.1f}", f"{self.own_mib:.0f}", f"{self.tree_mib:.0f}"]


def picture(seed: int) -> bytes:
    """Makes a JPEG of about 4.7 MB that says where and when it was taken."""
    noise = Image.frombytes("RGB", (504, 378), random.Random(seed).randbytes(3 * 504 * 378)).resize(SIZE)
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a phone", 6
    target = io.BytesIO()
    Image.blend(noise, Image.merge("RGB", [Image.effect_noise(SIZE, 40.0)] * 3), 0.3).save(
        target, "JPEG", quality=85, exif=exif
    )
    return target.getvalue()


def tree_kib(pid: int) -> float:
    """Returns what a process and all that it started hold, each shared page by its share, in KiB.

    One that ends meanwhile counts nothing.
    """
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        own = next((float(line.split()[1]) for line in lines if line.startswith("Pss:")), 0.0)
        return own + sum(tree_kib(int(child)) for child in children)
    return 0.0


async def prepared(api: Api, pid: int, jobs: int, name: str) -> Seen:
    """Asks for so many jobs at once and waits until all are ready."""
    own, tree = resident_kib(pid), tree_kib(pid)

    async def sample() -> None:
        nonlocal own, tree
        while True:
            own, tree = max(own, resident_kib(pid)), max(tree, await asyncio.to_thread(tree_kib, pid))
            await asyncio.sleep(SAMPLE_SECONDS)

    sampling = asyncio.create_task(sample())
    media = [
        video_pb2.Media(asset=f"images/{number}.jpg", role=video_pb2.MEDIA_ROLE_REFERENCE) for number in range(PICTURES)
    ]
    begun, ready = time.monotonic(), []
    fields = {"scene_id": SCENE, "model": MODEL, "ratio": "992:432", "duration_seconds": 4, "media": media}
    ids = {(await api.generate(request_id=f"{name}-{number}", **fields)).job_id for number in range(jobs)}
    async with asyncio.timeout(PATIENCE_SECONDS), aclosing(api.events(job_ids=ids, after_revision=0)) as messages:
        async for message in messages:
            job = message.event.job
            assert not job.HasField("error"), job.error
            if message.HasField("event") and job.stage == video_pb2.JOB_STAGE_WAITING:
                ready.append(time.monotonic() - begun)
            if len(ready) == jobs:
                break
    sampling.cancel()
    return Seen(first=ready[0], whole=ready[-1], own_mib=own / 1024, tree_mib=tree / 1024)


async def measure(jobs: int) -> None:
    core, others = cores()
    async with AsyncExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "data"
        with pinned(others):
            sandbox = await stack.enter_async_context(sandbox_process())
        await sandbox.account(models={MODEL: {"maxConcurrentGenerations": 0}}, creditBalance=10_000_000)
        server = await stack.enter_async_context(ServerProcess(data, sandbox.url, UNAGED))
        with pinned(core | others):
            api = await server.start()
        await api.scene.CreateScene(scene_pb2.CreateSceneRequest(project_id="film", scene_id=SCENE))
        size = 0
        for number in range(PICTURES):
            taken = picture(number)
            size += len(taken)
            await upload(api, taken, path=f"images/{number}.jpg", scene_id=SCENE)
        idle = tree_kib(server.pid) / 1024
        alone = await prepared(api, server.pid, 1, "alone")
        many = await prepared(api, server.pid, jobs, "many")
    table(
        f"prepare: jobs with {PICTURES} pictures of {size / PICTURES / 1e6:.1f} MB each, {idle:.0f} MiB before them",
        ["", "first ready s", "all ready s", "peak MiB", "with its decoders"],
        [alone.row("one job alone"), many.row(f"{jobs} at once")],
        f"aim for {JOBS}: 500 MiB or less, the first ready within 10 s",
    )


def run(*, quick: bool) -> None:
    asyncio.run(measure(QUICK_JOBS if quick else JOBS))
