"""What the machine itself is short of: files that may be open, and a library that it has no build of."""

import subprocess
import sys
from pathlib import Path

TOO_MANY = """
import asyncio, os, resource, sys
from datetime import UTC, datetime
from evergreen_storage import SceneStore, Unavailable, open_storage

async def main(url):
    async with open_storage(url) as storage:
        scenes = SceneStore(storage, clock=lambda: datetime.now(UTC))
        await scenes.record_request("p", "s", "job-1")
        asset = await scenes.add("p", "s", "images/a", b"data", "text/plain")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        held = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        calls = (
            lambda: scenes.get("p", "s"),
            lambda: scenes.list("p", limit=9),
            lambda: scenes.files("p", "s"),
            lambda: scenes.record_request("p", "s", "job-2"),
            lambda: scenes.add("p", "s", "images/b", b"data", "text/plain"),
            lambda: scenes.stat_asset("p", "s", "images/a"),
            lambda: scenes.discard("p", "s", "images/a"),
            lambda: scenes.delete("p", "s"),
            lambda: scenes.sweep(),
        )
        for number, call in enumerate(calls):
            try:
                await call()
                print(number, "done")
            except Unavailable as fault:
                print(number, "EMFILE" in str(fault), fault.errno)
        for file in held:
            os.close(file)
        scene = await scenes.record_request("p", "s", "job-2", [asset])
        print(scene.video_requests, [one.path for one in scene.images])
        print(await scenes.delete("p", "s"))

asyncio.run(main(sys.argv[1]))
"""

PURE = """
import asyncio, logging, sys, warnings
warnings.simplefilter("ignore")

class Finder:
    @staticmethod
    def find_spec(name, *_):
        if name == "google_crc32c._crc32c":
            raise ModuleNotFoundError("No module named 'google_crc32c._crc32c'", name=name)

sys.meta_path.insert(0, Finder)
from evergreen_storage import open_storage

async def main():
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    async with open_storage("memory://") as storage:
        print((await storage.put("a", b"123456789")).crc32c == 0xE3069283)

asyncio.run(main())
"""


def run(script: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_too_many_open_files_are_a_fault_that_passes(tmp_path: Path) -> None:
    *faults, scene, left = run(TOO_MANY, tmp_path.as_uri())

    assert faults == [f"{number} True 24" for number in range(9)]
    assert (scene, left) == ("('job-1', 'job-2') ['images/a']", "[]")


def test_checksums_in_pure_python_are_right_and_warned_of() -> None:
    assert run(PURE) == [
        "checksums are computed by Python alone, some 20 times slower: google-crc32c has no build for this system",
        "True",
    ]
