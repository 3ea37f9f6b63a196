"""What webhooks count: their requests, and how late the first one of each event is."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from evergreen_server.metrics.buckets import LAGS


class WebhookMeters:
    """Implements `webhooks.dispatcher.WebhookMetrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "evergreen_webhook_attempts",
            "Requests to receivers of webhooks, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self._lag = Histogram(
            "evergreen_webhook_lag_seconds",
            "Seconds from an event to the beginning of the first request that tells of it.",
            buckets=LAGS,
            registry=registry,
        )

    def webhook_began(self, seconds: float) -> None:
        self._lag.observe(max(0.0, seconds))

    def webhook_sent(self, outcome: str) -> None:
        self._attempts.labels(outcome).inc()
