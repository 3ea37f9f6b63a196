"""The one error table: every exception that may leave the service, and its status.

Every status carries ErrorInfo; bad input adds BadRequest, and what may be retried adds RetryInfo. Any other exception
is logged with its traceback and becomes INTERNAL with an error id and nothing else.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import grpc

from evergreen_server.film.errors import (
    FilmBusy,
    FilmNotFound,
    FilmRequestReused,
    OutputsMissing,
    PlanChanged,
    PlanDeleted,
    PlanNotFound,
    RunChanged,
    RunDeleted,
    RunNotFound,
    SceneTaken,
    ScriptRefused,
    TooManyFilms,
)
from evergreen_server.jobs.assets import AssetsMissing
from evergreen_server.jobs.commands import TaskUnusable
from evergreen_server.jobs.db.database import TRANSIENT_ERRORS
from evergreen_server.jobs.feed.hub import CursorAhead, CursorCompacted, Draining, WatchAged
from evergreen_server.jobs.feed.starts import MixedProjects
from evergreen_server.jobs.intake import CreditsExceeded
from evergreen_server.jobs.model.errors import JobDeleted, JobNotFound, RequestReused, WrongState
from evergreen_server.jobs.model.held import FilmCreditsExceeded
from evergreen_server.jobs.store.backlog import QueueFull
from evergreen_server.jobs.store.ledger import PriceUnknown, ProjectCreditsExceeded
from evergreen_server.jobs.store.project_lock import SceneBusy
from evergreen_server.ports.provider import ProviderError, Unauthorized
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.rpc.access.policy import AccessChanged, AccessDenied, TokenInvalid, TokenRequired
from evergreen_server.rpc.services.transfers import BrokenOff, TooManyTransfers, TransferStalled
from evergreen_server.rpc.streams import TooManyStreams
from evergreen_server.rpc.trailers import Status, fitted
from evergreen_server.webhooks.model import (
    DeliveryNotFound,
    SwitchedOff,
    TooManyWebhooks,
    WebhookNotFound,
    WebhookReused,
    WebhooksOff,
)
from evergreen_storage import (
    AssetConflict,
    BodyMismatch,
    InvalidKey,
    NotFound,
    SceneNotFound,
    StorageError,
    TooLarge,
    UnsupportedSchema,
)

QUEUE_RETRY_SECONDS = 15
"""Places in a full queue become free as the provider makes clips, so about as slowly."""

logger = logging.getLogger(__name__)


class Precondition(Exception):
    """The request is valid, and cannot be carried out in the current state."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class RequestStalled(Exception):
    """The request did not arrive in time."""


def status_of(exc: Exception) -> Status:
    """Returns the status of an exception by the table; logs one that is not in it."""
    # In order: the table lists a class before its base classes.
    for kind, make in TABLE.items():
        if isinstance(exc, kind):
            return make(exc)
    error_id = uuid4().hex
    logger.error("internal error", exc_info=exc, extra={"error_id": error_id})
    return Status(
        code=grpc.StatusCode.INTERNAL, message="internal error", reason="INTERNAL", metadata={"error_id": error_id}
    )


def _as(code: grpc.StatusCode, reason: str, *names: str, retry: bool = False) -> Callable[[Exception], Status]:
    """Returns what makes the status of an exception, with those of its attributes as metadata."""
    return lambda exc: Status(
        code=code,
        message=str(exc),
        reason=reason,
        metadata={name: str(getattr(exc, name)) for name in names},
        retry=retry,
    )


def _invalid(exc: InvalidRequest | ScriptRefused) -> Status:
    return Status(
        code=grpc.StatusCode.INVALID_ARGUMENT, message=str(exc), reason="INVALID_REQUEST", field_errors=exc.field_errors
    )


def _no_assets(exc: AssetsMissing) -> Status:
    return replace(_invalid(exc), code=grpc.StatusCode.NOT_FOUND, reason="ASSET_NOT_FOUND")


def _with_reason(exc: WrongState | TaskUnusable | Precondition) -> Status:
    metadata = {"job_id": exc.job.job_id} if isinstance(exc, WrongState) else {}
    return Status(code=grpc.StatusCode.FAILED_PRECONDITION, message=str(exc), reason=exc.reason, metadata=metadata)


def _denied(exc: AccessDenied) -> Status:
    return Status(
        code=grpc.StatusCode.PERMISSION_DENIED,
        message=str(exc),
        reason=exc.reason,
        metadata={"missing": exc.missing},
    )


