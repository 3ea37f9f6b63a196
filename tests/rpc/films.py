"""Requests about films, and what tests say of their answers."""

import asyncio
from uuid import uuid4

from evergreen.v1 import film_pb2, video_pb2
from tests.serving import SAMPLES, WAIT_SECONDS, Api

SCRIPTS = SAMPLES / "scripts"
LAMP = (SCRIPTS / "the-lamp.fountain").read_text()
SHORT = """Title: Two rooms

INT. KITCHEN - DAY

A kettle boils over.

ANNA
It is time.

INT. GARDEN - DAY

Snow falls on a red chair.
"""
"""Two scenes, one line."""


def plan_request(**fields: object) -> film_pb2.PlanFilmRequest:
    """A request that is right in everything, but for what `fields` change."""
    usual = {"project_id": "film", "film_id": "movie", "request_id": uuid4().hex, "script": SHORT}
    return film_pb2.PlanFilmRequest(**{**usual, **fields})


async def planned(api: Api, **fields: object) -> film_pb2.PlanFilmResponse:
    return await api.film.PlanFilm(plan_request(**fields))


async def edited(
    api: Api, project_id: str, plan_revision: int, *edits: film_pb2.FilmEdit, **fields: object
) -> film_pb2.EditFilmResponse:
    usual = {"project_id": project_id, "film_id": "movie", "plan_revision": plan_revision, "edits": edits}
    return await api.film.EditFilm(film_pb2.EditFilmRequest(**{**usual, **fields}))


async def film_of(api: Api, project_id: str, **fields: object) -> film_pb2.Film:
    usual = {"project_id": project_id, "film_id": "movie"}
    return (await api.film.GetFilm(film_pb2.GetFilmRequest(**{**usual, **fields}))).film


async def films_of(api: Api, project_id: str, **fields: object) -> list[video_pb2.FilmStatus]:
    return list((await api.film.ListFilms(film_pb2.ListFilmsRequest(project_id=project_id, **fields))).films)


def scene_ids_of(film: film_pb2.Film) -> list[str]:
    return [each.scene.scene_id for each in film.scenes]


def start_request(project_id: str, **fields: object) -> film_pb2.StartFilmRequest:
    """The start of the first plan, up to its clips, for more than it costs."""
    usual = {
        "project_id": project_id,
        "film_id": "movie",
        "request_id": uuid4().hex,
        "plan_revision": 1,
        "max_credits": 500,
        "stop_after": video_pb2.FILM_STAGE_CLIPS,
    }
    return film_pb2.StartFilmRequest(**{**usual, **fields})


async def started(api: Api, project_id: str, **fields: object) -> video_pb2.FilmStatus:
    return (await api.film.StartFilm(start_request(project_id, **fields))).film.status


async def approved(api: Api, status: video_pb2.FilmStatus, **fields: object) -> video_pb2.FilmStatus:
    """The film after an approval of its run as it was read."""
    read = {
        "project_id": status.project_id,
        "film_id": status.film_id,
        "run": status.run,
        "plan_revision": status.plan_revision,
        "max_credits": status.max_credits,
        "revision": status.revision,
    }
    return (await api.film.ApproveFilm(film_pb2.ApproveFilmRequest(**{**read, **fields}))).film.status


async def cancelled(api: Api, status: video_pb2.FilmStatus) -> video_pb2.FilmStatus:
    run = {"project_id": status.project_id, "film_id": status.film_id, "run": status.run}
    return (await api.film.CancelFilm(film_pb2.CancelFilmRequest(**run))).film.status


async def film_until(api: Api, project_id: str, *states: video_pb2.FilmState.ValueType) -> film_pb2.Film:
    """The film once it is in one of some states."""
    async with asyncio.timeout(WAIT_SECONDS):
        # Nothing tells of a film yet but to whoever asks.
        while (film := await film_of(api, project_id)).status.state not in states:  # noqa: ASYNC110 - as said
            await asyncio.sleep(0.1)
        return film


def outputs_of(film: film_pb2.Film) -> dict[str, film_pb2.OutputStatus]:
    """Every output by what names it."""
    shots = [(shot.shot_id, shot.outputs) for each in film.scenes for shot in each.shots]
    lines = [(line.line_id, line.outputs) for each in film.scenes for line in each.lines]
    return {f"{item}/{output.output}": output for item, outputs in (*shots, *lines) for output in outputs}
