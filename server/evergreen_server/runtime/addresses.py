"""Addresses as an operator writes them: HOST:PORT to listen on, and proxies for outgoing connections."""

import re
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

__all__ = ["listen_address", "listen_parts", "on_loopback", "proxy_url"]

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*")
_PORT = re.compile(r"[0-9]{1,5}")
_PRINTABLE = re.compile(r"[!-~]+")
_ONLY_DIGITS = re.compile(r"[0-9.]*")


def listen_parts(text: str, *, port: int | None = None) -> tuple[str, int]:
    """Returns host and port of HOST:PORT; IPv6 hosts have brackets there, and none in the result.

    `port` is used if localhost or an IP address is given alone. Raises ValueError with one sentence.
    """
    host, colon, digits = text.rpartition(":")
    if port is not None and _alone(text):
        host, colon, digits = text, ":", str(port)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    fits = colon and _PORT.fullmatch(digits) and int(digits) <= 65535
    if not fits or not (_is_ip(bare, bracketed=bare != host) or (bare == host and _is_name(host))):
        raise ValueError(
            "must be HOST:PORT, such as 127.0.0.1:50051, localhost:50051 or [::1]:50051, with a port from 0 to 65535, "
            f"not {text[:200]!r}"
        )
    return bare, int(digits)


def listen_address(text: str, *, port: int | None = None) -> str:
    """Returns HOST:PORT in its canonical form. Raises ValueError as `listen_parts` does."""
    host, number = listen_parts(text, port=port)
    return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"


def on_loopback(host: str) -> bool:
    """Returns whether only this machine can reach a host: localhost, or a loopback address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def proxy_url(text: str) -> str:
    """Returns the URL of a proxy, empty for none. Raises ValueError with one sentence."""
    # The URL is not repeated: it may hold a password.
    if text in ("", "direct"):
        return ""
    rule = 'must be http://[USER:PASSWORD@]HOST[:PORT], or "direct" in EVERGREEN_PROVIDER_PROXY for no proxy'
    text = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(text)
        fits = parts.scheme == "http" and parts.hostname and parts.port != 0 and parts.path in ("", "/")
        user = unquote(parts.username or "")
        (user + unquote(parts.password or "")).encode("latin-1")
    except ValueError:
        raise ValueError(rule) from None
    if not fits or parts.query or parts.fragment or ":" in user or not _PRINTABLE.fullmatch(text):
        raise ValueError(rule)
    return text


def _alone(text: str) -> bool:
    return text.lower() == "localhost" or _is_ip(text.strip("[]"), bracketed=text.startswith("["))


def _is_ip(host: str, *, bracketed: bool) -> bool:
    try:
        return (ip_address(host).version == 6) is bracketed
    except ValueError:
        return False


def _is_name(host: str) -> bool:
    # Only digits are a mistyped address, which the system may read as another one.
    return len(host) <= 253 and _NAME.fullmatch(host) is not None and not _ONLY_DIGITS.fullmatch(host)
