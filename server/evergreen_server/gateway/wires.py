"""The two protocols that browsers call methods by, Connect and gRPC-Web: what their bytes are."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import grpc
from aiohttp import web
from google.rpc import status_pb2

from evergreen_server.gateway.problems import DETAILS, Fault, refused
from evergreen_server.gateway.visitors import malformed, only

__all__ = ["WIRES", "Wire", "connect_error", "end_of_stream", "envelope", "only_message", "seconds_of", "wire_of"]

HEAD = 5
END, TRAILERS, COMPRESSED = 0x02, 0x80, 0x01
PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_GRPC_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_CONNECT_TIMEOUT = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How messages are written. `framed`: in envelopes, as all streams and all of gRPC-Web; `answer` is its type."""

    answer: str
    framed: bool
    json: bool = False
    grpc_web: bool = False


WIRES: Mapping[str, Wire] = {
    "application/proto": Wire(answer="application/proto", framed=False),
    "application/json": Wire(answer="application/json", framed=False, json=True),
    "application/connect+proto": Wire(answer="application/connect+proto", framed=True),
    "application/connect+json": Wire(answer="application/connect+json", framed=True, json=True),
    "application/grpc-web": Wire(answer="application/grpc-web+proto", framed=True, grpc_web=True),
    "application/grpc-web+proto": Wire(answer="application/grpc-web+proto", framed=True, grpc_web=True),
}
"""By the type of a request's body."""


def wire_of(request: web.Request, *, streaming: bool) -> Wire:
    """Returns how a request is written. Raises Refused for what no client writes for such a method."""
    kind, _, parameter = only(request, "Content-Type").lower().partition(";")
    wire = WIRES.get(kind.strip())
    fits = wire is not None and (wire.grpc_web or wire.framed is streaming)
    if wire is None or not fits or parameter.replace('"', "").strip() not in ("", "charset=utf-8"):
        kinds = [name for name, each in WIRES.items() if each.grpc_web or each.framed is streaming]
        raise refused(
            grpc.StatusCode.UNIMPLEMENTED,
            "CONTENT_TYPE_UNSUPPORTED",
            message=f"this method takes {', '.join(kinds)}",
            status=415,
            headers={"Accept-Post": ", ".join(kinds)},
        )
    return wire


def seconds_of(request: web.Request, wire: Wire) -> float | None:
    """Returns how long the caller waits, None for no limit. Raises Refused for nonsense."""
    if not wire.grpc_web:
        if only(request, "Connect-Protocol-Version") not in ("", "1"):
            raise malformed("Connect-Protocol-Version must be 1")
        text = only(request, "Connect-Timeout-Ms")
        if text and not _CONNECT_TIMEOUT.fullmatch(text):
            raise malformed("Connect-Timeout-Ms must be a number of up to ten digits")
        return int(text) / 1000 if text else None
    text = only(request, "Grpc-Timeout")
    found = _GRPC_TIMEOUT.fullmatch(text)
    if text and not found:
        raise malformed("Grpc-Timeout must be a number of up to eight digits and a unit")
    return int(found[1]) * UNITS[found[2]] if found else None


def envelope(data: bytes, flags: int = 0) -> bytes:
    """Returns a message as a stream carries it."""
    return bytes((flags,)) + len(data).to_bytes(4, "big") + data


def only_message(body: bytes) -> bytes:
    """Returns the one message of a body in envelopes. Raises Refused if it is not exactly one."""
    if not body:
        raise malformed("the body has no message")
    if len(body) < HEAD:
        raise malformed("the body ends within the head of its message")
    flags, length = body[0], int.from_bytes(body[1:HEAD], "big")
    if flags & COMPRESSED:
        raise refused(
            grpc.StatusCode.UNIMPLEMENTED,
            "COMPRESSION_UNSUPPORTED",
            message="messages must come as they are",
            status=415,
        )
    if flags:
        raise malformed(f"a message has the flags {flags:#04x}")
    if len(body) < HEAD + length:
        raise malformed("the body ends within its message")
    if len(body) > HEAD + length:
        raise malformed("the body goes on after its message, and this method takes one")
    return body[HEAD:]


def connect_error(fault: Fault) -> dict[str, object]:
    """Returns a fault as Connect writes it."""
    details = [
        {
            "type": detail.type_url.rpartition("/")[2],
            "value": base64.b64encode(detail.value).decode().rstrip("="),
        }
        for detail in fault.details
    ]
    # The one name that Connect spells otherwise.
    code = "canceled" if fault.code is grpc.StatusCode.CANCELLED else fault.code.name.lower()
    return {"code": code, "message": fault.message, **({"details": details} if details else {})}


def end_of_stream(wire: Wire, fault: Fault | None) -> bytes:
    """Returns the last envelope of an answer."""
    if not wire.grpc_web:
        return envelope(json.dumps({"error": connect_error(fault)} if fault else {}).encode(), END)
    lines = [f"grpc-status: {0 if fault is None else fault.code.value[0]}"]
    if fault is not None:
        lines.append(f"grpc-message: {quote(fault.message, safe=PLAIN)}")
        if fault.details:
            rich = status_pb2.Status(code=fault.code.value[0], message=fault.message, details=fault.details)
            lines.append(f"{DETAILS}: {base64.b64encode(rich.SerializeToString()).decode().rstrip('=')}")
    return envelope("".join(f"{line}\r\n" for line in lines).encode(), TRAILERS)
