"""Renders outputs on demand, in worker processes so that no loop and no GIL waits for them, and keeps each one."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Timer
from typing import Literal

from evergreen_server.providers.runway import rendering
from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.rendering.job import Job
from evergreen_server.providers.runway.sandbox.state.tasks import ENDINGS, TaskRecord

JOB_SECONDS_MOST = 300.0
KEPT_BYTES_MOST = 16 * 1024**3


class RenderFailed(Exception):
    """The worker could not read the source, or died while reading it."""


_LEAST_SIDES = {"hdr10": 16, "hlg": 16}
"""Of what HEVC encodes; other forms take any size."""


class Studio:
    """Owns the workers and the folder of finished outputs. A worker is started when first needed.

    With several workers, media are measured by one more, so that no create waits for long videos to be made.
    """

    def __init__(
        self,
        *,
        outputs: Path,
        assets: Path,
        workers: int,
        job_seconds: float = JOB_SECONDS_MOST,
        kept_bytes: int = KEPT_BYTES_MOST,
    ) -> None:
        """Ends a worker whose job takes longer than `job_seconds`, which are real ones.

        Of more finished outputs than `kept_bytes`, those that were not fetched for longest are made anew when needed.
        """
        self._outputs = outputs
        self._assets = assets
        self._makers = _Crew(workers, job_seconds)
        self._measurers = _Crew(1, job_seconds) if workers > 1 else self._makers
        self._locks: dict[str, asyncio.Lock] = {}
        self._kept_bytes = kept_bytes
        found = sorted((path.stat().st_mtime, path) for path in outputs.iterdir() if path.is_file())
        self._kept = {path: path.stat().st_size for _, path in found}
        """Sizes of the finished outputs, those that were fetched last at the end."""

    async def output(self, record: TaskRecord, file: str, *, scale: float) -> Path:
        """Returns one of the task's files, made on the first call; what is made alike from the same shares a file.

        Raises RenderFailed.
        """
        return await self._made(_job(record, file, scale), Path(file).suffix)

    async def speech(self, text: str, pitch: float) -> Path:
        """Returns an MP3 of a text in a voice of this height in hertz, made on the first call. Raises RenderFailed."""
        return await self._made(Job(work="speech", target="", form="mp3", text=text, pitch=pitch), ".mp3")

    async def _made(self, job: Job, suffix: str) -> Path:
        name = hashlib.sha256(json.dumps(asdict(job)).encode()).hexdigest()
        target = (self._outputs / name).with_suffix(suffix)
        try:
            async with self._locks.setdefault(name, asyncio.Lock()):
                if not target.exists():
                    placed = replace(
                        job,
                        target=str(target),
                        source=job.source and str(self._assets / job.source),
                        references=[str(self._assets / one) for one in job.references],
                    )
                    await self._makers.run(asdict(placed))
        except RenderFailed:
            # A worker that was killed cannot remove what it had begun.
            for begun in self._outputs.glob(f"{name}.*"):
                begun.unlink(missing_ok=True)
            raise
        finally:
            self._locks.pop(name, None)
        self._keep(target)
        return target

    async def probe(self, path: Path, *, kind: Literal["video", "audio"] = "video") -> Mapping[str, float]:
        """Returns what `rendering.probing` measures in a video or a sound. Raises RenderFailed."""
        answer = await self._measurers.run({"work": "probe", "source": str(path), "kind": kind})
        return {name: value for name, value in answer.items() if isinstance(value, int | float)}

    def _keep(self, target: Path) -> None:
        self._kept.pop(target, None)
        self._kept[target] = target.stat().st_size
        excess = sum(self._kept.values()) - self._kept_bytes
        while excess > 0 and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            excess -= self._kept.pop(oldest)
            oldest.unlink(missing_ok=True)

    def close(self) -> None:
        self._makers.close()
        self._measurers.close()


def _job(record: TaskRecord, file: str, scale: float) -> Job:
    """Returns what makes an output, with its media by their digests."""
    number, _, ending = file.partition(".")
    if ending == "wav" and record.form == "frames":
        assert record.source is not None
        seconds, source = record.clip_seconds, record.source.digest
        return Job(work="sound", target="", form="wav", source=source, kind="video", seconds=seconds)
    moving = ENDINGS[record.form] in ("mp4", "mov", "zip")
    # Encoders of video take even sides.
    step = 2 if moving else 1
    least = _LEAST_SIDES.get(record.form, step)
    width, height = (max(least, round(side * scale) // step * step) for side in (record.width, record.height))
    making = {"work": "clip", "sound": "hum" if record.sound else "", **record.making}
    # Without a source it is made up, one per prompt and seed; of several outputs each differs, but for clips.
    text = f"{record.prompt_text}{making.pop('seed', '')}"
    seed = 0 if moving and record.source else int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
    return Job(
        target="",
        form=record.form,
        source=record.source.digest if record.source else "",
        kind=record.source.kind if record.source else "",
        references=[one.digest for one in record.references],
        seed=seed if moving else seed + int(number),
        width=width,
        height=height,
        seconds=record.clip_seconds,
        text=record.prompt_text,
        **making,  # type: ignore[arg-type] # written by `products` from the fields of a job
    )


class _Crew:
    """Workers that share jobs, each with a thread that waits for it."""

    def __init__(self, workers: int, job_seconds: float) -> None:
        self._workers = [_Worker(job_seconds) for _ in range(workers)]
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="studio")

    async def run(self, job: dict[str, Json]) -> dict[str, Json]:
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, self._call, job)
        if "error" in answer:
            raise RenderFailed(str(answer["error"]))
        return answer

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.stop()
        self._threads.shutdown(wait=True)

    def _call(self, job: dict[str, Json]) -> dict[str, Json]:
        worker = self._idle.get()
        try:
            return worker.call(job)
        finally:
            self._idle.put(worker)


class _Worker:
    """One process running the package `rendering`, used by one thread at a time."""

    def __init__(self, job_seconds: float) -> None:
        self._job_seconds = job_seconds
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self._starting = Lock()

    def call(self, job: dict[str, Json]) -> dict[str, Json]:
        # Whoever stops the worker meanwhile must find the process, or nobody would end its job.
        with self._starting:
            if self._stopped:
                return {"error": "the sandbox is stopping"}
            process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        # The bound on a job: a killed worker closes its pipe, which ends the read below.
        bound = Timer(self._job_seconds, process.kill)
        bound.start()
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except (BrokenPipeError, ValueError):
            # Ended by then, or its pipes closed by whoever stops it.
            line = ""
        finally:
            bound.cancel()
        if not line:
            self._end(process)
            return {"error": "the render worker died"}
        answer: dict[str, Json] = json.loads(line)
        return answer

    def stop(self) -> None:
        """Stops the process by killing it; a call under way in another thread then ends by itself."""
        with self._starting:
            self._stopped = True
            process = self._process
        if process is not None:
            process.kill()
            process.wait()
            self._end(process)

    def _start(self) -> "subprocess.Popen[str]":
        # -P keeps the folder that the sandbox was started in out of the worker's import path.
        command = [sys.executable, "-P", "-m", rendering.__name__]
        # A session of its own keeps a terminal's Ctrl-C from it; it ends when its input does.
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Threads of its own would take memory, which is bounded, and the processor from what is tested.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )

    def _end(self, process: "subprocess.Popen[str]") -> None:
        self._process = None
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
