"""Checks a caller's URL by its text alone, before any name is resolved or connection made."""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from yarl import URL

from evergreen_server.media.guard import is_public
from evergreen_server.ports.media import MediaRefused

MAX_URL_LENGTH = 2048

# At most 63 characters: the standard library's look-up raises a UnicodeError for longer labels.
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
# What the C library would read as an IPv4 address: `127.1`, `2130706433`, `0x7f.1`, `0177.0.0.1`.
_ENDS_IN_A_NUMBER = re.compile(r"(^|\.)(\d+|0[xX][0-9A-Fa-f]*)\.?$")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\\]|\s")
_PRIVATE_ZONES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test", ".invalid", ".onion")


class UrlPolicy:
    """Which URLs may be fetched at all, and which may be passed to the provider.

    `private_hosts` are exact `host` or `host:port` names, whose scheme must be http or https and whose
    port and addresses are free; all others are bound to `ports` and to public addresses.
    """

    def __init__(self, *, private_hosts: Iterable[str], ports: frozenset[int], ports_in_words: str = "") -> None:
        self._private_hosts = frozenset(map(_authority, private_hosts))
        self._ports = ports
        self._ports_in_words = ports_in_words or f"one of {', '.join(map(str, sorted(ports)))}"

    def check(self, uri: str) -> URL:
        """Parses a URL for the request that follows. Raises MediaRefused for a URL that may not be fetched."""
        scheme = uri[:16].partition(":")[0].lower()
        if scheme == "data":
            raise _refusal("a data: URI is not taken here; send the bytes inline instead")
        if len(uri) > MAX_URL_LENGTH:
            raise _refusal(f"the URL is longer than {MAX_URL_LENGTH} characters")
        if _UNPRINTABLE.search(uri):
            raise _refusal("the URL holds a space, a control character or a backslash")
        if scheme not in ("http", "https"):
            raise _refusal("the URL must begin with https:// or http://")
        try:
            # ASCII text is sent unchanged: quoting it again could break a signature in it.
            url = URL(uri, encoded=uri.isascii())
            host, port = url.raw_host, url.port
        except ValueError:
            raise _refusal("the URL cannot be read: its host or port is malformed") from None
        if not host:
            raise _refusal("the URL names no host")
        if "@" in url.raw_authority:
            raise _refusal("the URL must not hold a user name or password")
        if self.trusts(url):
            return url
        if ":" in host or _ENDS_IN_A_NUMBER.search(host):
            if not is_public(host):
                raise _refusal("the URL's host is not a public address")
        elif not _NAME.fullmatch(host):
            raise _refusal("the URL's host is not a valid name")
        elif host.lower().rstrip(".") == "localhost" or _name(host).endswith(".localhost"):
            raise _refusal("the URL's host is this machine, which is not public")
        if port not in self._ports:
            raise _refusal(f"the URL's port must be {self._ports_in_words}")
        return url

    def trusts(self, url: URL) -> bool:
        """Returns whether a URL names a private host that the operator allows."""
        host = _authority(url.raw_host or "")
        return host in self._private_hosts or f"{host}:{url.port}" in self._private_hosts

    def may_pass_on(self, uri: str) -> bool:
        """Returns whether this URL may be passed to the provider: https on a public DNS name, default port."""
        try:
            url = self.check(uri)
        except MediaRefused:
            return False
        host = _name(url.raw_host or "")
        return (
            url.scheme == "https"
            and url.port == 443
            and not self.trusts(url)
            and _NAME.fullmatch(host) is not None
            and not _ENDS_IN_A_NUMBER.search(host)
            and "." in host
            and not host.endswith(_PRIVATE_ZONES)
        )


def _authority(host: str) -> str:
    """Returns a host, with or without a port, in the form in which hosts are compared."""
    try:
        literal = ip_address(host)
    except ValueError:
        return _name(host)
    return f"[{literal}]" if literal.version == 6 else str(literal)


def _name(host: str) -> str:
    return host.lower().rstrip(".")


def _refusal(message: str) -> MediaRefused:
    return MediaRefused(message, reason="MEDIA_REFUSED")
