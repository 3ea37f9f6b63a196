"""What the look at a named file costs: requests accepted a second by URL, and by a file of the scene."""

import asyncio
import hashlib
import tempfile
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from statistics import median
from uuid import uuid4

from evergreen_server.jobs.assets import AssetCheck
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.intake import GenerationRequest, Intake
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media as Tools
from evergreen_server.ports.specs import GenerationSpec, Media, Role
from evergreen_server.providers.runway.catalog.models import RunwayModels
from evergreen_server.runtime.shield import ProtectedTasks
from evergreen_storage import SceneStore, open_storage
from tests.benchmarks.machine import table
from tests.serving import SAMPLES

CALLERS = 32
AIM = 1.3
BY_URL = Media(role=Role.FIRST_FRAME, uri="https://example.com/hero.jpg")
BY_FILE = Media(role=Role.FIRST_FRAME, asset="images/hero.jpg")


def utc_now() -> datetime:
    return datetime.now(UTC)


async def seconds_of(intake: Intake, media: Media, number: int, numbers: "count[int]") -> float:
    """Gives the seconds in which so many requests are accepted."""
    spec = GenerationSpec(model="gen4_turbo", ratio="1280:720", duration_seconds=5, media=(media,))

    async def call() -> None:
        for _ in range(number // CALLERS):
            each = f"{next(numbers)}"
            digest = hashlib.sha256(each.encode()).hexdigest()
            request = GenerationRequest(
                project_id="film", scene_id="scene-1", request_id=each, digest=digest, spec=spec
            )
            await intake.accept(request)

    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(call())
    return time.monotonic() - begun


async def measure(rounds: int, number: int) -> None:
    by_url, by_file, numbers = list[float](), list[float](), count()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            open_database(f"sqlite:///{folder / 'jobs.sqlite'}") as database,
            open_storage((folder / "scenes").as_uri()) as storage,
            ProtectedTasks(grace_seconds=10) as shield,
        ):
            scenes, tools = (
                SceneStore(storage, clock=utc_now),
                Tools(private_hosts=(), limits=MediaLimits(), temp_dir=folder),
            )
            await scenes.add("film", "scene-1", "images/hero.jpg", (SAMPLES / "rocket.jpg").read_bytes(), None)
            store = JobStore(
                database=database,
                replica_id="local",
                clock=utc_now,
                encode_event=lambda _kind, _job, _at: b"event",
                enqueue=lambda _db, _job: None,
                changed=lambda _changes: None,
            )
            intake = Intake(
                store=store,
                models=RunwayModels(),
                media=tools,
                assets=AssetCheck(scenes=scenes, heads=tools, shield=shield),
                clock=utc_now,
                new_id=lambda: str(uuid4()),
            )
            for turn in range(rounds + 1):
                # Forth and back, since a table that grows, and a machine that tires, would favour the first.
                for media, found in ((BY_URL, by_url), (BY_FILE, by_file))[:: 1 if turn % 2 else -1]:
                    found.append(await seconds_of(intake, media, number, numbers))
    # The first round warms up.
    ratios = [b / a for a, b in zip(by_url[1:], by_file[1:], strict=True)]
    table(
        f"looks: requests accepted a second from {CALLERS} callers, with a picture by URL and by a file of the scene",
        ["by URL", "by a file", "time of by URL", "each round"],
        [
            [
                f"{number / median(by_url[1:]):,.0f}",
                f"{number / median(by_file[1:]):,.0f}",
                f"{median(ratios):.2f}",
                " ".join(f"{each:.2f}" for each in ratios),
            ]
        ],
        f"aim: {AIM} or less of the time",
    )


def run(*, quick: bool) -> None:
    asyncio.run(measure(*((5, 960) if quick else (9, 1920))))
