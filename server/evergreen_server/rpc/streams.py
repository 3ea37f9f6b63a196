"""Bounds how many calls of a kind are open at once, such as streams that never end, with shares for their callers."""

from collections.abc import Iterator
from contextlib import contextmanager

from evergreen_server.runtime.turns import Turns

MOST_WATCHES = 24_000
"""Each takes 27 KiB. One caller alone gets half of them."""
MOST_HEALTH_WATCHES = 1000
"""They need no token, so each connection is an owner."""
MOST_PLANS = 32
"""Calls that make or read plans of films. Each may hold 4 MiB that came, and as much again of what it makes of it."""


class TooManyStreams(Exception):
    """The caller has as many streams open as it may for now."""


class Streams:
    """A number of streams at once, shared by the rule of `Turns`; a call that gets no place is refused at once."""

    def __init__(self, at_once: int, *, of: str = "watches") -> None:
        self._turns = Turns(at_once)
        self._text = f"too many {of} are open; close some, or try again later"

    @contextmanager
    def of(self, owner: str) -> Iterator[None]:
        """Holds a place for as long as the context lasts. Raises TooManyStreams."""
        place = self._turns.ask(owner)
        try:
            if not place.done():
                raise TooManyStreams(self._text)
            yield
        finally:
            self._turns.give_back(owner, place)
