"""The engine's own log: warnings that DBOS repeats, passed once in a while."""

import logging
import time


def calm_log(*, level: int | None = None) -> None:
    """Has DBOS log as this service does, each kind of warning once in ten seconds; from now on from a level."""
    log = logging.getLogger("dbos")
    if not log.handlers:
        log.addHandler(logging.NullHandler())  # else DBOS adds its own console
    for known in [known for known in log.filters if isinstance(known, _Calm)]:
        log.removeFilter(known)
    log.addFilter(_Calm())
    if level is not None:
        log.setLevel(level)


class _Calm(logging.Filter):
    """Passes a warning of one kind once in ten seconds, in one line: DBOS repeats them while its database is away."""

    SECONDS = 10.0
    KIND = 30
    """The number of characters that name the kind of a warning; the cause follows."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = record.getMessage().partition("\n")[0], None
        kind, now = record.msg[: self.KIND], time.monotonic()
        if now - self._passed.get(kind, -self.SECONDS) < self.SECONDS:
            return False
        self._passed[kind] = now
        return True
