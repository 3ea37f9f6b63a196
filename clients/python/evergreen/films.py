"""Films: scripts that become plans of scenes and shots, with a quote."""

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING
from uuid import uuid4

from evergreen.calls import Calls
from evergreen.v1.film_pb2 import (
    CastMember,
    DeleteFilmRequest,
    EditFilmRequest,
    EditFilmResponse,
    Film,
    FilmEdit,
    FilmSettings,
    FilmState,
    FilmStatus,
    GetFilmRequest,
    ListFilmsRequest,
    PlanFilmRequest,
    PlanFilmResponse,
    ScriptFormat,
)

if TYPE_CHECKING:
    # Exists only in the stubs' type information.
    from evergreen.v1.film_pb2_grpc import FilmServiceAsyncStub


class Films:
    """The calls for films, available as `Client.films`. None of them spends anything."""

    def __init__(self, stub: "FilmServiceAsyncStub", *, calls: Calls) -> None:
        self._stub = stub
        self._calls = calls

    async def plan(
        self,
        project_id: str,
        film_id: str,
        script: str,
        *,
        settings: FilmSettings | None = None,
        cast: Iterable[CastMember] = (),
        script_format: ScriptFormat.ValueType = ScriptFormat.SCRIPT_FORMAT_UNSPECIFIED,
        plan_revision: int = 0,
        request_id: str = "",
        validate_only: bool = False,
    ) -> PlanFilmResponse:
        """Plans a script, and returns the film with its quote, and what the plan changes.

        `plan_revision` is the plan that it replaces; 0: the film is new. If no request_id is given, each call creates
        one; to be able to repeat a call whose answer was lost, give your own. Raises PlanChanged, SceneTaken,
        InvalidRequest with every fault of the script.
        """
        request = PlanFilmRequest(
            project_id=project_id,
            film_id=film_id,
            request_id=request_id or uuid4().hex,
            script=script,
            format=script_format,
            settings=settings,
            cast=cast,
            plan_revision=plan_revision,
            validate_only=validate_only,
        )
        answer = await self._calls.unary(self._stub.PlanFilm, request)
        await self._complete(
            answer.film, answer.next_page_token, GetFilmRequest(project_id=project_id, film_id=film_id)
        )
        return answer

    async def edit(
        self,
        project_id: str,
        film_id: str,
        edits: Iterable[FilmEdit],
        *,
        plan_revision: int,
        validate_only: bool = False,
    ) -> EditFilmResponse:
        """Changes the plan that has been read, `plan_revision`, by all of the edits or none.

        Raises PlanChanged if it is not the newest: also where the edits were made, and the answer was lost on its way.
        """
        request = EditFilmRequest(
            project_id=project_id,
            film_id=film_id,
            plan_revision=plan_revision,
            edits=edits,
            validate_only=validate_only,
        )
        answer = await self._calls.unary(self._stub.EditFilm, request)
        await self._complete(
            answer.film, answer.next_page_token, GetFilmRequest(project_id=project_id, film_id=film_id)
        )
        return answer

    async def get(
        self, project_id: str, film_id: str, *, plan_revision: int = 0, scene_ids: Iterable[str] = ()
    ) -> Film:
        """Returns a film, by default with its newest plan and all scenes. Fetches one page after the other."""
        request = GetFilmRequest(
            project_id=project_id, film_id=film_id, plan_revision=plan_revision, scene_ids=scene_ids
        )
        answer = await self._calls.unary(self._stub.GetFilm, request)
        await self._complete(answer.film, answer.next_page_token, request)
        return answer.film

    async def list(
        self, project_id: str, *, states: Iterable[FilmState.ValueType] = (), page_size: int = 0
    ) -> AsyncIterator[FilmStatus]:
        """Yields a project's films in the order of their ids. Fetches one page after the other."""
        request = ListFilmsRequest(project_id=project_id, states=states, page_size=page_size)
        while True:
            page = await self._calls.unary(self._stub.ListFilms, request)
            for film in page.films:
                yield film
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def delete(self, project_id: str, film_id: str, *, delete_scenes: bool = False) -> tuple[str, ...]:
        """Deletes a film; with `delete_scenes` also its folders with all files.

        Returns the paths, `{scene}/…`, of files that others put there and that the storage cannot remove.
        """
        request = DeleteFilmRequest(project_id=project_id, film_id=film_id, delete_scenes=delete_scenes)
        return tuple((await self._calls.unary(self._stub.DeleteFilm, request)).left)

    async def _complete(self, film: Film, page_token: str, request: GetFilmRequest) -> None:
        """Adds the scenes of the pages that follow."""
        while page_token:
            request.page_token = page_token
            page = await self._calls.unary(self._stub.GetFilm, request)
            film.scenes.extend(page.film.scenes)
            film.quote.items.extend(page.film.quote.items)
            page_token = page.next_page_token
