"""What every process counts: its event loop, its background tasks, its memory, and what it was built from."""

import asyncio
import platform
import time
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from evergreen_server.metrics.buckets import LAGS

LOOP_SECONDS = 0.5


class ProcessMetrics:
    """The metrics of the process itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)
        build = Gauge(
            "evergreen_build_info", "1, with what runs here in its labels.", ["version", "python"], registry=registry
        )
        build.labels(version("evergreen-video"), platform.python_version()).set(1)
        self._loop_lag = Histogram(
            "evergreen_loop_lag_seconds", "Seconds by which the event loop is late.", buckets=LAGS, registry=registry
        )
        self._failed_tasks = Counter(
            "evergreen_background_failures",
            "Background tasks that failed and were begun again.",
            ["task"],
            registry=registry,
        )

    def task_failed(self, name: str) -> None:
        self._failed_tasks.labels(name).inc()

    async def watch_loop(self) -> None:
        """Measures how late the event loop resumes after a wait."""
        while True:
            due = time.monotonic() + LOOP_SECONDS
            await asyncio.sleep(LOOP_SECONDS)
            self._loop_lag.observe(max(0.0, time.monotonic() - due))
