"""The exceptions of this package. The class of a call's error follows the reason that the service gives.

EvergreenError
  MediaTooLarge           the inputs are too large to be sent as bytes; nothing was sent
  CallError               a call ended with an error status
    InvalidRequest        the request is invalid; `violations` lists every field error
    RequestIdReused       the request_id was used with another body; metadata `job_id` names its job
    Unauthenticated       the caller is unknown: give a token or a certificate that the service knows
    PermissionDenied      the caller may not do this
    JobDeleted            the request was accepted long ago, and its job is no longer kept
    PlanDeleted           the request was carried out long ago, and its plan is no longer kept
    PlanChanged           the film's plan is another than the call names; read it, and decide again
    SceneTaken            a scene of the film is another film's, or has jobs
    RunDeleted            the request was carried out before, and its run was deleted with its film
    FilmChanged           the film's run is not as it was read; read it, and decide again
    NotFound
      JobNotFound
      SceneNotFound
      AssetNotFound
      FilmNotFound
      PlanNotFound
      RunNotFound
      WebhookNotFound
      DeliveryNotFound
    AssetExists           a file with this path exists; choose another name, or set `overwrite`
    PreconditionFailed
      NeedsResolution     the job needs attention; call `resolve`
      NotResolvable       the job does not need attention, or no longer does
      PriceUnknown        a limit on credits is set and the model's price is not known
      CreditsExceeded     the quote is above `max_credits`
      ProjectCreditsExceeded   the quote is above what is left of the project's limit
      FilmBusy            a run of the film is on
      TooManyFilms        the project has as many films as it may have
      OutputMissing       an export needs outputs that are not there
      FilmCreditsExceeded what is to be made may cost more than is left of the sum
      WebhooksOff         the operator has set up no key for webhooks
      WebhookSwitchedOff  the webhook is switched off; switch it on with `update`
      ProviderTaskNotFound
      ProviderTaskTaken   the task belongs to another job
      ProviderUnauthorized
      SceneUnsupported    a newer version of the service wrote the scene
      SceneBusy           jobs of the scene are not final, or it is being deleted
      UrlUnsupported      the storage cannot sign URLs; download the asset instead
      ObjectTooLarge      the file is larger than the storage allows
    CursorLost            events may have been missed; watch again without a cursor
      CursorAhead
      CursorCompacted
    Unavailable           call again later
      Draining
      StorageUnavailable
      ProviderUnavailable
    QueueFull             call again later, with the same request_id
    TooManyTransfers      call again later
    TooManyWebhooks       a project, or the service, has as many webhooks as it may have; delete some
    NotOffered            this server does not offer the call
    InternalError         an internal error of the service; metadata `error_id` finds it in the log
    DeadlineExceeded      no answer in time; the request may have been carried out
      TransferStalled     the service waited too long for this client; call again
  WebhookRejected         a request to a receiver is not from the service, too old, or no event
  TransferBroken          an upload or download stalled, or the received bytes differ from the sent bytes
  WatchInterrupted        a watch could not be resumed for too long
  JobFailed               the job is final and has not succeeded
    JobCancelled
    JobExpired
  NeedsAttention          it is not known whether a paid task exists; call `resolve`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evergreen.job import Job

if TYPE_CHECKING:
    # Receivers of webhooks do without.
    import grpc


class EvergreenError(Exception):
    """The root of all errors of this package."""


class MediaTooLarge(EvergreenError, ValueError):
    """The inputs given as files or bytes are larger than one request allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldViolation:
    """One field error of a request: the field's path and what to do."""

    field: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDetails:
    """The details of a status, in addition to its code and text."""

    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    retry_after_seconds: float | None = None
    message: str = ""
    """Replaces the status's text if not empty."""


