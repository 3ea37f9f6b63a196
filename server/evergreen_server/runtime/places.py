"""URLs and addresses as a log may show them: where something lies, and nothing that opens it."""

from urllib.parse import urlsplit

__all__ = ["shown"]


def shown(url: str) -> str:
    """Returns a URL without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
