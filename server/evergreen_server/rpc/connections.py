"""How many connections the server takes, how long one lasts, and what gRPC is told about that."""

import random
import resource
from dataclasses import dataclass

GRACE_SECONDS = 600.0
"""How long the calls of a connection go on after its age is reached: transfers mostly, since watches end before."""
IDLE_SECONDS = 300.0
"""How long a connection stays open without a call; one that begins a call and never does has none."""
HANDSHAKE_SECONDS = 20.0
KEPT_FILES = 400
"""Open files that are not given to connections: for the databases, the storage, media, and spooled files."""
MOST_CONNECTIONS = 20_000
"""Of 15 KiB each, before anybody makes a call on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """The bounds of connections. `age_seconds` is when one is asked to be opened anew; 0 means never."""

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
    """Lets this process have as many open files as it may, and returns the number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # some systems allow fewer than they say
            return soft
    return hard if hard != resource.RLIM_INFINITY else MOST_CONNECTIONS + KEPT_FILES


def connections_of(files: int) -> int:
    """Returns how many connections to take where so many files may be open: half of them, if they are few."""
    return min(MOST_CONNECTIONS, max(files - KEPT_FILES, files // 2))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
