"""The one error table: every exception that may leave the service, and the status it leaves as.

Every status carries ErrorInfo; bad input adds BadRequest, what may be tried again adds RetryInfo. Anything not in
the table is logged whole and leaves as INTERNAL with an error id and nothing else.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from sqlalchemy.exc import OperationalError

from evergreen_server.jobs.feed import CursorAhead, CursorCompacted, Draining, MixedProjects
from evergreen_server.jobs.model import JobNotFound, RequestReused, WrongState
from evergreen_server.jobs.provider import Fault, ProviderError, Unauthorized
from evergreen_server.jobs.wishes import TaskUnusable
from evergreen_storage import InvalidKey, SceneNotFound, StorageError, UnsupportedSchema

DOMAIN = "evergreen.v1"
RETRY_SECONDS = 1
MOST_VIOLATIONS = 40
"""A status travels in the trailers, which clients bound to about 8 kB."""
LONGEST_TEXT = 1500

logger = logging.getLogger(__name__)


class InvalidRequest(Exception):
    """The request breaks the contract; every fault is named."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.description}" for fault in faults))
        self.faults = tuple(faults)


class Precondition(Exception):
    """The request is well formed, and cannot be carried out as things are."""

    def __init__(self, message: str, *, reason: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.metadata = metadata or {}


class NotImplementedHere(Exception):
    """This server does not offer the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A status as it leaves."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    faults: Sequence[Fault] = ()
    retry: bool = False


def status_of(exc: Exception) -> Status:
    """Looks an exception up in the table."""
    # In order, so that a kind stands in the table before the kinds that it belongs to.
    for kind, make in TABLE.items():
        if isinstance(exc, kind):
            return make(exc)
    error_id = uuid4().hex
    logger.error("internal error", exc_info=exc, extra={"error_id": error_id})
    return Status(
        code=grpc.StatusCode.INTERNAL, message="internal error", reason="INTERNAL", metadata={"error_id": error_id}
    )


def _as(code: grpc.StatusCode, reason: str, *, retry: bool = False) -> Callable[[Exception], Status]:
    return lambda exc: Status(code=code, message=str(exc), reason=reason, retry=retry)


def _invalid(exc: InvalidRequest) -> Status:
    return Status(code=grpc.StatusCode.INVALID_ARGUMENT, message=str(exc), reason="INVALID_REQUEST", faults=exc.faults)


def _with_reason(exc: WrongState | TaskUnusable | Precondition) -> Status:
    metadata = dict(exc.metadata) if isinstance(exc, Precondition) else {}
    if isinstance(exc, WrongState):
        metadata["job_id"] = exc.job.job_id
    return Status(code=grpc.StatusCode.FAILED_PRECONDITION, message=str(exc), reason=exc.reason, metadata=metadata)


def _reused(exc: RequestReused) -> Status:
    return Status(
        code=grpc.StatusCode.ALREADY_EXISTS,
        message=str(exc),
        reason="REQUEST_ID_REUSED",
        metadata={"job_id": exc.job_id},
    )


def _not_found(exc: JobNotFound) -> Status:
    return Status(
        code=grpc.StatusCode.NOT_FOUND,
        message=f"there is no job {exc}",
        reason="JOB_NOT_FOUND",
        metadata={"job_id": str(exc)},
    )


def _bad_key(exc: InvalidKey) -> Status:
    return _invalid(InvalidRequest([Fault(field="", description=str(exc))]))


def _mixed(exc: MixedProjects) -> Status:
    return _invalid(InvalidRequest([Fault(field="job_ids", description=str(exc))]))


def _database(exc: OperationalError) -> Status:
    logger.error("database unavailable", exc_info=exc)
    return Status(
        code=grpc.StatusCode.UNAVAILABLE,
        message="the database does not answer",
        reason="STORAGE_UNAVAILABLE",
        retry=True,
    )


TABLE: Mapping[type[Exception], Callable[[Any], Status]] = {  # each function takes the kind beside it
    InvalidRequest: _invalid,
    Precondition: _with_reason,
    RequestReused: _reused,
    JobNotFound: _not_found,
    WrongState: _with_reason,
    TaskUnusable: _with_reason,
    CursorAhead: _as(grpc.StatusCode.OUT_OF_RANGE, "CURSOR_AHEAD"),
    CursorCompacted: _as(grpc.StatusCode.OUT_OF_RANGE, "CURSOR_COMPACTED"),
    MixedProjects: _mixed,
    Draining: _as(grpc.StatusCode.UNAVAILABLE, "DRAINING", retry=True),
    SceneNotFound: _as(grpc.StatusCode.NOT_FOUND, "SCENE_NOT_FOUND"),
    InvalidKey: _bad_key,
    UnsupportedSchema: _as(grpc.StatusCode.FAILED_PRECONDITION, "SCENE_UNSUPPORTED"),
    StorageError: _as(grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE", retry=True),
    OperationalError: _database,
    Unauthorized: _as(grpc.StatusCode.FAILED_PRECONDITION, "PROVIDER_UNAUTHORIZED"),
    ProviderError: _as(grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE", retry=True),
    NotImplementedHere: _as(grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED"),
}


def trailers(status: Status, message: str) -> tuple[tuple[str, bytes], ...]:
    """Packs the rich status for the trailers; its message must be the status text itself."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=status.reason, domain=DOMAIN, metadata=status.metadata)
    ]
    if status.faults:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=fault.field, description=fault.description[:300])
            for fault in status.faults[:MOST_VIOLATIONS]
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if status.retry:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds = RETRY_SECONDS
        details.append(retry)
    rich = status_pb2.Status(code=status.code.value[0], message=message)
    for detail in details:
        rich.details.add().Pack(detail)
    return (("grpc-status-details-bin", rich.SerializeToString()),)


async def abort(context: "grpc.aio.ServicerContext[object, object]", exc: Exception) -> None:
    """Ends a call with the status of an exception; raises, as grpc's own abort does."""
    status = status_of(exc)
    message = status.message[:LONGEST_TEXT]
    await context.abort(status.code, message, trailers(status, message))
