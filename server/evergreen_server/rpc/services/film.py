"""FilmService: converts requests, calls `film`, and answers. It decides nothing about a film."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from evergreen.v1 import film_pb2, video_pb2
from evergreen_server.film.errors import FilmNotFound
from evergreen_server.film.model import PlannedScene
from evergreen_server.film.plans.door import Films
from evergreen_server.film.plans.seen import Seen
from evergreen_server.film.running.door import FilmRuns
from evergreen_server.film.runs.films import FilmState
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.rpc.handlers import Context
from evergreen_server.rpc.messages.film_requests import read_edit_request, read_plan_request
from evergreen_server.rpc.messages.film_status import listed_status
from evergreen_server.rpc.messages.films import changes_message, film_page, page_scope
from evergreen_server.rpc.messages.paging import BAD_TOKEN, make_token, read_place, read_token
from evergreen_server.rpc.messages.run_requests import read_approve_request, read_export_request, read_start_request
from evergreen_server.rpc.streams import Streams
from evergreen_storage import id_error

PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
MAX_SCENES = 300
OfRun: TypeAlias = (
    film_pb2.StartFilmRequest | film_pb2.ExportFilmRequest | film_pb2.ApproveFilmRequest | film_pb2.CancelFilmRequest
)

STATES: Mapping[int, FilmState] = {
    number: FilmState[name.removeprefix("FILM_STATE_")] for name, number in video_pb2.FilmState.items() if number
}


class FilmService:
    """The methods of evergreen.v1.FilmService; each may raise any exception of the error table."""

    def __init__(self, *, films: Films, runs: FilmRuns, calls: Streams) -> None:
        """`calls` bounds how many plans are made and read at a time, each of which holds a script or a plan."""
        self._films = films
        self._runs = runs
        self._calls = calls

    async def PlanFilm(self, message: film_pb2.PlanFilmRequest, context: Context) -> film_pb2.PlanFilmResponse:
        with self._calls.of(context.caller.owner(message.project_id)):
            seen = await self._films.plan(read_plan_request(message), context.origin)
            film, token = _first_page(seen, stored=not message.validate_only)
            changes = changes_message(seen.stored.planned.changes)
            return film_pb2.PlanFilmResponse(film=film, changes=changes, next_page_token=token)

    async def EditFilm(self, message: film_pb2.EditFilmRequest, context: Context) -> film_pb2.EditFilmResponse:
        _check_sees(message, context)
        with self._calls.of(context.caller.owner(message.project_id)):
            seen = await self._films.edit(read_edit_request(message), context.origin)
            film, token = _first_page(seen, stored=not message.validate_only)
            changes = changes_message(seen.stored.planned.changes)
            return film_pb2.EditFilmResponse(film=film, changes=changes, next_page_token=token)

    async def GetFilm(self, message: film_pb2.GetFilmRequest, context: Context) -> film_pb2.GetFilmResponse:
        if len(message.scene_ids) > MAX_SCENES:
            raise InvalidRequest([FieldError(field="scene_ids", description=f"at most {MAX_SCENES}")])
        scope = page_scope(message.project_id, message.film_id, message.plan_revision, message.scene_ids)
        revision, begin = message.plan_revision, ""
        if message.page_token:
            number, _, begin = (read_token(message.page_token, scope) or "").partition(".")
            if not (number.isascii() and number.isdigit() and len(number) < 10 and begin):
                raise InvalidRequest([FieldError(field="page_token", description=BAD_TOKEN)])
            revision = int(number)
        _check_sees(message, context)
        with self._calls.of(context.caller.owner(message.project_id)):
            seen = await self._films.get(message.project_id, message.film_id, revision)
            page = film_page(seen, _from(begin, _chosen(seen, message.scene_ids)))
            last = f"{seen.stored.plan_revision}.{page.next_id}"
            token = make_token(last, scope) if page.next_id else ""
            return film_pb2.GetFilmResponse(film=page.film, next_page_token=token)

    async def ListFilms(self, message: film_pb2.ListFilmsRequest, _context: Context) -> film_pb2.ListFilmsResponse:
        field_errors: list[FieldError] = []
        if text := id_error("project", message.project_id):
            field_errors.append(FieldError(field="project_id", description=text))
        if message.page_size < 0:
            field_errors.append(FieldError(field="page_size", description=f"must be 1 to {MAX_PAGE_SIZE}"))
        for number, state in enumerate(message.states):
            if state not in STATES:
                field_errors.append(FieldError(field=f"states[{number}]", description="not a state"))
        states = frozenset(STATES[state] for state in message.states if state in STATES)
        scope = f"{message.project_id}/{','.join(sorted(states))}"
        after = read_place(message.page_token, scope, wrong=partial(id_error, "scene"), errors=field_errors)
        if field_errors:
            raise InvalidRequest(field_errors)
        size = min(message.page_size or PAGE_SIZE, MAX_PAGE_SIZE)
        films = await self._films.page(message.project_id, states=states, after=after, limit=size + 1)
        token = make_token(films[size - 1].film_id, scope) if len(films) > size else ""
        return film_pb2.ListFilmsResponse(films=map(listed_status, films[:size]), next_page_token=token)

    async def StartFilm(self, message: film_pb2.StartFilmRequest, context: Context) -> film_pb2.StartFilmResponse:
        _check_sees(message, context)
        with self._calls.of(context.caller.owner(message.project_id)):
            request = replace(read_start_request(message), traceparent=context.traceparent)
            await self._runs.start(request, context.origin)
            film, token = await self._present(message)
            return film_pb2.StartFilmResponse(film=film, next_page_token=token)

    async def ExportFilm(self, message: film_pb2.ExportFilmRequest, context: Context) -> film_pb2.ExportFilmResponse:
        _check_sees(message, context)
        with self._calls.of(context.caller.owner(message.project_id)):
            request = replace(read_export_request(message), traceparent=context.traceparent)
            await self._runs.export(request, context.origin)
            film, token = await self._present(message)
            return film_pb2.ExportFilmResponse(film=film, next_page_token=token)

    async def ApproveFilm(self, message: film_pb2.ApproveFilmRequest, context: Context) -> film_pb2.ApproveFilmResponse:
        _check_sees(message, context)
        with self._calls.of(context.caller.owner(message.project_id)):
            await self._runs.approve(read_approve_request(message), context.origin)
            film, token = await self._present(message)
            return film_pb2.ApproveFilmResponse(film=film, next_page_token=token)

    async def CancelFilm(self, message: film_pb2.CancelFilmRequest, context: Context) -> film_pb2.CancelFilmResponse:
        _check_sees(message, context)
        with self._calls.of(context.caller.owner(message.project_id)):
            await self._runs.cancel(message.project_id, message.film_id, message.run, context.origin)
            film, token = await self._present(message)
            return film_pb2.CancelFilmResponse(film=film, next_page_token=token)

    async def _present(self, message: OfRun) -> tuple[film_pb2.Film, str]:
        """Returns a film as it is by now."""
        return _first_page(await self._films.get(message.project_id, message.film_id), stored=True)

    async def DeleteFilm(self, message: film_pb2.DeleteFilmRequest, context: Context) -> film_pb2.DeleteFilmResponse:
        _check_sees(message, context)
        with self._calls.of(context.caller.owner(message.project_id)):
            left = await self._films.delete(
                message.project_id, message.film_id, scenes=message.delete_scenes, origin=context.origin
            )
            return film_pb2.DeleteFilmResponse(left=left)


def _check_sees(
    message: film_pb2.EditFilmRequest | film_pb2.GetFilmRequest | film_pb2.DeleteFilmRequest | OfRun, context: Context
) -> None:
    """Raises FilmNotFound for a film of a project that is not the caller's."""
    if not context.caller.sees(message.project_id):
        raise FilmNotFound(message.project_id, message.film_id)