def _not_found(exc: JobNotFound) -> Status:
    return Status(
        code=grpc.StatusCode.NOT_FOUND,
        message=f"there is no job {exc}",
        reason="JOB_NOT_FOUND",
        metadata={"job_id": str(exc)},
    )


def _plan_changed(exc: PlanChanged) -> Status:
    metadata = {"plan_revision": str(exc.present)}
    return Status(code=grpc.StatusCode.ABORTED, message=str(exc), reason="PLAN_CHANGED", metadata=metadata)


def _over_sum(exc: FilmCreditsExceeded) -> Status:
    return Status(
        code=grpc.StatusCode.FAILED_PRECONDITION,
        message=str(exc),
        reason="FILM_CREDITS_EXCEEDED",
        metadata={"estimated_credits": f"{exc.estimate / 1000:.15g}", "left_credits": f"{exc.left / 1000:.15g}"},
    )


def _busy(exc: SceneBusy) -> Status:
    metadata = {"job_id": exc.job_id} if exc.job_id else {}
    return Status(code=grpc.StatusCode.FAILED_PRECONDITION, message=str(exc), reason="SCENE_BUSY", metadata=metadata)


def _over_limit(exc: CreditsExceeded) -> Status:
    return Status(
        code=grpc.StatusCode.FAILED_PRECONDITION,
        message=str(exc),
        reason="CREDITS_EXCEEDED",
        metadata={"estimated_credits": f"{exc.estimate / 1000:g}"},
    )


def _over_cap(exc: ProjectCreditsExceeded) -> Status:
    amounts = {
        "cap": exc.cap,
        "reserved": exc.totals.reserved,
        "spent": exc.totals.spent,
        "estimate": exc.estimate,
    }
    return Status(
        code=grpc.StatusCode.FAILED_PRECONDITION,
        message=str(exc),
        reason="PROJECT_CREDITS_EXCEEDED",
        metadata={name: f"{amount / 1000:.15g}" for name, amount in amounts.items()},
    )


def _bad_body(exc: BodyMismatch) -> Status:
    return _invalid(InvalidRequest([FieldError(field="chunk", description=str(exc))]))


def _bad_key(exc: InvalidKey) -> Status:
    return _invalid(InvalidRequest([FieldError(field="", description=str(exc))]))


def _mixed(exc: MixedProjects) -> Status:
    return _invalid(InvalidRequest([FieldError(field="job_ids", description=str(exc))]))


def _compacted(exc: CursorCompacted) -> Status:
    metadata = {"compacted_revision": str(exc.compacted)}
    return Status(code=grpc.StatusCode.OUT_OF_RANGE, message=str(exc), reason="CURSOR_COMPACTED", metadata=metadata)


def _full(exc: QueueFull) -> Status:
    return Status(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        message=str(exc),
        reason="QUEUE_FULL",
        metadata={"bound": "project" if exc.of_project else "service"},
        retry=True,
        retry_seconds=QUEUE_RETRY_SECONDS,
    )


def _database(exc: Exception) -> Status:
    return Status(
        code=grpc.StatusCode.UNAVAILABLE,
        message="the database does not answer",
        reason="STORAGE_UNAVAILABLE",
        retry=True,
        # Every call fails like this at once: no traceback.
        cause=str(getattr(exc, "orig", exc)).partition("\n")[0],
    )


