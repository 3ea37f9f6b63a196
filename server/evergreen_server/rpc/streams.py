"""Bounds how many streams that never end by themselves are open at once, with shares for their callers."""

from collections.abc import Iterator
from contextlib import contextmanager

from evergreen_server.runtime.turns import Turns

MOST_WATCHES = 24_000
"""Each takes 27 KiB. One caller alone gets half of them."""
MOST_HEALTH_WATCHES = 1000
"""They need no token, so each connection is an owner."""


class TooManyStreams(Exception):
    """The caller has as many streams open as it may for now."""


class Streams:
    """A number of streams at once, shared by the rule of `Turns`; a call that gets no place is refused at once."""

    def __init__(self, at_once: int) -> None:
        self._turns = Turns(at_once)

    @contextmanager
    def of(self, owner: str) -> Iterator[None]:
        """Holds a place for as long as the context lasts. Raises TooManyStreams."""
        place = self._turns.ask(owner)
        try:
            if not place.done():
                raise TooManyStreams("too many watches are open; close some, or try again later")
            yield
        finally:
            self._turns.give_back(owner, place)
