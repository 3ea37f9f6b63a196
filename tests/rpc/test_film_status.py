"""The messages about a film: what each has room for."""

from dataclasses import replace
from datetime import UTC, datetime

from evergreen.v1 import video_pb2
from evergreen_server.film.model import FilmWarning
from evergreen_server.film.runs.films import Film, FilmState
from evergreen_server.film.runs.run import MOST_WARNINGS, FilmRun, RunState, RunTrouble, Terms
from evergreen_server.jobs.model.held import Held
from evergreen_server.rpc.messages.film_status import fill_status, listed_status
from evergreen_server.rpc.services.film import MAX_PAGE_SIZE
from tests.film.planned import plan_of, stored_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LARGEST = 4 * 2**20
"""What a gRPC client takes in a message, if nobody says otherwise."""


def troubled() -> Film:
    """A film with as much to tell as one may have."""
    told = "x" * 500
    run = FilmRun(
        project_id="film",
        film_id="movie",
        run=1,
        plan_revision=1,
        terms=Terms(),
        money=Held(approved=1000),
        state=RunState.NEEDS_ATTENTION,
        troubles=(RunTrouble(item_id="scene-1.1", output="clip", job_id="j", reason="R", message=told),) * 600,
        warnings=tuple(FilmWarning(code="PICTURE_HELD", message=f"{number} {told}") for number in range(MOST_WARNINGS)),
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(stored_of(plan_of()).film, state=FilmState.NEEDS_ATTENTION, run=run)


def test_a_page_of_the_most_troubled_films_can_be_read_by_any_client() -> None:
    listed = listed_status(troubled())

    assert MAX_PAGE_SIZE * listed.ByteSize() < LARGEST / 4
    assert (listed.trouble_count, list(listed.troubles), list(listed.warnings)) == (600, [], [])


def test_a_film_alone_tells_as_much_as_the_contract_says() -> None:
    status = video_pb2.FilmStatus()
    fill_status(status, troubled())

    assert (status.trouble_count, len(status.troubles), len(status.warnings)) == (600, 20, 100)
    assert status.warnings[0].message.startswith("0 ")
