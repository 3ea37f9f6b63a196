"""Metrics for Prometheus: what the packages count, and counts of rows when asked for. No label is unbounded."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from evergreen_server.film.runs.census import FilmCensus
from evergreen_server.jobs.store.census import Census
from evergreen_server.runtime.addresses import listen_address, listen_parts
from evergreen_server.runtime.doors import BACKLOG, http_runner, refuse_long_heads

CENSUS_SECONDS = 5.0
LOOP_SECONDS = 0.5
LAGS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ProcessMetrics:
    """What every process counts, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._loop_lag = Histogram(
            "evergreen_loop_lag_seconds", "Seconds by which the event loop is late.", buckets=LAGS, registry=registry
        )
        self._answers = Counter(
            "evergreen_http_requests",
            "Answers of the gateway, by route and status.",
            ["route", "status"],
            registry=registry,
        )
        self._failed_tasks = Counter(
            "evergreen_background_failures",
            "Background tasks that failed and were begun again.",
            ["task"],
            registry=registry,
        )

    def http_answered(self, route: str, status: int) -> None:
        self._answers.labels(route, str(status)).inc()

    def task_failed(self, name: str) -> None:
        self._failed_tasks.labels(name).inc()

    async def watch_loop(self) -> None:
        """Measures how late the event loop resumes after a wait."""
        while True:
            due = time.monotonic() + LOOP_SECONDS
            await asyncio.sleep(LOOP_SECONDS)
            self._loop_lag.observe(max(0.0, time.monotonic() - due))

    async def text(self) -> bytes:
        """Returns everything in Prometheus' format."""
        return generate_latest(self._registry)


class PrometheusMetrics(ProcessMetrics):
    """The metrics of one server; implements `ports.metrics.Metrics`."""

    def __init__(
        self,
        *,
        census: Callable[[], Awaitable[Census]],
        films: Callable[[], Awaitable[FilmCensus]],
        watchers: Callable[[], int],
    ) -> None:
        super().__init__()
        self._census, self._film_census = census, films
        self._counted_at = float("-inf")
        self._turn, registry = asyncio.Lock(), self._registry
        self._jobs = Gauge("evergreen_jobs", "Jobs in the database by state.", ["state"], registry=registry)
        self._waiting = Gauge("evergreen_queue_depth", "Jobs that wait to be submitted.", registry=registry)
        self._oldest = Gauge(
            "evergreen_queue_oldest_seconds",
            "Seconds since the oldest job that waits was accepted; 0 where none does.",
            registry=registry,
        )
        self._reserved = Gauge(
            "evergreen_credits_reserved", "Credits that attempts under way may cost at most.", registry=registry
        )
        self._spent = Gauge(
            "evergreen_credits_spent",
            "Credits that ended attempts have cost, for sure or at most.",
            ["basis"],
            registry=registry,
        )
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
        self._films = Gauge("evergreen_films", "Films in the database by state.", ["state"], registry=registry)
        self._approvals = Gauge(
            "evergreen_film_approvals", "Runs of films that wait at a gate, or with a question.", registry=registry
        )
        self._oldest_approval = Gauge(
            "evergreen_film_approvals_oldest_seconds",
            "Seconds since the run that has waited longest for people has changed; 0 where none waits.",
            registry=registry,
        )
        self._held = Gauge(
            "evergreen_film_credits_held", "Credits that runs of films hold for jobs to come.", registry=registry
        )
        self._renders = Counter(
            "evergreen_film_renders", "Exports of films that came to an end here.", ["outcome"], registry=registry
        )
        self._rendering = Gauge("evergreen_film_renders_running", "Exports that are rendered here.", registry=registry)
        Gauge("evergreen_watchers", "Watches that are open here.", registry=registry).set_function(watchers)

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

    async def text(self) -> bytes:
        """Returns everything in Prometheus' format; the counts of rows are a few seconds old at most."""
        async with self._turn:
            if time.monotonic() - self._counted_at > CENSUS_SECONDS:
                self._take(await self._census())
                self._take_films(await self._film_census())
                self._counted_at = time.monotonic()
        return await super().text()

    def _take(self, census: Census) -> None:
        for state, number in census.by_state.items():
            self._jobs.labels(state.value).set(number)
        self._waiting.set(census.waiting)
        self._oldest.set(census.longest_wait_seconds)
        self._reserved.set(census.totals.reserved / 1000)
        self._spent.labels("CONFIRMED").set(census.totals.confirmed / 1000)
        self._spent.labels("UPPER_BOUND").set(census.totals.bounded / 1000)

    def _take_films(self, census: FilmCensus) -> None:
        for state, number in census.by_state.items():
            self._films.labels(state.value).set(number)
        self._approvals.set(census.waiting)
        self._oldest_approval.set(census.longest_wait_seconds)
        self._held.set(census.held_millicredits / 1000)


@asynccontextmanager
async def serve_metrics(listen: str, metrics: ProcessMetrics) -> AsyncIterator[str]:
    """Serves `/metrics` over HTTP on this loop and yields the address bound. Raises OSError if it cannot be bound."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=await metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application(middlewares=[refuse_long_heads])
    app.router.add_get("/metrics", answer)
    runner = http_runner(app)
    await runner.setup()
    try:
        host, port = listen_parts(listen)
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        yield listen_address(f"{listen.rpartition(':')[0]}:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
