"""Whence a call comes, as far as its metadata and its peer tell; nothing of it is trusted but the caller's name."""

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Protocol
from urllib.parse import unquote
from uuid import uuid4

from evergreen_server.ports.audit import Origin
from evergreen_server.runtime.traces import read_traceparent

__all__ = ["FORWARDED", "Peer", "address_of", "origin_of"]

FORWARDED = "x-forwarded-for"
"""By this the gateway of the same process tells for whom it calls; nobody else reaches its socket."""
LOCAL = "unix"

_CALL_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Peer(Protocol):
    """The part of a call that tells whence it comes."""

    def peer(self) -> str: ...

    def invocation_metadata(self) -> "Iterable[tuple[str, str | bytes]] | None": ...


def origin_of(call: Peer, caller: str) -> Origin:
    """Returns the origin of a call by the token of this name; what is not well formed counts as not sent."""
    sent = {name: value for name, value in call.invocation_metadata() or () if isinstance(value, str)}
    call_id, trace = sent.get("x-request-id", ""), read_traceparent(sent.get("traceparent", ""))
    return Origin(
        caller=caller,
        call_id=call_id if _CALL_ID.fullmatch(call_id) else uuid4().hex,
        address=address_of(call.peer(), sent.get(FORWARDED, "")),
        trace_id=trace.trace_id if trace else "",
    )


def address_of(peer: str, forwarded: str = "") -> str:
    """Returns the address of a peer in gRPC's writing, without its port; of a gateway's own call, that of its visitor.

    A peer that has none, over a socket of this machine, is `unix`.
    """
    kind, _, rest = unquote(peer).partition(":")
    if kind == LOCAL:
        return forwarded if _is_address(forwarded) else LOCAL
    host = rest.rpartition(":")[0].strip("[]")
    return host if _is_address(host) else kind[:16]


def _is_address(text: str) -> bool:
    """Returns whether a text is an IP address, or a network, as which the gateway tells addresses of IPv6."""
    try:
        if "/" in text:
            ip_network(text)
        else:
            ip_address(text)
    except ValueError:
        return False
    return True
