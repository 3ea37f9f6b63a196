"""What the jobs room tells whoever measures it; and what there is to count in the rows."""

from typing import Protocol

from evergreen_server.ports.provider import ProviderError


class Metrics(Protocol):
    """Counts what happens. Each call is quick and raises nothing; kinds and causes are of small closed sets."""

    def poll_failed(self, kind: str) -> None: ...

    def create_failed(self, kind: str) -> None: ...

    def taken_over(self, number: int) -> None: ...

    def told(self, seconds: float) -> None:
        """Notes how long after it was written an event woke its watchers."""
        ...

    def removed(self, what: str, number: int) -> None: ...

    def swept(self, what: str, number: int) -> None: ...


class NullMetrics:
    """Counts nothing."""

    def poll_failed(self, kind: str) -> None: ...

    def create_failed(self, kind: str) -> None: ...

    def taken_over(self, number: int) -> None: ...

    def told(self, seconds: float) -> None: ...

    def removed(self, what: str, number: int) -> None: ...

    def swept(self, what: str, number: int) -> None: ...


def error_kind(exc: ProviderError) -> str:
    """Names the kind of a provider's error by our own table, whatever the client made of it for itself."""
    return next(kind.__name__ for kind in type(exc).__mro__ if kind.__module__ == ProviderError.__module__)
