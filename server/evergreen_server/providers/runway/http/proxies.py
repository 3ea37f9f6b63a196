"""Chooses the proxy, if any, for each URL of the provider. No I/O."""

from dataclasses import dataclass, field

from yarl import URL

__all__ = ["Proxies"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """HTTP proxies as http://[USER:PASSWORD@]HOST[:PORT], by the scheme of the URL; empty is none.

    An https URL is reached through a tunnel (CONNECT), so that the proxy sees the host's name and nothing else.
    """

    https: str = field(default="", repr=False)
    http: str = field(default="", repr=False)
    no_proxy: str = ""
    """Comma-separated names, or `name:port`, that are requested directly, with their subdomains; * is every one."""

    def of(self, url: URL) -> URL | None:
        """Returns the proxy for a URL, None where it is requested directly."""
        chosen = self.https if url.scheme == "https" else self.http
        host = (url.raw_host or "").lower()
        if not chosen or any(_names(entry, host, url.port) for entry in self.no_proxy.lower().split(",")):
            return None
        return URL(chosen)


def _names(entry: str, host: str, port: int | None) -> bool:
    entry = entry.strip().removeprefix("*.").lstrip(".")
    if not entry or entry == "*":
        return entry == "*"
    return any(name == entry or name.endswith(f".{entry}") for name in (host, f"{host}:{port}"))
