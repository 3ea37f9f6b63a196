"""A status as it is sent: its text and its rich details, cut to what proxies let pass in the trailers of a call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from evergreen_server.ports.specs import FieldError

DOMAIN = "evergreen.v1"
RETRY_SECONDS = 1
LONGEST_NAME = 200
STATUS_BYTES = 3000
"""Bytes of a status on the wire. It is sent in the trailers, for which proxies allow 4 KiB in all by default: there the
text occurs twice, once with three bytes for each that is not ASCII, and the rest is a third longer."""
SHARES = ((1200, STATUS_BYTES), (600, STATUS_BYTES), (240, STATUS_BYTES), (240, 500), (240, 250), (240, 120))
"""The most bytes of the text and of each violation; tried in order until everything fits."""
PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
MOST_VIOLATIONS = 60
"""More never fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A status as it is sent, but for its cause."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    field_errors: Sequence[FieldError] = ()
    retry: bool = False
    retry_seconds: int = RETRY_SECONDS
    cause: str = ""
    """For the log, never for the caller."""


Trailers = tuple[tuple[str, bytes], ...]


def fitted(status: Status) -> tuple[str, Trailers]:
    """Returns the text of a status and its trailers, which together take at most `STATUS_BYTES` on the wire."""
    for longest, share in SHARES:
        shown = [_violation(error, share) for error in status.field_errors[:MOST_VIOLATIONS]]
        text = _text(status, longest)
        packed = trailers(status, text, shown)
        if len(shown) == len(status.field_errors) and _size(text, packed) <= STATUS_BYTES:
            return text, packed
    while _size(text, packed) > STATUS_BYTES:
        shown.pop()
        packed = trailers(status, text, shown)
    return text, packed


def trailers(
    status: Status, message: str, violations: "Sequence[error_details_pb2.BadRequest.FieldViolation]" = ()
) -> Trailers:
    """Returns the trailers with the rich status; its message must be the status text itself."""
    metadata = {name: cut(value, LONGEST_NAME) for name, value in status.metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=status.reason, domain=DOMAIN, metadata=metadata)
    details: list[Message] = [info]
    if status.field_errors:
        if len(violations) < len(status.field_errors):
            info.metadata["faults"] = str(len(status.field_errors))
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if status.retry:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds = status.retry_seconds
        details.append(retry)
    rich = status_pb2.Status(code=status.code.value[0], message=message)
    for detail in details:
        rich.details.add().Pack(detail)
    return (("grpc-status-details-bin", rich.SerializeToString()),)


def cut(text: str, most: int) -> str:
    """Returns a text cut to `most` bytes, ending in … if it was cut."""
    data = text.encode()
    return text if len(data) <= most else data[: most - 3].decode(errors="ignore") + "…"


def _text(status: Status, longest: int) -> str:
    """Returns a status text of at most about `longest` bytes: the first field errors, and how many more there are."""
    first, *more = [f"{error.field}: {error.description}" for error in status.field_errors] or [status.message]
    text = cut(first, longest if first[:longest].isascii() else longest // 3)
    while more and _on_wire(text) + _on_wire(more[0]) <= longest:
        text += f"; {more.pop(0)}"
    return f"{text}; and {len(more)} more" if more else text


def _violation(error: FieldError, share: int) -> error_details_pb2.BadRequest.FieldViolation:
    field, description = cut(error.field, LONGEST_NAME), cut(error.description, share)
    return error_details_pb2.BadRequest.FieldViolation(field=field, description=description)


def _on_wire(text: str) -> int:
    """Returns the length of a text as gRPC escapes it."""
    return len(quote(text, safe=PLAIN))


def _size(message: str, packed: Trailers) -> int:
    """Returns the size of message and trailers as header fields, by the rules of HTTP/2."""
    return sum(len(name) + 4 * -(-len(value) // 3) + 32 for name, value in packed) + _on_wire(message) + 44
