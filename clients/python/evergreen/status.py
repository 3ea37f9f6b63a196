"""Translates the status of a call into the error class of its reason."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from evergreen import errors

DOMAIN = "evergreen.v1"

_BY_REASON: Mapping[str, type[errors.CallError]] = {
    "INVALID_REQUEST": errors.InvalidRequest,
    "REQUEST_ID_REUSED": errors.RequestIdReused,
    "JOB_DELETED": errors.JobDeleted,
    "JOB_NOT_FOUND": errors.JobNotFound,
    "FILM_NOT_FOUND": errors.FilmNotFound,
    "PLAN_NOT_FOUND": errors.PlanNotFound,
    "PLAN_CHANGED": errors.PlanChanged,
    "PLAN_DELETED": errors.PlanDeleted,
    "SCENE_TAKEN": errors.SceneTaken,
    "RUN_NOT_FOUND": errors.RunNotFound,
    "RUN_DELETED": errors.RunDeleted,
    "FILM_BUSY": errors.FilmBusy,
    "TOO_MANY_FILMS": errors.TooManyFilms,
    "OUTPUT_MISSING": errors.OutputMissing,
    "FILM_CHANGED": errors.FilmChanged,
    "FILM_CREDITS_EXCEEDED": errors.FilmCreditsExceeded,
    "SCENE_NOT_FOUND": errors.SceneNotFound,
    "ASSET_NOT_FOUND": errors.AssetNotFound,
    "ASSET_EXISTS": errors.AssetExists,
    "SCENE_UNSUPPORTED": errors.SceneUnsupported,
    "SCENE_BUSY": errors.SceneBusy,
    "URL_UNSUPPORTED": errors.UrlUnsupported,
    "OBJECT_TOO_LARGE": errors.ObjectTooLarge,
    "TOO_MANY_TRANSFERS": errors.TooManyTransfers,
    "TRANSFER_STALLED": errors.TransferStalled,
    "NEEDS_RESOLUTION": errors.NeedsResolution,
    "NOT_RESOLVABLE": errors.NotResolvable,
    "PRICE_UNKNOWN": errors.PriceUnknown,
    "CREDITS_EXCEEDED": errors.CreditsExceeded,
    "PROJECT_CREDITS_EXCEEDED": errors.ProjectCreditsExceeded,
    "PROVIDER_TASK_NOT_FOUND": errors.ProviderTaskNotFound,
    "PROVIDER_TASK_TAKEN": errors.ProviderTaskTaken,
    "PROVIDER_UNAUTHORIZED": errors.ProviderUnauthorized,
    "CURSOR_AHEAD": errors.CursorAhead,
    "CURSOR_COMPACTED": errors.CursorCompacted,
    "DRAINING": errors.Draining,
    "STORAGE_UNAVAILABLE": errors.StorageUnavailable,
    "PROVIDER_UNAVAILABLE": errors.ProviderUnavailable,
    "QUEUE_FULL": errors.QueueFull,
    "WEBHOOK_NOT_FOUND": errors.WebhookNotFound,
    "DELIVERY_NOT_FOUND": errors.DeliveryNotFound,
    "WEBHOOKS_OFF": errors.WebhooksOff,
    "WEBHOOK_SWITCHED_OFF": errors.WebhookSwitchedOff,
    "TOO_MANY_WEBHOOKS": errors.TooManyWebhooks,
    "NOT_IMPLEMENTED": errors.NotOffered,
    "INTERNAL": errors.InternalError,
}

# For statuses without a reason of the service, and for reasons that are newer than this client.
_BY_CODE: Mapping[grpc.StatusCode, type[errors.CallError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: errors.PreconditionFailed,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.UNIMPLEMENTED: errors.NotOffered,
    grpc.StatusCode.INTERNAL: errors.InternalError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
}


_HTTP_STATUS = re.compile(r"Received http2 header with status: (\d{3})")
_CUT_OFF = "Error in HTTP transport completing operation"
_ADDRESS = re.compile(r"(?:ipv[46]|unix)(?::|%3A)([^\s;]+?)[:;]? ")
# In gRPC's own words, and what they mean to people; the first that is found counts.
_CAUSES: Sequence[tuple[str, str]] = (
    ("connection refused", "nothing listens there"),
    ("no such file or directory", "nothing listens there"),
    ("certificate_verify_failed", "its certificate is not trusted here; see `tls`"),
    ("hostname verification", "its certificate is for another name; see `tls`"),
    ("wrong_version_number", "it does not speak TLS, or another one"),
    ("ssl", "TLS with it failed"),
    ("handshake", "TLS with it failed"),
    ("dns", "its name cannot be resolved"),
    ("name resolution", "its name cannot be resolved"),
    ("name or service not known", "its name cannot be resolved"),
    ("unreachable", "there is no way to it"),
    ("no route", "there is no way to it"),
    ("timed out", "it gives no answer"),
    ("timeout", "it gives no answer"),
    ("socket closed", "it closed the connection; it may want TLS"),
    ("reset by peer", "the connection was lost"),
    ("broken pipe", "the connection was lost"),
    ("goaway", "the connection was lost"),
)


def call_error(rpc_error: grpc.aio.AioRpcError) -> errors.CallError:
    """Returns the typed error of a status. Raise it `from` the original."""
    details = _details(rpc_error)
    if not details.reason:
        details = replace(details, message=_sentence(rpc_error.code(), rpc_error.details() or ""))
    kind = _BY_REASON.get(details.reason) or _BY_CODE.get(rpc_error.code(), errors.CallError)
    return kind(rpc_error, details)


def _sentence(code: grpc.StatusCode, text: str) -> str:
    """Returns, for people, what a status means that is not from the service; empty if its own text is the best."""
    if found := _HTTP_STATUS.search(text):
        bound = ": it takes no body as large as this" if found[1] == "413" else ""
        return f"a proxy on the way answered HTTP {found[1]}{bound}; see docs/proxies.md"
    if _CUT_OFF in text:
        return (
            "the connection was cut off while it was sent to; a proxy on the way may bound bodies, see docs/proxies.md"
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        address = _ADDRESS.search(text)
        where = f" at {address[1]}" if address else ""
        cause = next((f": {meaning}" for words, meaning in _CAUSES if words in text.lower()), "")
        return f"the service{where} cannot be reached{cause}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "no answer came in time; what was asked for may have been done all the same"
    return ""


def _details(rpc_error: grpc.aio.AioRpcError) -> errors.CallDetails:
    info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    retry_after: float | None = None
    try:
        # The type stubs require a call, but only its status is read, which the error has too.
        status: Status | None = rpc_status.from_call(rpc_error)  # type: ignore[arg-type]  # see above
        for packed in status.details if status else ():
            packed.Unpack(info)
            packed.Unpack(bad_request)
            if packed.Unpack(retry):
                retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    except (ValueError, DecodeError):
        # A proxy rewrote the status or cut the details; only the code and the text are left.
        return errors.CallDetails()
    ours = info.domain == DOMAIN
    return errors.CallDetails(
        reason=info.reason if ours else "",
        metadata=dict(info.metadata) if ours else {},
        violations=tuple(
            errors.FieldViolation(field=violation.field, description=violation.description)
            for violation in bad_request.field_violations
        ),
        retry_after_seconds=retry_after,
    )
