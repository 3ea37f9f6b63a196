"""Counts of rows: those of all replicas, made for whoever asks, a few seconds old at most."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Gauge

from evergreen_server.film.runs.census import FilmCensus
from evergreen_server.jobs.store.census import Census
from evergreen_server.webhooks.census import WebhookCensus

CENSUS_SECONDS = 5.0
WAIT_SECONDS = 3.0
"""For a database that does not answer; the last counts are told meanwhile, with their age."""

logger = logging.getLogger(__name__)


class RowCounts:
    """Jobs, films and webhooks by state, the queue, and credits."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        census: Callable[[], Awaitable[Census]],
        films: Callable[[], Awaitable[FilmCensus]],
        webhooks: Callable[[], Awaitable[WebhookCensus]],
        seconds: float = CENSUS_SECONDS,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._census, self._film_census, self._webhook_census = census, films, webhooks
        self._seconds, self._wait_seconds = seconds, wait_seconds
        self._asked, self._over = asyncio.Event(), asyncio.Event()
        self._counted_at, self._tried_at = time.monotonic(), float("-inf")
        age = Gauge("evergreen_counts_age_seconds", "Seconds since rows were counted.", registry=registry)
        age.set_function(lambda: time.monotonic() - self._counted_at)
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
        self._webhooks = Gauge("evergreen_webhooks", "Webhooks by state.", ["state"], registry=registry)
        self._failing = Gauge(
            "evergreen_webhooks_failing",
            "Active webhooks that have failed since their last success.",
            registry=registry,
        )
        self._pending = Gauge(
            "evergreen_webhook_pending_seconds",
            "Age of the oldest event that is still to be delivered; 0 where there is none.",
            registry=registry,
        )

    async def refresh(self) -> None:
        """Has rows counted again if that is due; keeps the last counts if the database does not answer in time.

        Only while `run` does.
        """
        if time.monotonic() - self._tried_at <= self._seconds:
            return
        if not self._asked.is_set():
            self._over.clear()
            self._asked.set()
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._over.wait()
        except TimeoutError as exc:
            _not_counted(exc)
        self._tried_at = time.monotonic()

    async def run(self) -> None:
        """Counts when asked, once at a time, however long that takes: a thread that counts cannot be stopped.

        Several of them would take all those that the database has for readers.
        """
        while True:
            await self._asked.wait()
            try:
                jobs, films = await self._census(), await self._film_census()
                webhooks = await self._webhook_census()
            except Exception as exc:
                # Whatever it is, the other metrics must tell of it.
                _not_counted(exc)
            else:
                self._take(jobs)
                self._take_films(films)
                self._take_webhooks(webhooks)
                self._counted_at = time.monotonic()
            self._asked.clear()
            self._over.set()

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

    def _take_webhooks(self, census: WebhookCensus) -> None:
        for state, number in census.by_state.items():
            self._webhooks.labels(state.value).set(number)
        self._failing.set(census.failing)
        self._pending.set(census.pending_seconds)


def _not_counted(exc: Exception) -> None:
    logger.warning("rows not counted", extra={"cause": type(exc).__name__})
