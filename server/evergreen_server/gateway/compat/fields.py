"""Reads the members of a body in another's shape: each by its kind, and none that nobody knows."""

from collections.abc import Collection, Mapping

from evergreen_server.gateway.problems import invalid

__all__ = ["number_of", "refuse_others", "text_of", "whole_of"]


def refuse_others(document: Mapping[str, object], known: Collection[str]) -> None:
    """Raises Refused for a member that is not among those known; it would be dropped in silence."""
    for name in document:
        if name not in known:
            raise invalid(name[:100].encode(errors="replace").decode(), "is not supported here")


def text_of(document: Mapping[str, object], name: str, default: str = "") -> str:
    """Returns a text. Raises Refused for what is none."""
    value = document.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise invalid(name, "must be a text")
    return value.encode(errors="replace").decode()


def number_of(document: Mapping[str, object], name: str, default: float) -> float:
    """Returns a number, which may come as a text. Raises Refused for what is none, or not above 0."""
    value = document.get(name)
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 4:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10_000:
        raise invalid(name, "must be a number above 0")
    return value


def whole_of(document: Mapping[str, object], name: str) -> int:
    """Returns a whole number, which may come as a text. Raises Refused for what is none, or not above 0."""
    value = number_of(document, name, 0)
    if value != int(value):
        raise invalid(name, "must be a whole number")
    return int(value)
