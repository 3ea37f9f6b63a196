"""Films: scripts that become plans of scenes and shots with a quote, and runs that make them."""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from evergreen.calls import Calls
from evergreen.fields import checked
from evergreen.requests import timestamp
from evergreen.v1.film_pb2 import (
    ApproveFilmRequest,
    ApproveFilmResponse,
    CancelFilmRequest,
    CancelFilmResponse,
    CastMember,
    DeleteFilmRequest,
    EditFilmRequest,
    EditFilmResponse,
    ExportFilmRequest,
    ExportFilmResponse,
    ExportProfile,
    Film,
    FilmEdit,
    FilmRedo,
    FilmSettings,
    GetFilmRequest,
    ListFilmsRequest,
    OnShotFailure,
    PlanFilmRequest,
    PlanFilmResponse,
    ScriptFormat,
    StartFilmRequest,
    StartFilmResponse,
)
from evergreen.v1.video_pb2 import FilmGate, FilmStage, FilmState, FilmStatus, OnUnknownSubmission

if TYPE_CHECKING:
    # Exists only in the stubs' type information.
    from evergreen.v1.film_pb2_grpc import FilmServiceAsyncStub


class Films:
    """The calls for films, available as `Client.films`. Only `start` and `approve` lead to spending."""

    def __init__(self, stub: "FilmServiceAsyncStub", *, calls: Calls) -> None:
        self._stub = stub
        self._calls = calls

    @checked
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

    @checked
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

    @checked
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

    @checked
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

    @checked
    async def start(
        self,
        project_id: str,
        film_id: str,
        *,
        plan_revision: int,
        max_credits: float,
        gates: Iterable[FilmGate.ValueType] = (),
        stop_after: FilmStage.ValueType = FilmStage.FILM_STAGE_UNSPECIFIED,
        redo: FilmRedo.ValueType = FilmRedo.FILM_REDO_UNSPECIFIED,
        on_shot_failure: OnShotFailure.ValueType = OnShotFailure.ON_SHOT_FAILURE_UNSPECIFIED,
        max_attempts: int = 0,
        on_unknown_submission: OnUnknownSubmission.ValueType = OnUnknownSubmission.ON_UNKNOWN_SUBMISSION_UNSPECIFIED,
        priority: int = 0,
        finish_by: datetime | None = None,
        request_id: str = "",
    ) -> Film:
        """Starts a run of the plan that has been read, for at most `max_credits`; returns the film with the run.

        `finish_by` is in a time zone. If no request_id is given, each call creates one; to be able to repeat a call
        whose answer was lost, give your own. Raises PlanChanged, FilmBusy, FilmCreditsExceeded,
        ProjectCreditsExceeded, PriceUnknown.
        """
        request = StartFilmRequest(
            project_id=project_id,
            film_id=film_id,
            request_id=request_id or uuid4().hex,
            plan_revision=plan_revision,
            max_credits=max_credits,
            gates=gates,
            stop_after=stop_after,
            redo=redo,
            on_shot_failure=on_shot_failure,
            max_attempts=max_attempts,
            on_unknown_submission=on_unknown_submission,
            priority=priority,
        )
        if finish_by is not None:
            request.finish_by.CopyFrom(timestamp(finish_by, "finish_by"))
        return await self._whole(await self._calls.unary(self._stub.StartFilm, request))

    @checked
    async def approve(self, status: FilmStatus, *, max_credits: float, plan_revision: int = 0) -> Film:
        """Has the run of a film go on that waited as `status` says; returns the film.

        `max_credits` is the most that the whole run may cost, with what it has cost by now. `plan_revision` is the plan
        that is approved, by default that of `status`. The same approval again changes nothing. Raises FilmChanged if
        the run is not as it was, PlanChanged, FilmCreditsExceeded, ProjectCreditsExceeded, PriceUnknown.
        """
        request = ApproveFilmRequest(
            project_id=status.project_id,
            film_id=status.film_id,
            run=status.run,
            plan_revision=plan_revision or status.plan_revision,
            max_credits=max_credits,
            revision=status.revision,
        )
        return await self._whole(await self._calls.unary(self._stub.ApproveFilm, request))

    @checked
    async def export(
        self,
        project_id: str,
        film_id: str,
        *,
        plan_revision: int,
        profiles: Iterable[ExportProfile] = (),
        missing: OnShotFailure.ValueType = OnShotFailure.ON_SHOT_FAILURE_UNSPECIFIED,
        request_id: str = "",
    ) -> Film:
        """Starts a run that makes cuts of what is there, and spends nothing; returns the film with the run.

        `profiles` are by default those of the plan; `missing` says what stands in for an output that is not there or is
        stale. If no request_id is given, each call creates a new one, which stays the same for all of its retries.
        Raises OutputMissing, PlanNotFound, FilmBusy.
        """
        request = ExportFilmRequest(
            project_id=project_id,
            film_id=film_id,
            request_id=request_id or str(uuid4()),
            plan_revision=plan_revision,
            profiles=profiles,
            missing=missing,
        )
        return await self._whole(await self._calls.unary(self._stub.ExportFilm, request))

    @checked
    async def cancel(self, project_id: str, film_id: str, run: int) -> Film:
        """Has a run end; what was made stays. One that ends, or has ended, is left as it is. Raises RunNotFound."""
        request = CancelFilmRequest(project_id=project_id, film_id=film_id, run=run)
        return await self._whole(await self._calls.unary(self._stub.CancelFilm, request))

    @checked
    async def delete(self, project_id: str, film_id: str, *, delete_scenes: bool = False) -> tuple[str, ...]:
        """Deletes a film; with `delete_scenes` also its folders with all files.

        Returns the paths, `{scene}/…`, of files that others put there and that the storage cannot remove.
        """
        request = DeleteFilmRequest(project_id=project_id, film_id=film_id, delete_scenes=delete_scenes)
        return tuple((await self._calls.unary(self._stub.DeleteFilm, request)).left)

    async def _whole(
        self, answer: StartFilmResponse | ExportFilmResponse | ApproveFilmResponse | CancelFilmResponse
    ) -> Film:
        status = answer.film.status
        request = GetFilmRequest(project_id=status.project_id, film_id=status.film_id)
        await self._complete(answer.film, answer.next_page_token, request)
        return answer.film

    async def _complete(self, film: Film, page_token: str, request: GetFilmRequest) -> None:
        """Adds the scenes of the pages that follow."""
        while page_token:
            request.page_token = page_token
            page = await self._calls.unary(self._stub.GetFilm, request)
            film.scenes.extend(page.film.scenes)
            film.quote.items.extend(page.film.quote.items)
            page_token = page.next_page_token
