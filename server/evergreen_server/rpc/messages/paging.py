"""The tokens by which a caller asks for the next page of a list."""

import base64
import binascii
from collections.abc import Callable

from evergreen_server.ports.specs import FieldError

BAD_TOKEN = "not a token of an earlier answer to the same question"


def make_token(last: str, scope: str) -> str:
    """Returns a page token that is valid only for the query `scope`."""
    return base64.urlsafe_b64encode(f"{last} {scope}".encode()).decode()


def read_token(token: str, scope: str) -> str | None:
    """Returns where a page token continues; None if it is invalid, or of another query."""
    try:
        last, _, found = base64.urlsafe_b64decode(token.encode()).decode().partition(" ")
    except (binascii.Error, ValueError):
        return None
    return last if found == scope else None


def read_place(token: str, scope: str, *, wrong: Callable[[str], object], errors: list[FieldError]) -> str:
    """Returns after what a page begins, an empty text for the first. Notes a token that is none, or of another query.

    `wrong` returns something true for what no answer can have ended with.
    """
    if not token:
        return ""
    place = read_token(token, scope)
    if place is None or wrong(place):
        errors.append(FieldError(field="page_token", description=BAD_TOKEN))
        return ""
    return place
