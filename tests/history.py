"""A database with the history of a service that has run for long: written at once, since nobody would wait for it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

import sqlalchemy as sa

from evergreen_server.jobs.db.mapping import life_to_row, request_to_row, to_micros
from evergreen_server.jobs.db.schema import job_events, job_labels, jobs, projects, provider_tasks, requests
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.jobs.model.states import Slot, Stage, State, TaskRole
from evergreen_server.jobs.store.listing import labels_of
from evergreen_server.jobs.store.projects import recount
from evergreen_server.ports.specs import GenerationSpec, Media, Role

AT_ONCE = 2000
START = datetime(2026, 1, 1, tzinfo=UTC)
TABLES = ("jobs", "job_labels", "projects", "job_events", "provider_tasks", "requests")


def job_id_of(number: int) -> str:
    """The id of a job that was made so many seconds after the start."""
    made = f"{to_micros(START + timedelta(seconds=number)) // 1000:012x}"
    return f"{made[:8]}-{made[8:]}-7000-8000-{number:012x}"


def write_history(
    db: sa.Connection,
    count: int,
    *,
    projects_in_all: int = 10,
    scenes: int = 50,
    open_every: int = 100,
    prompt: str = "",
    asset: str = "",
    models: Sequence[str] = ("gen4.5",),
    labels: Sequence[Mapping[str, str]] = ({},),
) -> None:
    """Writes so many jobs, each with an event and a task, of which every so manyeth has not ended: it waits or runs.

    Job number N is of project `film-{N % projects}`, at its revision N // projects + 1; models and labels are taken in
    turn.
    """
    inspector = sa.inspect(db)
    there = [name for name in TABLES if inspector.has_table(name)]
    columns = {name: {column["name"] for column in inspector.get_columns(name)} for name in there}

    def insert(table: sa.Table, rows: Iterator[dict[str, object]]) -> None:
        while batch := list(islice(rows, AT_ONCE)):
            known = columns[table.name]
            db.execute(table.insert(), [{name: row[name] for name in row if name in known} for row in batch])

    revisions = [len(range(number, count, projects_in_all)) for number in range(projects_in_all)]
    insert(
        projects,
        (
            {"project_id": f"film-{number}", "revision": revision, "created_at": to_micros(START)}
            for number, revision in enumerate(revisions)
        ),
    )
    made = [
        _job(
            number,
            projects_in_all,
            scenes,
            open_every,
            prompt,
            asset,
            models[number % len(models)],
            labels[number % len(labels)],
        )
        for number in range(count)
    ]
    insert(
        jobs,
        ({"job_id": job.job_id, "slot": job.slot, **request_to_row(job.request), **life_to_row(job)} for job in made),
    )
    if "queued_jobs" in columns["projects"]:
        for number in range(projects_in_all):
            recount(db, f"film-{number}", START)
    if "job_labels" in columns:
        insert(job_labels, (row for job in made for row in labels_of(job.job_id, job.request)))
    insert(
        requests,
        (
            {
                "project_id": job.request.project_id,
                "request_id": job.request.request_id,
                "digest": "",
                "job_id": job.job_id,
            }
            for job in made
        ),
    )
    insert(
        job_events,
        (
            {
                "project_id": job.request.project_id,
                "revision": job.revision,
                "job_id": job.job_id,
                "kind": "CREATED",
                "state": job.state.value,
                "event": json.dumps([job.job_id]).encode(),
                "created_at": to_micros(job.created_at),
            }
            for job in made
        ),
    )
    insert(
        provider_tasks,
        (
            {
                "task_id": f"task-{number}",
                "job_id": job.job_id,
                "attempt": 1,
                "submit_token": "",
                "role": (TaskRole.SURPLUS if number % 1000 == 7 else TaskRole.OWN).value,
                "created_at": to_micros(job.created_at),
            }
            for number, job in enumerate(made)
        ),
    )


def _job(
    number: int,
    projects_in_all: int,
    scenes: int,
    open_every: int,
    prompt: str,
    asset: str,
    model: str,
    labels: Mapping[str, str],
) -> Job:
    at = START + timedelta(seconds=number)
    alive = number % open_every == 0
    state = (State.QUEUED if number % (2 * open_every) else State.RUNNING) if alive else State.SUCCEEDED
    stage = {State.QUEUED: Stage.WAITING, State.RUNNING: Stage.GENERATING}.get(state, Stage.NONE)
    media = (Media(role=Role.REFERENCE, asset=asset),) if asset else ()
    return Job(
        job_id=job_id_of(number),
        request=JobRequest(
            project_id=f"film-{number % projects_in_all}",
            scene_id=f"scene-{number % scenes}",
            request_id=f"request-{number}",
            digest="",
            spec=GenerationSpec(
                model=model, prompt_text=prompt or f"rocket {number} rises", media=media, duration_seconds=5
            ),
            start_by=at + timedelta(days=365),
            labels=labels,
        ),
        state=state,
        stage=stage,
        slot={State.QUEUED: Slot.WANTED, State.RUNNING: Slot.HELD}.get(state),
        revision=number // projects_in_all + 1,
        fencing_token="someone",
        submit_token="" if state is State.QUEUED else "token",
        task_id="" if state is State.QUEUED else f"task-{number}",
        created_at=at,
        updated_at=at,
        ended_at=None if alive else at,
    )
