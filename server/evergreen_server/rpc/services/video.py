"""VideoService: converts requests, calls `jobs`, and answers. It decides nothing about a job's life."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from evergreen.v1 import video_pb2
from evergreen_server.jobs import commands
from evergreen_server.jobs.admission.account import AccountReader
from evergreen_server.jobs.admission.forecast import Forecasts
from evergreen_server.jobs.feed.films import subject_of
from evergreen_server.jobs.feed.hub import WatchHub
from evergreen_server.jobs.intake import Accepted, Intake
from evergreen_server.jobs.model.errors import JobNotFound
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Slot
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.provider_tasks import TaskRecords
from evergreen_server.ports.catalog import ModelTable
from evergreen_server.ports.provider import Provider
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.rpc.access.policy import Caller
from evergreen_server.rpc.handlers import Context
from evergreen_server.rpc.messages.convert import forecast_message, job_message
from evergreen_server.rpc.messages.fields import read_kinds
from evergreen_server.rpc.messages.listing import MAX_PAGE_SIZE, PAGE_SIZE, read_list_request
from evergreen_server.rpc.messages.operations import named
from evergreen_server.rpc.messages.paging import make_token
from evergreen_server.rpc.messages.requests import read_generate_request, read_request
from evergreen_server.rpc.messages.values import credits_of
from evergreen_server.rpc.services.overview import OverviewMethods
from evergreen_server.rpc.status_cache import StatusCache
from evergreen_server.rpc.streams import Streams
from evergreen_storage import id_error

MAX_WATCHED = 1000
MAX_WATCHED_FILMS = 100
TASK_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class VideoService(OverviewMethods):
    """The methods of evergreen.v1.VideoService; each may raise any exception of the error table."""

    def __init__(
        self,
        *,
        store: JobStore,
        tasks: TaskRecords,
        hub: WatchHub,
        provider: Provider,
        account: AccountReader,
        models: ModelTable,
        intake: Intake,
        statuses: StatusCache,
        forecasts: Forecasts,
        watches: Streams,
        watch_seconds: Callable[[], float] = lambda: math.inf,
    ) -> None:
        super().__init__(store=store, account=account, models=models)
        self._tasks = tasks
        self._hub = hub
        self._provider = provider
        self._intake = intake
        self._statuses = statuses
        self._forecasts = forecasts
        self._watches = watches
        self._watch_seconds = watch_seconds

    async def GenerateVideo(
        self, message: video_pb2.GenerateVideoRequest, context: Context
    ) -> video_pb2.GenerateVideoResponse:
        self._hub.check_draining()
        request = replace(read_request(message), traceparent=context.traceparent)
        if message.validate_only:
            quote = await self._intake.quote(request)
            estimated = None if quote is None else credits_of(quote)
            return video_pb2.GenerateVideoResponse(estimated_credits=estimated)
        return _accepted(await self._intake.accept(request, context.origin))

    async def Generate(self, message: video_pb2.GenerateRequest, context: Context) -> video_pb2.GenerateResponse:
        self._hub.check_draining()
        request = replace(read_generate_request(message), traceparent=context.traceparent)
        try:
            if message.validate_only:
                quote = await self._intake.quote(request)
                return video_pb2.GenerateResponse(estimated_credits=None if quote is None else credits_of(quote))
            accepted = await self._intake.accept(request, context.origin)
        except InvalidRequest as exc:
            # Of the same class: files that are missing are not found.
            raise type(exc)(named(exc.field_errors, message)) from None
        estimate = accepted.job.estimated_millicredits
        return video_pb2.GenerateResponse(
            job=job_message(accepted.job, whole=True),
            estimated_credits=None if estimate is None else credits_of(estimate),
            known=accepted.known,
        )

    async def GetStatus(self, message: video_pb2.GetStatusRequest, context: Context) -> bytes:
        kept = self._statuses.get(message.job_id, context.caller)
        if kept is not None:
            return kept[0] + await self._forecast(message.job_id, kept[1]) if kept[1] else kept[0]
        with self._statuses.reading(message.job_id) as keep:
            job = await self._job(message.job_id, context.caller)
            answer = video_pb2.GetStatusResponse(job=job_message(job, whole=True)).SerializeToString()
            keep(job, answer)
        return answer + await self._forecast(job.job_id, job.needs_slot) if job.needs_slot else answer

    async def _forecast(self, job_id: str, slot: Slot) -> bytes:
        """Returns the part of an answer that changes by itself; a message may be sent in parts, which are merged."""
        forecast = (await self._forecasts.all()).get(job_id)
        if forecast is None or forecast.slot is not slot:
            return b""
        return video_pb2.GetStatusResponse(job=forecast_message(forecast)).SerializeToString()

    async def _job(self, job_id: str, caller: Caller) -> Job:
        """Returns a job. Raises JobNotFound, as slowly for a job of somebody else as for a missing one."""
        _check_id(job_id)
        job = await self._store.get(job_id)
        if not caller.sees(job.request.project_id):
            raise JobNotFound(job_id)
        return job

    async def _check_job(self, job_id: str, caller: Caller) -> None:
        _check_id(job_id)
        # A job never changes its project, so what is found here stays so.
        if caller.projects is not None:
            await self._job(job_id, caller)

    async def WatchProgress(self, message: video_pb2.WatchProgressRequest, context: Context) -> None:
        field_errors: list[FieldError] = []
        if not message.project_id and not message.job_ids:
            field_errors.append(FieldError(field="project_id", description="give a project_id, job_ids, or both"))
        elif message.project_id and (text := id_error("project", message.project_id)):
            field_errors.append(FieldError(field="project_id", description=text))
        if len(message.job_ids) > MAX_WATCHED:
            field_errors.append(FieldError(field="job_ids", description=f"at most {MAX_WATCHED}"))
        after = message.after_revision if message.HasField("after_revision") else None
        if after is not None and after < 0:
            field_errors.append(FieldError(field="after_revision", description="must not be negative"))
        kinds = read_kinds(message.kinds, field_errors)
        field_errors += _film_errors(message)
        if field_errors:
            raise InvalidRequest(field_errors)
        for job_id in message.job_ids:
            _check_id(job_id)
        with self._watches.of(context.caller.owner(message.project_id)):
            await self._hub.watch(
                context.call.write,
                project_id=message.project_id,
                job_ids=frozenset(message.job_ids),
                after=after,
                include_finished=message.include_finished,
                kinds=kinds,
                films=message.include_films,
                subjects=frozenset(map(subject_of, message.film_ids)),
                projects=context.caller.projects,
                seconds=self._watch_seconds(),
            )

    async def CancelVideo(
        self, message: video_pb2.CancelVideoRequest, context: Context
    ) -> video_pb2.CancelVideoResponse:
        await self._check_job(message.job_id, context.caller)
        job = await commands.cancel(self._store, message.job_id, context.origin)
        return video_pb2.CancelVideoResponse(job=job_message(job, whole=True))

    async def ListVideos(self, message: video_pb2.ListVideosRequest, context: Context) -> video_pb2.ListVideosResponse:
        listing, scope, after = read_list_request(message, context.caller)
        size = min(message.page_size or PAGE_SIZE, MAX_PAGE_SIZE)
        page = await self._store.page(listing, after=after, limit=size)
        token = make_token(page.more, scope) if page.more else ""
        messages = [job_message(job, whole=True) for job in page.jobs]
        if any(job.needs_slot for job in page.jobs):
            forecasts = await self._forecasts.all()
            for job, listed in zip(page.jobs, messages, strict=True):
                forecast = forecasts.get(job.job_id)
                if forecast is not None and forecast.slot is job.needs_slot:
                    listed.MergeFrom(forecast_message(forecast))
        return video_pb2.ListVideosResponse(jobs=messages, next_page_token=token)

    async def ResolveSubmission(
        self, message: video_pb2.ResolveSubmissionRequest, context: Context
    ) -> video_pb2.ResolveSubmissionResponse:
        known = message.resolution in video_pb2.SubmissionResolution.values()
        name = video_pb2.SubmissionResolution.Name(message.resolution) if known else ""
        name = name.removeprefix("SUBMISSION_RESOLUTION_")
        field_errors: list[FieldError] = []
        if name not in commands.Resolution.__members__:
            field_errors.append(
                FieldError(field="resolution", description="required: one of RESUBMIT, ABANDON, ATTACH")
            )
        elif (name == "ATTACH") != bool(message.provider_task_id):
            text = "required with ATTACH, and only there"
            field_errors.append(FieldError(field="provider_task_id", description=text))
        elif message.provider_task_id and not TASK_ID.fullmatch(message.provider_task_id):
            field_errors.append(FieldError(field="provider_task_id", description="must be a UUID"))
        if field_errors:
            raise InvalidRequest(field_errors)
        await self._check_job(message.job_id, context.caller)
        job = await commands.resolve(
            self._store,
            self._tasks,
            self._provider,
            message.job_id,
            commands.Resolution[name],
            message.provider_task_id,
            context.origin,
        )
        return video_pb2.ResolveSubmissionResponse(job=job_message(job, whole=True))


def _check_id(job_id: str) -> None:
    """Raises JobNotFound for what cannot be a job's id, without asking the database."""
    if id_error("job", job_id):
        raise JobNotFound(job_id)


def _accepted(accepted: Accepted) -> video_pb2.GenerateVideoResponse:
    job = accepted.job
    message = video_pb2.GenerateVideoResponse(job=job_message(job, whole=True), known=accepted.known)
    if job.estimated_millicredits is not None:
        message.estimated_credits = credits_of(job.estimated_millicredits)
    return message


def _film_errors(message: video_pb2.WatchProgressRequest) -> Iterator[FieldError]:
    if message.film_ids and not message.project_id:
        yield FieldError(field="project_id", description="required with film_ids")
    if len(message.film_ids) > MAX_WATCHED_FILMS:
        yield FieldError(field="film_ids", description=f"at most {MAX_WATCHED_FILMS}")
    for number, film_id in enumerate(message.film_ids[:MAX_WATCHED_FILMS]):
        if text := id_error("scene", film_id):
            yield FieldError(field=f"film_ids[{number}]", description=text.replace("the scene id", "the film id"))
