"""The database as this process uses it: its transactions, and the connections of its pool."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy.pool import Pool, QueuePool

from evergreen_server.metrics.buckets import CALLS


class DatabaseMetrics:
    """Transactions; `measured` is called by the database's own threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waited = Histogram(
            "evergreen_database_wait_seconds",
            "Seconds that transactions waited for a thread.",
            ["kind"],
            buckets=CALLS,
            registry=registry,
        )
        self._worked = Histogram(
            "evergreen_database_transaction_seconds",
            "Seconds that transactions took, from their connection to their commit.",
            ["kind"],
            buckets=CALLS,
            registry=registry,
        )
        self._errors = Counter(
            "evergreen_database_errors", "Errors of the database, by their class.", ["kind"], registry=registry
        )
        self._connections = Gauge(
            "evergreen_database_connections", "Connections of the pool, by whether used.", ["state"], registry=registry
        )
        self._by_kind = {kind: (self._waited.labels(kind), self._worked.labels(kind)) for kind in ("read", "write")}

    def measured(self, kind: str, waited: float, worked: float, errors: Sequence[str]) -> None:
        """Counts a transaction of a kind, `read` or `write`."""
        wait, work = self._by_kind[kind]
        wait.observe(waited)
        work.observe(worked)
        for error in errors:
            self._errors.labels(error).inc()

    def opened(self, pool: Pool) -> None:
        """Takes the pool whose connections are counted."""
        if isinstance(pool, QueuePool):
            self._connections.labels("used").set_function(pool.checkedout)
            self._connections.labels("idle").set_function(pool.checkedin)
