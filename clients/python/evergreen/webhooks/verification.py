"""Tells whether a request came from the service: its signature, as Standard Webhooks (standardwebhooks.com) says."""

import base64
import binascii
import hmac
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from evergreen.errors import WebhookRejected
from evergreen.webhooks.events import WebhookEvent, read_event

TOLERANCE_SECONDS = 300.0
"""How much the clocks of both sides may differ, with the time on the way."""

MOST_SIGNATURES = 10
"""That are looked at: the service makes two at most, and each costs whoever looks at it."""
_PREFIX = "whsec_"
_VERSION = "v1,"
_ID, _TIMESTAMP, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


class Headers(Protocol):
    """The header fields of a request: a mapping, or what a web framework has instead of one."""

    def items(self) -> Iterable[tuple[str, str]]: ...


def verify(
    body: bytes | str,
    headers: Headers,
    secrets: str | Iterable[str],
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    now: Callable[[], float] = time.time,
) -> WebhookEvent:
    """Returns the event that a request tells, if one of the secrets has signed it.

    `body` is the body as it came: parsed and written anew, it is another. `headers` may have names in any spelling.
    `secrets` are `whsec_…`, as `create` and `rotate_secret` return them: the present one, or while it changes the one
    before too.

    Raises WebhookRejected, which says what is wrong: answer such a request with 400. Raises ValueError for a secret
    that is none, and TypeError for a body that was parsed.
    """
    keys = [_key(each) for each in ([secrets] if isinstance(secrets, str) else secrets)]
    if not keys:
        raise ValueError("no secret is given: whatever comes would be believed, or nothing")
    raw = body.encode() if isinstance(body, str) else body
    if not isinstance(raw, bytes | bytearray | memoryview):
        raise TypeError(f"the body must be bytes, as they came, not {type(body).__name__}")
    message_id, timestamp, signatures = _fields(headers)
    signed = f"{message_id}.{timestamp}.".encode() + raw
    expected = [hmac.digest(key, signed, "sha256") for key in keys]
    # Each is compared, whichever fits, so that the time tells nothing.
    fits = [hmac.compare_digest(one, given) for one in expected for given in _decoded(signatures)]
    if not any(fits):
        raise WebhookRejected(
            f"no signature fits the secret{'' if len(keys) == 1 else 's'}: another made it, or the body is not the one "
            "that was sent (it must come here unparsed)"
        )
    _check_time(timestamp, now(), tolerance_seconds)
    return read_event(message_id, bytes(raw))


def _key(secret: str) -> bytes:
    """Returns the bytes of a secret. Raises ValueError, without repeating it."""
    if not isinstance(secret, str):
        raise TypeError(f"a secret must be a text, not {type(secret).__name__}")
    text = secret.strip().removeprefix(_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("a secret is not one of a webhook's: it should be whsec_ and base64")
    return key


def _fields(headers: Headers) -> Sequence[str]:
    """Returns id, timestamp and signatures. Raises WebhookRejected."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        if found.setdefault(name.lower(), value) != value and name.lower() in (_ID, _TIMESTAMP, _SIGNATURE):
            raise WebhookRejected(f"the header {name.lower()} came twice")
    if missing := [name for name in (_ID, _TIMESTAMP, _SIGNATURE) if not found.get(name)]:
        raise WebhookRejected(f"there is no header {' and no '.join(missing)}: this is no request of a webhook")
    if not re.fullmatch(r"[0-9]{1,12}", found[_TIMESTAMP]):
        raise WebhookRejected(f"the header {_TIMESTAMP} is no number of seconds")
    return found[_ID], found[_TIMESTAMP], found[_SIGNATURE]


def _decoded(signatures: str) -> Iterator[bytes]:
    """Yields the first signatures that are of the version that is known."""
    for each in signatures.split(" ", MOST_SIGNATURES)[:MOST_SIGNATURES]:
        if each.startswith(_VERSION):
            try:
                yield base64.b64decode(each.removeprefix(_VERSION), validate=True)
            except (binascii.Error, ValueError):
                continue


def _check_time(timestamp: str, now: float, tolerance: float) -> None:
    """Raises WebhookRejected for what was sent too long ago, as by somebody who had recorded it."""
    late = now - int(timestamp)
    if abs(late) > tolerance:
        what = "ago, and may be a repeat by somebody else" if late > 0 else "ahead of this machine's clock"
        raise WebhookRejected(f"it was signed {abs(late):.0f} s {what}: {tolerance:.0f} s are allowed")
