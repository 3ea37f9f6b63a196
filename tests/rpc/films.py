"""Requests about films, and what tests say of their answers."""

from uuid import uuid4

from evergreen.v1 import film_pb2
from tests.serving import SAMPLES, Api

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


async def films_of(api: Api, project_id: str, **fields: object) -> list[film_pb2.FilmStatus]:
    return list((await api.film.ListFilms(film_pb2.ListFilmsRequest(project_id=project_id, **fields))).films)


def scene_ids_of(film: film_pb2.Film) -> list[str]:
    return [each.scene.scene_id for each in film.scenes]
