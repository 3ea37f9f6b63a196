"""Stores of films over a test's database."""

from collections.abc import Callable
from datetime import datetime

from evergreen_server.film.plans.store import FilmStore
from evergreen_server.film.runs.events import FilmEvents
from evergreen_server.jobs.db.database import Database
from evergreen_server.rpc.messages.events import EventWire
from tests.jobs.tools import store_of


def film_events() -> FilmEvents:
    return FilmEvents(EventWire())


def film_store_of(database: Database, clock: Callable[[], datetime], **bounds: int) -> FilmStore:
    jobs = store_of(database, clock=clock)
    return FilmStore(database=database, jobs=jobs, clock=clock, events=film_events(), **bounds)
