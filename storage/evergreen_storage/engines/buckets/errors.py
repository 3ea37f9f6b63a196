"""Translates what obstore raises into the storage's own errors.

Its texts hold addresses, signatures and whole answers of the server. Only what cannot be a secret is kept: the
status, the server's error code, and why a connection failed.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from evergreen_storage.storage import AlreadyExists, Conflict, NotFound, StorageError, Unavailable

_STATUS: Final = re.compile(r"status: (\d{3})|status code: (\d{3})")
_CODE: Final = re.compile(r'<Code>([A-Za-z0-9]{1,64})</Code>|"(?:code|reason|error)\\*": *\\*"([A-Za-z_]{1,64})\\*"')
_SYSTEM: Final = re.compile(r"\bkind: (ConnectionRefused|ConnectionReset|ConnectionAborted|HostUnreachable|BrokenPipe)")
_ROLE: Final = re.compile(
    r"Error performing \w+ https?://"
    r"(169\.254\.|\[fd00:ec2|metadata\.google\.internal|sts\.|[^ ]*/latest/(api/token|meta-data))"
)
_LIST: Final = "s3:ListBucket (Google: storage.objects.list, Azure: List)"
_RIGHTS: Final = {
    "listed": f"; the right {_LIST} may be missing",
    "read": f"; the right s3:GetObject may be missing, or {_LIST}, without which what is not there is refused too",
    "written": "; the right s3:PutObject (Google: storage.objects.create, Azure: Write) may be missing",
    "deleted": "; the right s3:DeleteObject (Google: storage.objects.delete, Azure: Delete) may be missing",
}
_NO_BUCKET: Final = frozenset({"NoSuchBucket", "ContainerNotFound"})
_BUCKET_GONE: Final = re.compile(r"specified (?:bucket|container) does not exist", re.IGNORECASE)


class UnreadableKey(Exception):
    """The bucket holds a key that obstore cannot read, which makes it fail the whole page of the listing."""


@contextmanager
def translated(key: str, doing: str) -> Iterator[None]:
    """Translates obstore's errors into the storage's. Raises UnreadableKey from listings."""
    try:
        yield
    except AlreadyExistsError:
        raise AlreadyExists(f"{key!r} exists already") from None
    except PreconditionError:
        raise Conflict(f"{key!r} changed since it was read") from None
    except InvalidPathError as exc:
        raise UnreadableKey(_bad_key(str(exc))) from None
    except FileNotFoundError as exc:
        raise _not_found(key, doing, str(exc)) from None
    except (BaseError, ValueError, OSError) as exc:
        denied = isinstance(exc, PermissionDeniedError | UnauthenticatedError)
        raise _unavailable(key, doing, str(exc), denied=denied) from None


def _unavailable(key: str, doing: str, text: str, *, denied: bool) -> Unavailable:
    match = _STATUS.search(text)
    status, reason = int(match[1] or match[2]) if match else None, _reason(text)
    if denied or (status in (401, 403) and not _ROLE.search(text)):
        reason = f"access was denied ({reason}){_RIGHTS.get(doing, '')}"
    return Unavailable(f"{key!r} cannot be {doing}: {reason}", status=status)


def _not_found(key: str, doing: str, text: str) -> StorageError:
    match = _CODE.search(text)
    if (match and match[1] in _NO_BUCKET) or _BUCKET_GONE.search(text):
        return Unavailable(f"{key!r} cannot be {doing}: the bucket does not exist")
    return NotFound(f"there is no {key!r}")


def _reason(text: str) -> str:
    if _ROLE.search(text):
        # What failed is not the storage, but the source of this machine's or container's credentials.
        return "there are no usable credentials: none were given, and the machine or container has no role either"
    status = _STATUS.search(text)
    if status:
        code = _CODE.search(text)
        name = (code[1] or code[2]) if code else ""
        return f"the storage answered {status[1] or status[2]} {name}".rstrip()
    system = _SYSTEM.search(text)
    if system:
        return f"the storage cannot be reached ({system[1]})"
    lowered = text.lower()
    if "timedout" in lowered or "timed out" in lowered or "timeout" in lowered.replace("retry_timeout", ""):
        return "the storage did not answer in time"
    if "dns error" in lowered or "failed to lookup address" in lowered:
        return "the storage's host name is not known"
    if "certificate" in lowered:
        return "the storage's certificate is not trusted"
    if "metadata" in lowered or "credential" in lowered:
        return "there are no usable credentials"
    if "kind: connect" in lowered:
        return "the storage cannot be reached"
    return "the connection to the storage failed"


def _bad_key(text: str) -> str:
    match = re.search(r'path: ("(?:[^"\\]|\\.)*")', text)
    return match[1][:200] if match else "of unknown name"
