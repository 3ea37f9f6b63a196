"""Ids of jobs: UUID version 7 (RFC 9562), so that they sort by the time they were made."""

import secrets
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICKS = 4096
"""Parts of a millisecond that an id distinguishes, by the twelve bits after its version (method 3 of RFC 9562)."""


class JobIds:
    """Makes ids, each of which sorts after the one before, even if the clock was set back in between.

    Otherwise a job that came later would precede it in the queue.
    """

    def __init__(self, clock: Callable[[], datetime], *, newest: str = "") -> None:
        """`newest` is the newest id that is known, if there is one."""
        self._clock = clock
        value = uuid.UUID(newest).int if newest else 0
        self._last = (value >> 80) * TICKS | (value >> 64) % TICKS

    def new(self) -> str:
        """Returns an id made from the time and 62 random bits, in lower case."""
        self._last = max(self._last + 1, _ticks(self._clock()))
        return _id(self._last)


def id_at(at: datetime) -> str:
    """Returns an id of a time; of one time, ids are in no order."""
    return _id(_ticks(at))


def ids_at(ats: Iterable[datetime]) -> Iterator[str]:
    """Yields an id of each time, each of which sorts after the one before."""
    last = 0
    for at in ats:
        last = max(last + 1, _ticks(at))
        yield _id(last)


def least_at(at: datetime) -> str:
    """Returns the least id of a time, which sorts after every id of an earlier one."""
    milliseconds, part = divmod(max(0, _ticks(at)), TICKS)
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | part << 64))


def _ticks(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1) * TICKS // 1000


def _id(ticks: int) -> str:
    milliseconds, part = divmod(ticks, TICKS)
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | part << 64 | 2 << 62 | secrets.randbits(62)))


def first_at(at: datetime, shift: timedelta = timedelta()) -> str:
    """Returns a text that sorts after every id made before a time, and before all made from then on, by their clock.

    `shift` is added to the time, which may lead beyond what a datetime can hold.
    """
    milliseconds = max(0, (at - EPOCH + shift) // timedelta(milliseconds=1))
    digits = f"{milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}"
