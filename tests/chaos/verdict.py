"""Compares what is left of a run with the provider's books, the storage and what the watchers were told."""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import google_crc32c

from evergreen.v1 import video_pb2 as v1
from evergreen_storage import open_storage
from tests.chaos.films import REEL
from tests.chaos.tally import Tally
from tests.e2e.rig import PROJECT, STEADY, Rig, books_faults, changes, check_scene, history, visible
from tests.jobs.lives import check_lives, state_of
from tests.serving import FINAL


async def judge(rig: Rig, accepted: dict[str, str], tally: Tally) -> None:
    """Fills in what the run got wrong."""
    jobs = {job.job_id: job for job in await rig.jobs()}
    by_prompt = {prompt: jobs[job_id] for prompt, job_id in accepted.items() if job_id in jobs}
    tally.ended = dict(Counter(state_of(job) for job in jobs.values()))
    for prompt, job_id in accepted.items():
        if job_id not in jobs:
            tally.lost.append(f"{prompt}: {job_id} was accepted and is not there")
        elif jobs[job_id].state not in STEADY:
            tally.lost.append(f"{prompt}: {job_id} is still {state_of(jobs[job_id])}")
    tasks = [task for task in await rig.sandbox.tasks() if REEL not in (task["promptText"] or "")]
    tally.paid += books_faults(tasks, by_prompt)
    tally.torn = await asyncio.to_thread(torn, rig.scene, list(jobs.values()))
    tally.swept, tally.left = await left(rig.scene)
    whole, end = await history(rig.api)
    ends = {change for change in changes(whole) if jobs[change[1]].state in FINAL and _ends(change)}
    for number, watcher in enumerate(rig.watchers):
        missed = await watcher.missed(whole, end)
        tally.missed += [f"watcher {number}: {text}" for text in missed]
        told = set(changes(watcher.events))
        tally.missed_ends += [f"watcher {number}: {change}" for change in sorted(ends - told)]
    if len(ends) != sum(job.state in FINAL for job in jobs.values()):
        tally.broken.append("not every ended job has exactly one terminal event")
    try:
        await check_lives(rig.api, PROJECT)
    except AssertionError as exc:
        tally.broken.append(str(exc))


def _ends(change: tuple[int, str, str]) -> bool:
    return change[2].removeprefix("EVENT_KIND_") in {"SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"}


def torn(scene: Path, jobs: Sequence[v1.Job]) -> list[str]:
    """Names every output of a SUCCEEDED job that is not whole and named, and every file that is nobody's."""
    faults = []
    document = json.loads((scene / "metadata" / "scene.json").read_text())
    named = {entry["path"] for entries in document["assets"].values() for entry in entries}
    for job in jobs:
        for output in job.outputs if job.state == v1.JOB_STATE_SUCCEEDED else ():
            path = scene / output.asset
            data = path.read_bytes() if path.exists() else b""
            if (len(data), google_crc32c.value(data)) != (output.size_bytes, output.crc32c):
                faults.append(f"{output.asset} is not what job {job.job_id} tells")
            if output.asset not in named:
                faults.append(f"{output.asset} is not in scene.json")
    faults += [
        f"{folder}/{name} is nobody's"
        for folder in ("videos", "audio")
        for name in sorted(visible(scene / folder))
        if f"{folder}/{name}" not in named
    ]
    if not faults:
        try:
            check_scene(scene, list(jobs))
        except AssertionError as exc:
            faults.append(f"the scene is not whole: {exc}")
    return faults


async def left(scene: Path) -> tuple[list[str], list[str]]:
    """Names the hidden files of writers that are gone: those that a start days later removes, and those that stay."""
    before = _parts(scene)
    old = time.time() - 3 * 86_400
    for path in before:
        os.utime(path, (old, old))
    async with open_storage(scene.parents[2].as_uri(), clock=lambda: datetime.now(UTC), environ={}):
        pass
    after = _parts(scene)
    names = [str(path.relative_to(scene)) for path in before]
    return names, [str(path.relative_to(scene)) for path in after]


def _parts(scene: Path) -> list[Path]:
    return sorted(scene.rglob(".*.part"))