class CallError(EvergreenError):
    """A call ended with an error status.

    `reason` is the service's reason; it is empty if the status did not come from the service (a lost connection, a
    proxy). `rpc_error` is the original error.
    """

    def __init__(self, rpc_error: grpc.aio.AioRpcError, details: CallDetails) -> None:
        message = details.message or rpc_error.details() or rpc_error.code().name
        super().__init__(f"{message} ({details.reason or rpc_error.code().name})")
        self.rpc_error = rpc_error
        self.code = rpc_error.code()
        self.message = message
        self.reason = details.reason
        self.metadata = details.metadata
        self.violations = details.violations
        self.retry_after_seconds = details.retry_after_seconds


class InvalidRequest(CallError):
    """A field is missing, malformed or out of bounds; `violations` lists every field error."""


class RequestIdReused(CallError):
    """The request_id was used with another body in this project; metadata `job_id` or `film_id` names what it made."""


class Unauthenticated(CallError):
    """The caller is unknown: the token or certificate is missing, unknown or expired."""


class PermissionDenied(CallError):
    """The caller may not do this; the operator grants rights."""


class JobDeleted(CallError):
    """The request was accepted long ago, and its job, named in metadata `job_id`, is no longer kept."""


class PlanDeleted(CallError):
    """The request was carried out long ago, and the plan of the film in metadata `film_id` is no longer kept."""


class PlanChanged(CallError):
    """The film's plan is another than the call names; metadata `plan_revision` holds it. Read it, and decide again."""


class RunDeleted(CallError):
    """The request was carried out before, and its run was deleted with the film in metadata `film_id`."""


class FilmChanged(CallError):
    """The film's run is not as it was read; metadata `revision` holds the present one. Read it, and decide again."""


class SceneTaken(CallError):
    """A scene of the film, in metadata `scene_id`, is another film's, or has jobs."""


class NotFound(CallError):
    """The requested object does not exist, or it is not yours."""


class JobNotFound(NotFound):
    """No such job, or it is not yours."""


class SceneNotFound(NotFound):
    """No such scene, or it is not yours."""


class AssetNotFound(NotFound):
    """The scene has no such file."""


class FilmNotFound(NotFound):
    """No such film, or it is not yours."""


class PlanNotFound(NotFound):
    """The film has no such plan, or no longer keeps it."""


class RunNotFound(NotFound):
    """The film has no such run."""


class WebhookNotFound(NotFound):
    """No such webhook, or it is not yours."""


class DeliveryNotFound(NotFound):
    """The webhook has no such delivery, or no longer."""


class AssetExists(CallError):
    """A file with this path exists, with other bytes; choose another name, or set `overwrite`."""


class PreconditionFailed(CallError):
    """The call is not possible in the current state of the job, scene or project."""


class NeedsResolution(PreconditionFailed):
    """The job needs attention, and the call cannot settle that; call `resolve`."""


class NotResolvable(PreconditionFailed):
    """The job does not need attention, or no longer does; read it with `status`."""


class PriceUnknown(PreconditionFailed):
    """A limit on credits is set, and the model's price is not known."""


class CreditsExceeded(PreconditionFailed):
    """The quote, in metadata `estimated_credits`, is above `max_credits`."""


class FilmBusy(PreconditionFailed):
    """A run of the film is on: wait for it, or cancel it."""


class TooManyFilms(PreconditionFailed):
    """The project has as many films as it may have (metadata `most`); delete some."""


class OutputMissing(PreconditionFailed):
    """An export needs outputs that are not there, or no longer stand for the plan; the text names them."""


class FilmCreditsExceeded(PreconditionFailed):
    """What is to be made may cost more (`estimated_credits`) than is left of the sum (metadata `left_credits`)."""


class WebhooksOff(PreconditionFailed):
    """The operator has set up no key for webhooks."""


class WebhookSwitchedOff(PreconditionFailed):
    """The webhook is switched off; switch it on with `update`."""


class ProjectCreditsExceeded(PreconditionFailed):
    """The quote exceeds the project's limit; metadata `cap`, `reserved`, `spent` and `estimate` hold the credits."""


