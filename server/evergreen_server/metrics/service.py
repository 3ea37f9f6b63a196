"""What the packages count while jobs and films run."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from evergreen_server.metrics.buckets import LAGS


class ServiceMetrics:
    """Implements `ports.metrics.Metrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._polls = Counter(
            "evergreen_poll_errors", "Polls of provider tasks that failed, by kind.", ["kind"], registry=registry
        )
        self._creates = Counter(
            "evergreen_create_errors", "Creates of provider tasks that failed, by kind.", ["kind"], registry=registry
        )
        self._taken_over = Counter(
            "evergreen_takeovers", "Workflows taken over from replicas that died.", registry=registry
        )
        self._event_lag = Histogram(
            "evergreen_event_lag_seconds",
            "Seconds from the writing of an event to the waking of its watchers here.",
            buckets=LAGS,
            registry=registry,
        )
        self._removed = Counter(
            "evergreen_removed", "Old rows that were removed, by what they are.", ["what"], registry=registry
        )
        self._swept = Counter(
            "evergreen_swept", "What the sweep found and put right, or reported.", ["what"], registry=registry
        )
        self._renders = Counter(
            "evergreen_film_renders", "Exports of films that came to an end here.", ["outcome"], registry=registry
        )
        self._rendering = Gauge("evergreen_film_renders_running", "Exports that are rendered here.", registry=registry)
        self._watchers = Gauge("evergreen_watchers", "Watches that are open here.", registry=registry)

    def watched(self, number: Callable[[], int]) -> None:
        """Takes what counts the open watches."""
        self._watchers.set_function(number)

    def poll_failed(self, kind: str) -> None:
        self._polls.labels(kind).inc()

    def create_failed(self, kind: str) -> None:
        self._creates.labels(kind).inc()

    def taken_over(self, number: int) -> None:
        self._taken_over.inc(number)

    def events_sent(self, seconds: float) -> None:
        self._event_lag.observe(max(0.0, seconds))

    def removed(self, what: str, number: int) -> None:
        self._removed.labels(what).inc(number)

    def swept(self, what: str, number: int) -> None:
        self._swept.labels(what).inc(number)

    def render_began(self) -> None:
        self._rendering.inc()

    def render_ended(self) -> None:
        self._rendering.dec()

    def film_exported(self, outcome: str) -> None:
        self._renders.labels(outcome).inc()
