"""What the legs of runs work with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from evergreen_server.film.assembling.assembler import Assembler
from evergreen_server.film.assembling.beginnings import Beginnings
from evergreen_server.film.model import Plan
from evergreen_server.film.runs.store import RunStore
from evergreen_server.film.runs.survey import Surveyor
from evergreen_server.jobs.intake import Intake
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.wakeups import Wakeups
from evergreen_server.ports.catalog import ModelTable
from evergreen_server.runtime.threads import OwnThreads


class Plans(Protocol):
    """Reads the plans of films."""

    async def plan(self, project_id: str, film_id: str, plan_revision: int) -> Plan: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmContext:
    """The collaborators of runs."""

    runs: RunStore
    plans: Plans
    jobs: JobStore
    intake: Intake
    surveyor: Surveyor
    beginnings: Beginnings
    table: ModelTable
    wakeups: Wakeups
    threads: OwnThreads
    """Where looks are taken, projects in turn."""
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    assembler: Assembler | None = None
    """None where nothing is rendered."""
    films_of: dict[str, str] = field(default_factory=dict)
    """By job under way, the film whose run waits for it here."""
