"""How many connections the server accepts and how long one lasts, as options of gRPC."""

import random
import resource
from dataclasses import dataclass

GRACE_SECONDS = 600.0
"""How long calls may go on after their connection's age is reached: mostly transfers, since watches end earlier."""
IDLE_SECONDS = 300.0
"""How long a connection stays open without a call; a call that never completes its headers does not count."""
HANDSHAKE_SECONDS = 20.0
KEPT_FILES = 400
"""Open files reserved for the databases, the storage, media, and spooled files."""
MOST_CONNECTIONS = 20_000
"""Each takes 15 KiB before its first call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """The bounds of connections. After `age_seconds` the client is asked to reconnect; 0 means never."""

    most: int
    age_seconds: float
    grace_seconds: float = GRACE_SECONDS
    idle_seconds: float = IDLE_SECONDS
    handshake_seconds: float = HANDSHAKE_SECONDS

    def options(self) -> list[tuple[str, int]]:
        """Returns the bounds as options of a gRPC server."""
        options = [
            ("grpc.max_allowed_incoming_connections", self.most),
            ("grpc.max_connection_idle_ms", _ms(self.idle_seconds)),
            ("grpc.server_handshake_timeout_ms", _ms(self.handshake_seconds)),
        ]
        if self.age_seconds:
            # gRPC varies it by a tenth, so that not all come back at once.
            options.append(("grpc.max_connection_age_ms", _ms(self.age_seconds)))
            options.append(("grpc.max_connection_age_grace_ms", _ms(self.grace_seconds)))
        return options

    def watch_seconds(self) -> float:
        """Returns how long the next watch may last: it ends by itself before its connection is cut off.

        Varied, so that watches that were opened at once are not opened again at once.
        """
        longest = min(self.age_seconds, self.grace_seconds) if self.age_seconds else float("inf")
        return longest * random.uniform(0.5, 0.8)


def raise_file_limit() -> int:
    """Raises this process's limit of open files to the highest allowed, and returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # some systems allow fewer than they say
            return soft
    return hard if hard != resource.RLIM_INFINITY else MOST_CONNECTIONS + KEPT_FILES


def connections_of(files: int, *, beside: int = 0) -> int:
    """Returns how many connections to accept if `files` may be open: half of them, if they are few.

    The gateway in the same process may have `beside` more, which count as open files too.
    """
    return min(MOST_CONNECTIONS, max(files - beside - KEPT_FILES, (files - beside) // 2))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
