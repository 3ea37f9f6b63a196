"""The tokens by which a caller asks for the next page of a list."""

import base64
import binascii


def make_token(last: str, scope: str) -> str:
    """Makes a page token that serves only the question that it answers a part of."""
    return base64.urlsafe_b64encode(f"{last} {scope}".encode()).decode()


def read_token(token: str, scope: str) -> str | None:
    """Reads a page token; None if it is not one, or another question's."""
    try:
        last, _, found = base64.urlsafe_b64decode(token.encode()).decode().partition(" ")
    except (binascii.Error, ValueError):
        return None
    return last if found == scope else None