class ProviderTaskNotFound(PreconditionFailed):
    """The provider has no task with this id."""


class ProviderTaskTaken(PreconditionFailed):
    """The provider's task belongs to another job."""


class ProviderUnauthorized(PreconditionFailed):
    """The provider rejects the service's key; tell the operator."""


class SceneUnsupported(PreconditionFailed):
    """A newer version of the service wrote the scene; tell the operator."""


class SceneBusy(PreconditionFailed):
    """Jobs of the scene are not final (metadata `job_id` names one), or the scene is being deleted."""


class UrlUnsupported(PreconditionFailed):
    """The storage cannot sign URLs; download the asset instead."""


class ObjectTooLarge(PreconditionFailed):
    """The file is larger than the storage allows."""


class CursorLost(CallError):
    """The cursor is invalid; watch again without one, and assume that events were missed."""


class CursorAhead(CursorLost):
    """The cursor is ahead of the project: it belongs to another project, or the data was restored."""


class CursorCompacted(CursorLost):
    """Events after the cursor are no longer kept."""


class Unavailable(CallError):
    """The service gave no usable answer for now; call again."""


class Draining(Unavailable):
    """The server is stopping; call again."""


class StorageUnavailable(Unavailable):
    """The service's database or file storage does not answer; call again."""


class ProviderUnavailable(Unavailable):
    """The provider does not answer; call again."""


class QueueFull(CallError):
    """Too many jobs are waiting, or too many calls are open; call again later."""


class TooManyTransfers(CallError):
    """Too many files are being transferred; call again later."""


class TooManyWebhooks(CallError):
    """A project, or the service, has as many webhooks as it may have; delete some."""


class NotOffered(CallError):
    """This server does not offer the call."""


class InternalError(CallError):
    """An internal error of the service; metadata `error_id` finds it in the service's log."""


class DeadlineExceeded(CallError, TimeoutError):
    """No answer arrived in time. The request may have been carried out."""


class TransferStalled(DeadlineExceeded):
    """The service waited too long for this client, which sent or read almost nothing; call again."""


class WebhookRejected(EvergreenError):
    """A request to a receiver of webhooks was not made by the service, is too old, or holds no event."""


class TransferBroken(EvergreenError):
    """An upload or download stalled, or the received bytes differ from the sent bytes; start again."""


class WatchInterrupted(EvergreenError):
    """A watch could not be resumed for too long; `revision` is the cursor to resume, `__cause__` the last error."""

    def __init__(self, message: str, *, revision: int | None) -> None:
        super().__init__(message)
        self.revision = revision


class JobFailed(EvergreenError):
    """The job ended without success; `job.error` says why."""

    def __init__(self, job: Job) -> None:
        super().__init__(_describe(job))
        self.job = job


class JobCancelled(JobFailed):
    """The job was cancelled."""


class JobExpired(JobFailed):
    """The job passed its `start_by` or `finish_by`."""


class NeedsAttention(EvergreenError):
    """It is not known whether a paid task exists for the job; `Client.resolve` settles it."""

    def __init__(self, job: Job) -> None:
        super().__init__(_describe(job))
        self.job = job


_ENDS: Mapping[str, tuple[type[JobFailed | NeedsAttention], str]] = {
    "failed": (JobFailed, "has failed"),
    "cancelled": (JobCancelled, "was cancelled"),
    "expired": (JobExpired, "has expired"),
    "needs_attention": (NeedsAttention, "needs attention"),
}


def job_error(job: Job) -> JobFailed | NeedsAttention | None:
    """Returns the error of a job that failed or needs attention; None for any other job."""
    return _ENDS[job.state][0](job) if job.state in _ENDS else None


def _describe(job: Job) -> str:
    told = f": {job.error.message} ({job.error.reason})" if job.error else ""
    return f"job {job.job_id} {_ENDS[job.state][1]}{told}"
