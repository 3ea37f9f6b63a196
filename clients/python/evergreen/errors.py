"""What can go wrong, as exceptions. A call's error is chosen by the reason that the service gives.

EvergreenError
  MediaTooLarge           the inputs are too large to be sent as bytes; nothing was sent
  CallError               a call ended with an error status
    InvalidRequest        something is wrong with the request; `violations` names every fault
    RequestIdReused       the request_id belongs to another body; metadata `job_id` names its job
    Unauthenticated       the service wants to know who calls: give a token or a certificate that it knows
    PermissionDenied      who calls may not do this
    JobDeleted            the request was carried out long ago, and its job is no longer kept
    NotFound
      JobNotFound
      SceneNotFound
      AssetNotFound
    AssetExists           a file of that path exists; choose another name, or set `overwrite`
    PreconditionFailed
      NeedsResolution     the job needs attention; call `resolve`
      NotResolvable       the job does not, or no longer, need attention
      PriceUnknown        a limit on credits is set and the model's price is not known
      CreditsExceeded     the quote is above `max_credits`
      ProjectCreditsExceeded   the quote is above what the project has left
      ProviderTaskNotFound
      ProviderTaskTaken   the task belongs to another job
      ProviderUnauthorized
      SceneUnsupported    a newer version of the service wrote the scene
      SceneBusy           jobs of the scene are not final, or it is being deleted
      UrlUnsupported      the storage cannot sign URLs; download the asset instead
      ObjectTooLarge      the storage takes no file as large as this
    CursorLost            events may have been missed; watch again without a cursor
      CursorAhead
      CursorCompacted
    Unavailable           call again later
      Draining
      StorageUnavailable
      ProviderUnavailable
    QueueFull             call again later, with the same request_id
    TooManyTransfers      call again later
    NotOffered            this server does not offer the call
    InternalError         a fault of the service; metadata `error_id` finds it in the log
    DeadlineExceeded      no answer in time; what was asked may have been done all the same
      TransferStalled     the service waited too long for this client; call again
  TransferBroken          an upload or download stood still, or the bytes there are not the bytes here
  WatchInterrupted        a watch could not be resumed for too long
  JobFailed               the job is final and has not succeeded
    JobCancelled
    JobExpired
  NeedsAttention          whether a paid task exists is not known; call `resolve`
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

from evergreen.v1.video_pb2 import Job, JobState


class EvergreenError(Exception):
    """The root of all errors of this package."""


class MediaTooLarge(EvergreenError, ValueError):
    """The inputs given as files or bytes are larger than one request may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldViolation:
    """One thing wrong with a request: the field's path and what to do."""

    field: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDetails:
    """What a status tells beside its code and text."""

    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    retry_after_seconds: float | None = None
    message: str = ""
    """What to say instead of the status's text."""


class CallError(EvergreenError):
    """A call ended with an error status.

    `reason` is the service's own, and empty where the status did not come from it (a lost connection, a
    proxy). `rpc_error` is the original.
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
    """A field is missing, malformed or out of bounds; `violations` names them all."""


class RequestIdReused(CallError):
    """The request_id was used with another body in this project; metadata `job_id` names its job."""


class Unauthenticated(CallError):
    """The service does not know who calls: the token or certificate is missing, unknown or expired."""


class PermissionDenied(CallError):
    """Who calls may not do this; the operator grants rights."""


class JobDeleted(CallError):
    """The request was accepted long ago, and its job, named in metadata `job_id`, is no longer kept."""


class NotFound(CallError):
    """No such thing, or it is not yours."""


class JobNotFound(NotFound):
    """No such job, or it is not yours."""


class SceneNotFound(NotFound):
    """No such scene, or it is not yours."""


class AssetNotFound(NotFound):
    """The scene has no such file."""


class AssetExists(CallError):
    """A file of that path exists, with other bytes; choose another name, or set `overwrite`."""


class PreconditionFailed(CallError):
    """The call does not fit the present state of things."""


class NeedsResolution(PreconditionFailed):
    """The job needs attention, and the call cannot settle that; call `resolve`."""


class NotResolvable(PreconditionFailed):
    """The job does not, or no longer, need attention; read it with `status`."""


class PriceUnknown(PreconditionFailed):
    """A limit on credits is set, and the model's price is not known."""


