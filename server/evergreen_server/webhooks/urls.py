"""Which URLs events may be sent to, by their text alone; the guarded connector judges each address."""

from collections.abc import Iterable
from typing import Final

from yarl import URL

from evergreen_server.media.urls import UrlPolicy
from evergreen_server.ports.media import MediaRefused

__all__ = ["LONGEST_URL", "Receivers"]

LONGEST_URL: Final = 2000
PORTS: Final = frozenset({443, *range(1024, 65_536)})


class Receivers:
    """The URLs that are allowed. `private_hosts` are `host` or `host:port` names that may be private, and use http."""

    def __init__(self, *, private_hosts: Iterable[str] = ()) -> None:
        self._policy = UrlPolicy(private_hosts=private_hosts, ports=PORTS, ports_in_words="443 or above 1023")

    def error(self, text: str) -> str | None:
        """Returns what is wrong about a URL, in words for the caller who sent it; None if nothing."""
        if not text:
            return "must not be empty"
        if len(text) > LONGEST_URL:
            return f"must have at most {LONGEST_URL} characters"
        try:
            url = self._policy.check(text)
        except MediaRefused as exc:
            return f"the URL must begin with https://; {exc}" if text[:7].lower() == "http://" else str(exc)
        if url.scheme != "https" and not self._policy.trusts(url):
            return "the URL must begin with https://"
        if url.fragment:
            return "the URL must not hold a fragment"
        return None

    def trusts(self, url: URL) -> bool:
        """Returns whether a URL names a private host that the operator allows."""
        return self._policy.trusts(url)
