"""Everything that a server counts, in a registry of its own."""

from prometheus_client import CollectorRegistry

from evergreen_server.metrics.database import DatabaseMetrics
from evergreen_server.metrics.edges import CallMetrics, GatewayMetrics
from evergreen_server.metrics.jobs import JobMetrics
from evergreen_server.metrics.process import ProcessMetrics
from evergreen_server.metrics.provider import provider_calls
from evergreen_server.metrics.service import ServiceMetrics
from evergreen_server.metrics.storage import storage_calls
from evergreen_server.metrics.webhooks import WebhookMeters


class Meters:
    """What is counted without asking the database. Made before all that it counts."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.process = ProcessMetrics(registry)
        self.calls = CallMetrics(registry)
        self.gateway = GatewayMetrics(registry)
        self.service = ServiceMetrics(registry)
        self.jobs = JobMetrics(registry)
        self.database = DatabaseMetrics(registry)
        self.storage = storage_calls(registry)
        self.provider = provider_calls(registry)
        self.webhooks = WebhookMeters(registry)
