"""What the values of settings may be: each returns a value, or raises ValueError whose text repeats no secret."""

import json
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from evergreen_server.runtime.addresses import on_loopback
from evergreen_storage import id_error

MOST_CREDITS = 1_000_000_000
AN_OBJECT = "must be a JSON object, or the path of a file that holds one"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s/:@?#\[\]]+)(:\d{1,5})?|[0-9a-f:.]+")


def number(low: float, high: float) -> Callable[[str], float]:
    """Returns a parser of numbers from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"must be a number, not {text!r}") from None
        if not low <= value <= high:
            raise ValueError(f"must be {low:g} to {high:g}")
        return value

    return parse


def days(text: str) -> float | None:
    """Returns a number of days, 1 to 36,500, or None for an empty text."""
    return number(1, 36_500)(text) if text else None


def whole(low: int, high: int) -> Callable[[str], int]:
    """Returns a parser of whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {text!r}")
        return int(text)

    return parse


def file(text: str) -> Path | None:
    """Returns the absolute path of a file that can be read, or None for an empty text."""
    if not text:
        return None
    path = Path(text).absolute()
    try:
        # Before it is opened, which for a named pipe would never end.
        if not path.is_file() and path.exists():
            raise ValueError("is no regular file")
        path.open("rb").close()
    except OSError as exc:
        raise ValueError(f"the file cannot be read: {exc.strerror}") from None
    return path


def base_url(text: str) -> str:
    """Returns the provider's address without its last slash."""
    parts = urlsplit(text)
    # A port out of range raises as it is read.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("must be an http or https URL")
    if parts.scheme == "http" and not url_on_loopback(text):
        raise ValueError("must be https, since the key goes with every request; http is for loopback only")
    return text.rstrip("/")


def url_on_loopback(url: str) -> bool:
    """Returns whether the host of a URL is this machine."""
    return on_loopback(urlsplit(url).hostname or "")


def database_url(text: str) -> str:
    """Returns the URL of a database that the service can use."""
    # The URL is not repeated: it may hold a password.
    if text.startswith("sqlite:///"):
        # A path of the working folder would be another database wherever the server is started next.
        if not text.startswith("sqlite:////") or text == "sqlite:////":
            raise ValueError("the path of an SQLite database must be absolute, with four slashes: sqlite:////PATH")
        return text
    parts = urlsplit(text)
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
        raise ValueError("must be sqlite:////PATH or postgresql://USER:PASSWORD@HOST/NAME")
    return "postgresql:" + text.partition(":")[2]


def storage_url(text: str) -> str:
    """Returns a URL of any scheme."""
    # The URL is not repeated: it may carry credentials.
    if not _SCHEME.match(text):
        raise ValueError("must be a URL, such as file:///FOLDER, memory:// or s3://BUCKET/PREFIX")
    return text


def json_object(text: str) -> Mapping[str, Any]:
    """Returns a JSON object, from the text or the file that it names."""
    # Neither is this: it holds secrets.
    try:
        value = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text())
    except OSError as exc:
        raise ValueError(f"{AN_OBJECT}, and no file of this name can be read: {exc.strerror}") from None
    except ValueError:
        raise ValueError(AN_OBJECT) from None
    if not isinstance(value, dict):
        raise ValueError(AN_OBJECT)
    return value


def models(text: str) -> Mapping[str, str]:
    """Returns names of models by the names that callers use."""
    found = json_object(text)
    if not all(name and isinstance(model, str) and model for name, model in found.items()):
        raise ValueError('must be a JSON object of names, such as {"sora-2": "gen4.5"}')
    return found


def project_credits(text: str) -> Mapping[str, float | None]:
    """Returns limits in credits by project, `*` for all others, None for no limit."""
    try:
        found: Mapping[str, Any] = {"*": float(text)}
    except ValueError:
        found = json_object(text)
    for project, amount in found.items():
        if project != "*" and (wrong := id_error("project", project)):
            raise ValueError(f"{project[:200]!r}: {wrong}")
        number = isinstance(amount, int | float) and not isinstance(amount, bool)
        if amount is not None and not (number and 0 <= amount <= MOST_CREDITS):
            raise ValueError(f"{project}: must be 0 to {MOST_CREDITS} credits, or null for no limit")
    return found


def host_names(text: str) -> list[str]:
    """Returns names of hosts in small letters, with or without a port, from a list with commas."""
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    if wrong := [name for name in names if not _HOST.fullmatch(name)]:
        raise ValueError(f"must be host or host:port names, not {', '.join(map(repr, wrong))}")
    return names


def plain_hosts(text: str) -> list[str]:
    """Returns names of hosts without ports or wildcards."""
    names = [name.removesuffix(".") for name in host_names(text)]
    if wrong := [name for name in names if ":" in name or name.startswith("*")]:
        raise ValueError(f"must be names without ports or wildcards, not {', '.join(map(repr, wrong))}")
    return names


def origins(text: str) -> list[str]:
    """Returns origins as browsers send them."""
    origins = [origin.strip() for origin in text.split(",") if origin.strip()]
    for origin in origins:
        parts = urlsplit(origin)
        # A port out of range raises as it is read.
        named = parts.hostname and "*" not in origin and parts.port != 0
        if parts.scheme not in ("http", "https") or not named or origin != f"{parts.scheme}://{parts.netloc.lower()}":
            raise ValueError(f"must be origins as browsers send them, such as https://studio.example, not {origin!r}")
        if "@" in origin:
            raise ValueError("an origin has no user or password")
    return origins


def networks(text: str) -> list[str]:
    """Returns IP addresses and networks."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        try:
            ip_network(name)
        except ValueError:
            raise ValueError(f"must be IP addresses or networks such as 10.0.0.0/8, not {name!r}") from None
    return names


def on_or_off(text: str) -> bool:
    if text.lower() not in ("on", "off"):
        raise ValueError("must be on or off")
    return text.lower() == "on"


def log_level(text: str) -> Literal["DEBUG", "INFO", "WARNING", "ERROR"]:
    """Returns the name of a level."""
    match text.upper():
        case "DEBUG" | "INFO" | "WARNING" | "ERROR" as level:
            return level
    raise ValueError("must be DEBUG, INFO, WARNING or ERROR")


def log_format(text: str) -> Literal["auto", "json", "text"]:
    """Returns the name of a form of lines."""
    match text.lower():
        case "auto" | "json" | "text" as form:
            return form
    raise ValueError("must be auto, json or text")
