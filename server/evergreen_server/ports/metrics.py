"""What the packages count, whatever measures it."""

from typing import Protocol

from evergreen_server.ports.provider import ProviderError


class Metrics(Protocol):
    """Counts what happens. Each call is quick and raises nothing; kinds and causes are from small closed sets."""

    def poll_failed(self, kind: str) -> None: ...

    def create_failed(self, kind: str) -> None: ...

    def taken_over(self, number: int) -> None: ...

    def events_sent(self, seconds: float) -> None:
        """Records how many seconds after it was written an event woke its watchers."""
        ...

    def removed(self, what: str, number: int) -> None: ...

    def swept(self, what: str, number: int) -> None: ...

    def render_began(self) -> None:
        """Records that an export is being rendered, until `render_ended`."""
        ...

    def render_ended(self) -> None: ...

    def film_exported(self, outcome: str) -> None:
        """Records what an export came to: RENDERED, REUSED, UNSIGNED or REFUSED."""
        ...


class CallMeter(Protocol):
    """Counts the calls of one method."""

    def began(self) -> None: ...

    def ended(self, code: str, seconds: float) -> None:
        """Records by which code of gRPC a call ended, and how long after it began."""
        ...


class Calls(Protocol):
    """Counts the calls of an edge. A method's name is one of the contract's."""

    def of(self, method: str, *, stream: bool) -> CallMeter:
        """Returns what counts the calls of a method; `stream` if one of its sides sends any number of messages."""
        ...


class NullMetrics:
    """Counts nothing."""

    def poll_failed(self, kind: str) -> None: ...

    def create_failed(self, kind: str) -> None: ...

    def taken_over(self, number: int) -> None: ...

    def events_sent(self, seconds: float) -> None: ...

    def removed(self, what: str, number: int) -> None: ...

    def swept(self, what: str, number: int) -> None: ...

    def render_began(self) -> None: ...

    def render_ended(self) -> None: ...

    def film_exported(self, outcome: str) -> None: ...


class NullCalls:
    """Counts no calls."""

    def of(self, method: str, *, stream: bool) -> CallMeter:
        return self

    def began(self) -> None: ...

    def ended(self, code: str, seconds: float) -> None: ...


def error_kind(exc: ProviderError) -> str:
    """Returns the kind of a provider's error by our own tree, whatever subclass the client raised."""
    return next(kind.__name__ for kind in type(exc).__mro__ if kind.__module__ == ProviderError.__module__)