def _first_page(seen: Seen, *, stored: bool) -> tuple[film_pb2.Film, str]:
    """Returns a film with its first scenes, and the token with which GetFilm continues, if it is stored."""
    page = film_page(seen, seen.stored.planned.plan.scenes)
    if not page.next_id or not stored:
        return page.film, ""
    film = seen.stored.film
    token = make_token(f"{seen.stored.plan_revision}.{page.next_id}", page_scope(film.project_id, film.film_id))
    return page.film, token


def _chosen(seen: Seen, scene_ids: Sequence[str]) -> Sequence[PlannedScene]:
    """Returns the scenes that are asked for, in the order of the film. Raises InvalidRequest."""
    scenes = seen.stored.planned.plan.scenes
    known, text = {scene.scene_id for scene in scenes}, "the plan has no such scene"
    field_errors = [
        FieldError(field=f"scene_ids[{number}]", description=text)
        for number, scene_id in enumerate(scene_ids)
        if scene_id not in known
    ]
    if field_errors:
        raise InvalidRequest(field_errors)
    return [scene for scene in scenes if scene.scene_id in set(scene_ids)] if scene_ids else scenes


def _from(begin: str, scenes: Sequence[PlannedScene]) -> Sequence[PlannedScene]:
    """Returns the scenes from one on; all without one. Raises InvalidRequest if it is not among them."""
    if not begin:
        return scenes
    for number, scene in enumerate(scenes):
        if scene.scene_id == begin:
            return scenes[number:]
    raise InvalidRequest([FieldError(field="page_token", description=BAD_TOKEN)])