TABLE: Mapping[type[Exception], Callable[[Any], Status]] = {  # each function takes the kind beside it
    AssetsMissing: _no_assets,
    InvalidRequest: _invalid,
    TokenRequired: _as(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REQUIRED"),
    TokenInvalid: _as(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID"),
    AccessDenied: _denied,
    AccessChanged: _as(grpc.StatusCode.UNAVAILABLE, "ACCESS_CHANGED", retry=True),
    Precondition: _with_reason,
    RequestReused: _as(grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED", "job_id"),
    JobDeleted: _as(grpc.StatusCode.ALREADY_EXISTS, "JOB_DELETED", "job_id"),
    JobNotFound: _not_found,
    WrongState: _with_reason,
    TaskUnusable: _with_reason,
    PriceUnknown: _as(grpc.StatusCode.FAILED_PRECONDITION, "PRICE_UNKNOWN"),
    CreditsExceeded: _over_limit,
    ProjectCreditsExceeded: _over_cap,
    CursorAhead: _as(grpc.StatusCode.OUT_OF_RANGE, "CURSOR_AHEAD"),
    CursorCompacted: _compacted,
    MixedProjects: _mixed,
    Draining: _as(grpc.StatusCode.UNAVAILABLE, "DRAINING", retry=True),
    # Without a delay: the caller has no reason to wait.
    WatchAged: _as(grpc.StatusCode.UNAVAILABLE, "DRAINING"),
    ScriptRefused: _invalid,
    FilmNotFound: _as(grpc.StatusCode.NOT_FOUND, "FILM_NOT_FOUND", "project_id", "film_id"),
    PlanNotFound: _as(grpc.StatusCode.NOT_FOUND, "PLAN_NOT_FOUND"),
    FilmRequestReused: _as(grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED", "film_id"),
    PlanDeleted: _as(grpc.StatusCode.ALREADY_EXISTS, "PLAN_DELETED", "film_id"),
    PlanChanged: _plan_changed,
    SceneTaken: _as(grpc.StatusCode.ALREADY_EXISTS, "SCENE_TAKEN", "scene_id"),
    TooManyFilms: _as(grpc.StatusCode.FAILED_PRECONDITION, "TOO_MANY_FILMS", "most"),
    FilmBusy: _as(grpc.StatusCode.FAILED_PRECONDITION, "FILM_BUSY", "film_id"),
    OutputsMissing: _as(grpc.StatusCode.FAILED_PRECONDITION, "OUTPUT_MISSING", "film_id"),
    RunNotFound: _as(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND"),
    RunDeleted: _as(grpc.StatusCode.ALREADY_EXISTS, "RUN_DELETED", "film_id"),
    RunChanged: _as(grpc.StatusCode.ABORTED, "FILM_CHANGED", "revision"),
    FilmCreditsExceeded: _over_sum,
    WebhookNotFound: _as(grpc.StatusCode.NOT_FOUND, "WEBHOOK_NOT_FOUND", "webhook_id"),
    DeliveryNotFound: _as(grpc.StatusCode.NOT_FOUND, "DELIVERY_NOT_FOUND", "message_id"),
    WebhookReused: _as(grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED", "webhook_id"),
    WebhooksOff: _as(grpc.StatusCode.FAILED_PRECONDITION, "WEBHOOKS_OFF"),
    SwitchedOff: _as(grpc.StatusCode.FAILED_PRECONDITION, "WEBHOOK_SWITCHED_OFF"),
    TooManyWebhooks: _as(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_WEBHOOKS"),
    SceneBusy: _busy,
    QueueFull: _full,
    TooManyStreams: _as(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry=True),
    SceneNotFound: _as(grpc.StatusCode.NOT_FOUND, "SCENE_NOT_FOUND", "project_id", "scene_id"),
    NotFound: _as(grpc.StatusCode.NOT_FOUND, "ASSET_NOT_FOUND"),
    AssetConflict: _as(grpc.StatusCode.ALREADY_EXISTS, "ASSET_EXISTS"),
    BodyMismatch: _bad_body,
    TooLarge: _as(grpc.StatusCode.FAILED_PRECONDITION, "OBJECT_TOO_LARGE"),
    BrokenOff: _as(grpc.StatusCode.CANCELLED, "BROKEN_OFF"),
    TooManyTransfers: _as(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_TRANSFERS", retry=True),
    RequestStalled: _as(grpc.StatusCode.DEADLINE_EXCEEDED, "REQUEST_STALLED"),
    TransferStalled: _as(grpc.StatusCode.DEADLINE_EXCEEDED, "TRANSFER_STALLED"),
    InvalidKey: _bad_key,
    UnsupportedSchema: _as(grpc.StatusCode.FAILED_PRECONDITION, "SCENE_UNSUPPORTED"),
    StorageError: _as(grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE", retry=True),
    **dict.fromkeys(TRANSIENT_ERRORS, _database),
    Unauthorized: _as(grpc.StatusCode.FAILED_PRECONDITION, "PROVIDER_UNAUTHORIZED"),
    ProviderError: _as(grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE", retry=True),
}


async def abort(context: "grpc.aio.ServicerContext[object, object]", status: Status) -> None:
    """Ends a call with the status of an exception; raises, as grpc's own abort does."""
    message, packed = fitted(status)
    # For whoever counts the call: the code of an abort alone cannot be read back.
    context.set_code(status.code)
    await context.abort(status.code, message, packed)
