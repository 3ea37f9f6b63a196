"""Compares what films came to with the provider's books, the storage, and what the watchers were told."""

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from evergreen.v1 import film_pb2
from evergreen.v1 import video_pb2 as v1
from tests.chaos.films import CINEMA, ENDED, REEL, Films, key_of
from tests.chaos.tally import Tally
from tests.e2e.rig import Rig, history, visible
from tests.jobs.lives import check_lives, state_of
from tests.serving import FINAL

Run = tuple[str, int]

CENT = 0.005


async def judge_films(rig: Rig, films: Films, tally: Tally) -> None:
    """Fills in what the films' runs got wrong."""
    jobs = await rig.jobs(CINEMA)
    if not jobs:
        return
    tasks = [task for task in await rig.sandbox.tasks() if REEL in (task["promptText"] or "")]
    whole, end = await history(rig.api, CINEMA, films=True)
    ends = _ends(whole)
    tally.late += sorted(films.open)
    tally.lost += [f"{job.job_id} of {job.film_id} is still {state_of(job)}" for job in jobs if job.state not in FINAL]
    tally.lost += [f"run {run} of {film}, which was started, has no end" for film, run in films.approved.keys() - ends]
    tally.paid += _books(tasks, jobs)
    tally.paid += _sums(tasks, jobs, ends)
    tally.overspent += _overspent(whole, films)
    tally.torn += await asyncio.to_thread(_torn, rig.scene.parents[1] / CINEMA, ends)
    for number, watcher in enumerate(films.watchers):
        missed = await watcher.missed(whole, end)
        tally.missed += [f"watcher {number} of films: {text}" for text in missed]
        told = _ends(watcher.events)
        tally.missed_ends += [f"watcher {number}: the end of run {run} of {film}" for film, run in ends.keys() - told]
    try:
        await check_lives(rig.api, CINEMA)
    except AssertionError as exc:
        tally.broken.append(str(exc))
    for film_id in sorted({film_id for film_id, _ in ends}):
        # Each output that stands for the film's plan, of a run that was let make all.
        found = await rig.api.film.GetFilm(film_pb2.GetFilmRequest(project_id=CINEMA, film_id=film_id))
        tally.broken += [f"{film_id} is {found.film.status.state}"] * (found.film.status.state not in ENDED)


def _ends(messages: Sequence[v1.WatchProgressResponse]) -> dict[Run, v1.FilmStatus]:
    """Gives by run how it was when it ended."""
    events = [message.film_event.film for message in messages if message.HasField("film_event")]
    return {(film.film_id, film.run): film for film in events if film.state in ENDED and film.run}


def _books(tasks: Sequence[dict], jobs: Sequence[v1.Job]) -> list[str]:
    """Names every task that no job accounts for, and what was paid more often than jobs were accepted for it."""
    asked: defaultdict[tuple[str, str], list[v1.Job]] = defaultdict(list)
    made: defaultdict[tuple[str, str], list[dict]] = defaultdict(list)
    for job in jobs:
        asked[key_of(job)].append(job)
    for task in tasks:
        made[task["promptText"], task["model"]].append(task)
    faults = [f"{key}: {len(made[key])} tasks were made for no job" for key in made.keys() - asked]
    for key, of_key in asked.items():
        own = {job.provider_task_id for job in of_key if job.provider_task_id}
        warned = " ".join(warning.message for job in of_key for warning in job.warnings)
        resubmitted = any(warning.code == "SUBMISSION_UNKNOWN" for job in of_key for warning in job.warnings)
        others = [task for task in made[key] if task["id"] not in own]
        loose = [task for task in others if task["status"] != "FAILED" and task["id"] not in warned and not resubmitted]
        faults += [f"{key}: nobody accounts for task {task['id']}" for task in loose]
        faults += [f"{key}: its task {name} is not in the books" for name in own - {task["id"] for task in made[key]}]
        if len(made[key]) > sum(job.attempt for job in of_key):
            faults.append(f"{key}: {len(made[key])} tasks in {sum(job.attempt for job in of_key)} attempts")
        makers = [job for job in of_key if job.state == v1.JOB_STATE_SUCCEEDED]
        takes = {job.request_id for job in makers}
        if len(takes) != len(makers):
            faults.append(f"{key}: two jobs for one take")
    return faults


def _sums(tasks: Sequence[dict], jobs: Sequence[v1.Job], ends: dict[Run, v1.FilmStatus]) -> list[str]:
    """Compares what films say that they have cost with their jobs, and those with the provider's books."""
    faults = []
    for film_id in sorted({film_id for film_id, _ in ends}):
        of_film = [job for job in jobs if job.film_id == film_id]
        said = sum(status.spent_credits for (film, _), status in ends.items() if film == film_id)
        charged = sum(job.charged_credits for job in of_film)
        if abs(said - charged) > CENT:
            faults.append(f"{film_id}: its runs have cost {said}, and its jobs {charged}")
    keys = {key_of(job) for job in jobs}
    paid = sum(task["chargedCredits"] for task in tasks if (task["promptText"], task["model"]) in keys)
    ours = sum(job.charged_credits for job in jobs)
    bounds = sum(job.charged_credits for job in jobs if job.cost_basis == v1.COST_BASIS_UPPER_BOUND)
    # Of a task that was cancelled, only a bound is known to us.
    if not ours - bounds - CENT <= paid <= ours + CENT:
        faults.append(f"the provider's books say {paid} for all films, ours {ours}, of which {bounds} are bounds")
    return faults


def _overspent(messages: Sequence[v1.WatchProgressResponse], films: Films) -> list[str]:
    """Names each moment at which a run had taken more than it was allowed, or was allowed more than anybody said."""
    faults = []
    for message in messages:
        film = message.film_event.film
        if not message.HasField("film_event") or not film.run:
            continue
        name = f"run {film.run} of {film.film_id} at {message.revision}"
        if film.spent_credits + film.reserved_credits > film.max_credits + CENT:
            faults.append(f"{name}: {film.spent_credits} + {film.reserved_credits} of {film.max_credits}")
        if film.max_credits > films.approved.get((film.film_id, film.run), 0) + CENT:
            faults.append(f"{name}: nobody has approved {film.max_credits}")
    return faults


def _torn(project: Path, ends: dict[Run, v1.FilmStatus]) -> list[str]:
    """Names each export that is not whole, and every file in their folders that is nobody's."""
    faults = []
    for (film_id, run), status in ends.items():
        exports = project / film_id / "exports"
        for output in status.exports:
            path = exports.parent / output.asset
            sidecar = path.with_suffix(".json")
            if not path.is_file() or path.stat().st_size != output.size_bytes or not sidecar.is_file():
                faults.append(f"{film_id}, run {run}: {output.asset} is not whole")
            elif json.loads(sidecar.read_bytes())["export"]["sha256"] != hashlib.sha256(path.read_bytes()).hexdigest():
                faults.append(f"{film_id}, run {run}: {output.asset} is not what its document tells")
    for folder in sorted(project.glob("*/exports")):
        names = visible(folder)
        stems = {name.rpartition(".")[0] for name in names}
        whole = {f"{stem}.{suffix}" for stem in stems for suffix in ("mp4", "vtt", "srt", "otio", "json")}
        states = {status.state for (film, _), status in ends.items() if film == folder.parent.name}
        # A run that was ended on its way to its export leaves what it had published by then.
        if names != whole and states == {v1.FILM_STATE_SUCCEEDED}:
            faults.append(f"{folder.parent.name}: {sorted(names ^ whole)} of its exports")
    return faults
