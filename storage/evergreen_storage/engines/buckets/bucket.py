"""A bucket, and what the engines on obstore share when they open one: the URL, time limits and retries."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError

from evergreen_storage.keys import is_name
from evergreen_storage.options import Value
from evergreen_storage.storage import Unsupported

if TYPE_CHECKING:
    from obstore.store import AzureStore, ClientConfig, GCSStore, RetryConfig, S3Store

S = TypeVar("S")

_CONNECT_SECONDS: Final = 5.0
# The longest silence of a server, which includes the time that one part of 5 MiB takes to be sent.
_READ_SECONDS: Final = 60.0
_RETRIES: Final = 4
_RETRY_SECONDS: Final = 60.0
# A whole body may be read slowly; silence is bounded by the limit above.
_REQUEST_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket, or a folder in it, and what is special about its kind of store."""

    store: "S3Store | GCSStore | AzureStore"
    prefix: str
    """What comes before each key: empty, or ends in "/"."""
    token: Literal["e_tag", "version"]
    """Which of the two names a content for a conditional write."""
    signs: bool
    """Whether there are credentials to sign a URL with."""
    seeks: bool
    """Whether a listing can begin at a key, instead of being read from its start."""


def split_bucket(url: str) -> tuple[str, str]:
    """Returns a URL's bucket, and the prefix of all keys: empty, or ending in "/". Raises Unsupported."""
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.fragment:
        raise Unsupported(f"the {parts.scheme}:// storage URL must not hold credentials: use the options or variables")
    prefix = unquote(parts.path).strip("/")
    if not parts.netloc or not all(map(is_name, prefix.split("/") if prefix else ())):
        raise Unsupported(
            f"the {parts.scheme}:// storage URL must be {parts.scheme}://BUCKET or {parts.scheme}://BUCKET/FOLDER/…, "
            "each folder of A-Z, a-z, 0-9, '.', '_' and '-' and starting with a letter or digit"
        )
    return parts.netloc, f"{prefix}/" if prefix else ""


def is_confidential(endpoint: str) -> bool:
    """Returns whether nothing on the way can change what is sent: it uses TLS, or does not leave the machine."""
    parts = urlsplit(endpoint)
    if parts.scheme == "https":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"


def client_options(settings: dict[str, Value], *, endpoint: str) -> "ClientConfig":
    """Removes the time limits from the settings and returns them."""
    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=float(settings.pop("connect_timeout", _CONNECT_SECONDS))),
        "read_timeout": timedelta(seconds=float(settings.pop("read_timeout", _READ_SECONDS))),
        "timeout": timedelta(seconds=_REQUEST_SECONDS),
        # Only where the caller named such an address.
        "allow_http": urlsplit(endpoint).scheme == "http",
    }
    if not settings.pop("verify", True):
        client["allow_invalid_certificates"] = True
    return client


def retry_options(settings: dict[str, Value]) -> "RetryConfig":
    """Removes the bounds of retries from the settings and returns them."""
    return {
        "max_retries": int(settings.pop("max_retries", _RETRIES)),
        "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }


def config_of(scheme: str, make: Callable[[], S]) -> S:
    """Returns a client. Raises Unsupported where obstore does not take an option's value, which is not repeated."""
    try:
        return make()
    except (BaseError, ValueError, TypeError, OSError):
        raise Unsupported(
            f"an option of the {scheme}:// storage has a value that cannot be used: check the endpoint, "
            "the region and the credentials"
        ) from None
