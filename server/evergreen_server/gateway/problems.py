"""What is wrong with a request, in gRPC's terms, and the one table from those to HTTP.

Refused   a request that gets no answer but its fault
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from uuid import uuid4

import grpc
from aiohttp import web
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

__all__ = [
    "HTTP",
    "Fault",
    "Refused",
    "fault_of",
    "fault_of_http",
    "internal",
    "invalid",
    "problem",
    "problem_members",
    "refused",
]

DOMAIN = "evergreen.v1"
DETAILS = "grpc-status-details-bin"
HTTP: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    # Not 409: SDKs of a widespread generator repeat whatever gets that.
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
"""The status of HTTP by that of gRPC: Connect's own table."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a request failed. `status` is HTTP's, if another than the table's."""

    code: grpc.StatusCode
    message: str
    details: Sequence[Any] = ()
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def http(self) -> int:
        """Returns the status of HTTP."""
        return self.status or HTTP[self.code]

    @property
    def reason(self) -> str:
        """Returns the stable word for it, empty if it has none."""
        info = error_details_pb2.ErrorInfo()
        return str(info.reason) if self.detail(info) else ""

    @property
    def metadata(self) -> dict[str, str]:
        """Returns what it is about, by name."""
        info = error_details_pb2.ErrorInfo()
        return dict(info.metadata) if self.detail(info) else {}

    def detail(self, message: Message) -> bool:
        """Fills a message from the detail of its type; returns whether there is one."""
        try:
            return any(detail.Unpack(message) for detail in self.details)
        except DecodeError:
            return False

    def all_headers(self) -> dict[str, str]:
        """Returns the header fields that belong to it: how to log in, and when to come back."""
        headers = dict(self.headers)
        if self.code is grpc.StatusCode.UNAUTHENTICATED:
            headers["WWW-Authenticate"] = "Bearer"
        retry = error_details_pb2.RetryInfo()
        if self.detail(retry):
            headers.setdefault("Retry-After", str(max(1, retry.retry_delay.seconds)))
        return headers


class Refused(Exception):
    """The request gets no answer but its fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def refused(
    code: grpc.StatusCode,
    reason: str,
    *,
    message: str,
    status: int = 0,
    metadata: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    retry_seconds: int = 0,
    more: Sequence[Message] = (),
) -> Refused:
    """Returns a refusal with its reason, and with `retry_seconds` that it may be sent again after them."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata or {})
    details: list[Message] = [info, *more]
    if retry_seconds:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds = retry_seconds
        details.append(retry)
    packed = [Any() for _ in details]
    for each, detail in zip(packed, details, strict=True):
        each.Pack(detail)
    return Refused(Fault(code=code, message=message, details=packed, status=status, headers=headers or {}))


def invalid(field_name: str, description: str) -> Refused:
    """Returns the refusal of a message for one of its fields; an empty name is the message itself."""
    violation = error_details_pb2.BadRequest.FieldViolation(field=field_name, description=description)
    return refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        message=f"{field_name}: {description}" if field_name else description,
        more=[error_details_pb2.BadRequest(field_violations=[violation])],
    )


def internal(exc: Exception) -> Fault:
    """Logs an error of our own and returns its fault, which tells nothing but its id."""
    error_id = uuid4().hex
    logger.error("internal error", exc_info=exc, extra={"error_id": error_id})
    return refused(
        grpc.StatusCode.INTERNAL, "INTERNAL", message="internal error", metadata={"error_id": error_id}
    ).fault


def fault_of(error: grpc.aio.AioRpcError) -> Fault:
    """Returns the fault of a call that failed; what gRPC itself says of addresses is left out."""
    for name, value in error.trailing_metadata() or ():
        if name == DETAILS and isinstance(value, bytes):
            try:
                rich = status_pb2.Status.FromString(value)
            except DecodeError:
                break
            return Fault(code=error.code(), message=error.details() or "", details=list(rich.details))
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return refused(
            grpc.StatusCode.UNAVAILABLE,
            "UPSTREAM_UNAVAILABLE",
            message="the server behind this address cannot be reached, or broke off; try again",
            retry_seconds=1,
        ).fault
    return Fault(code=error.code(), message=error.details() or "")


def fault_of_http(exc: web.HTTPException) -> Fault:
    """Returns the fault of a request that no handler was found for, or that one could not be read for."""
    match exc.status:
        case 404:
            return refused(
                grpc.StatusCode.UNIMPLEMENTED, "PATH_UNKNOWN", message="there is nothing at this path", status=404
            ).fault
        case 405:
            return refused(
                grpc.StatusCode.UNIMPLEMENTED,
                "METHOD_NOT_ALLOWED",
                message=f"this path takes {exc.headers.get('Allow', 'another method')}",
                status=405,
                headers={"Allow": exc.headers.get("Allow", "")},
            ).fault
    return refused(grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST", message=exc.reason, status=exc.status).fault


def problem(fault: Fault, request_id: str) -> web.Response:
    """Returns a fault as `application/problem+json`."""
    return web.Response(
        status=fault.http,
        body=json.dumps(problem_members(fault, request_id), ensure_ascii=False).encode(),
        headers={**fault.all_headers(), "Content-Type": "application/problem+json"},
    )


def problem_members(fault: Fault, request_id: str) -> dict[str, object]:
    """Returns the members of a fault's problem."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    body: dict[str, object] = {"type": "about:blank", "title": _phrase(fault.http), "status": fault.http}
    if fault.detail(info):
        title = info.reason.replace("_", " ").capitalize()
        body |= {"type": f"urn:evergreen:{info.reason}", "title": title}
    body |= {"detail": fault.message, "code": fault.code.name}
    if info.reason:
        body |= {"reason": info.reason, "metadata": dict(info.metadata)}
    if fault.detail(bad):
        body["errors"] = [{"field": json_name(each.field), "detail": each.description} for each in bad.field_violations]
    body["requestId"] = request_id
    return body


def json_name(path: str) -> str:
    """Returns the name of a field as JSON has it: `media[0].at_seconds` is `media[0].atSeconds`."""
    first, *others = path.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client closed request"