class CreditsExceeded(PreconditionFailed):
    """The quote, in metadata `estimated_credits`, is above `max_credits`."""


class ProjectCreditsExceeded(PreconditionFailed):
    """The project's limit has no room for the quote; metadata `cap`, `reserved`, `spent` and `estimate` tell why."""


class ProviderTaskNotFound(PreconditionFailed):
    """The provider knows no task of that id."""


class ProviderTaskTaken(PreconditionFailed):
    """The provider's task belongs to another job."""


class ProviderUnauthorized(PreconditionFailed):
    """The provider refuses the service's key; tell the operator."""


class SceneUnsupported(PreconditionFailed):
    """The scene was written by a newer version of the service; tell the operator."""


class SceneBusy(PreconditionFailed):
    """Jobs of the scene are not final (metadata `job_id` names one), or the scene is being deleted."""


class UrlUnsupported(PreconditionFailed):
    """The storage cannot sign URLs; download the asset instead."""


class ObjectTooLarge(PreconditionFailed):
    """The storage takes no file as large as this."""


class CursorLost(CallError):
    """The cursor is of no use; watch again without one, and take it that events were missed."""


class CursorAhead(CursorLost):
    """The cursor is ahead of the project: another project's, or the data was restored."""


class CursorCompacted(CursorLost):
    """Events after the cursor are no longer kept."""


class Unavailable(CallError):
    """No usable answer for now; call again."""


class Draining(Unavailable):
    """The server is stopping; call again."""


class StorageUnavailable(Unavailable):
    """The service's database or file storage does not answer; call again."""


class ProviderUnavailable(Unavailable):
    """The provider does not answer; call again."""


class QueueFull(CallError):
    """Too many jobs wait, or too many calls are open; call again later."""


class TooManyTransfers(CallError):
    """Too many files are being transferred; call again later."""


class NotOffered(CallError):
    """This server does not offer the call."""


class InternalError(CallError):
    """A fault of the service; metadata `error_id` finds it in its log."""


class DeadlineExceeded(CallError, TimeoutError):
    """No answer came in time. What was asked may have been done all the same."""


class TransferStalled(DeadlineExceeded):
    """The service waited too long for this client, which sent or took next to nothing; call again."""


class TransferBroken(EvergreenError):
    """An upload or download stood still, or the bytes there are not the bytes here; start again."""


class WatchInterrupted(EvergreenError):
    """A watch could not be resumed for too long; `revision` is the cursor to go on from, `__cause__` the last fault."""

    def __init__(self, message: str, *, revision: int | None) -> None:
        super().__init__(message)
        self.revision = revision


class JobFailed(EvergreenError):
    """The job ended without success; `job.error` tells why."""

    def __init__(self, job: Job) -> None:
        super().__init__(_describe(job))
        self.job = job


class JobCancelled(JobFailed):
    """The job was cancelled."""


class JobExpired(JobFailed):
    """The job passed its `start_by` or `finish_by`."""


class NeedsAttention(EvergreenError):
    """Whether a paid task exists for the job is not known; `Client.resolve` settles it."""

    def __init__(self, job: Job) -> None:
        super().__init__(_describe(job))
        self.job = job


def job_error(job: Job) -> JobFailed | NeedsAttention | None:
    """Makes the error of a job that failed or needs attention; None for any other job."""
    match job.state:
        case JobState.JOB_STATE_FAILED:
            return JobFailed(job)
        case JobState.JOB_STATE_CANCELLED:
            return JobCancelled(job)
        case JobState.JOB_STATE_EXPIRED:
            return JobExpired(job)
        case JobState.JOB_STATE_NEEDS_ATTENTION:
            return NeedsAttention(job)
        case _:
            return None


def _describe(job: Job) -> str:
    state = JobState.Name(job.state).removeprefix("JOB_STATE_")
    if not job.HasField("error"):
        return f"job {job.job_id} is {state}"
    return f"job {job.job_id} is {state}: {job.error.message} ({job.error.reason})"
