"""The door for new jobs, used with values alone, as whatever accepts work without a wire uses it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.assets import AssetCheck, AssetsMissing
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import inline_media, jobs
from evergreen_server.jobs.intake import (
    MAX_INLINE_BYTES,
    Accepted,
    CreditsExceeded,
    GenerationRequest,
    Intake,
)
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.errors import RequestReused
from evergreen_server.jobs.model.job import JobRequest
from evergreen_server.jobs.model.names import FILM_REQUESTS
from evergreen_server.jobs.model.states import OnUnknownSubmission, State
from evergreen_server.jobs.store.backlog import Backlog, QueueFull
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.ledger import Caps, PriceUnknown, ProjectCreditsExceeded
from evergreen_server.jobs.store.project_lock import SceneBusy
from evergreen_server.ports.specs import FieldError, GenerationSpec, InvalidRequest, Kind, Media, Role
from evergreen_server.providers.runway.catalog.models import RunwayModels
from evergreen_server.runtime.ids import JobIds
from evergreen_server.runtime.shield import ProtectedTasks
from evergreen_storage import MemoryStorage, SceneStore

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SPEC = GenerationSpec(model="gen4.5", prompt_text="a rocket rises", ratio="1280:720", duration_seconds=2)
REQUEST = GenerationRequest(project_id="film", scene_id="scene-1", request_id="one", digest="one", spec=SPEC)
PRICE = 24_000
"""Of REQUEST, in millicredits."""
PICTURE = b"bytes of a picture"
INLINE = Media(role=Role.FIRST_FRAME, digest=hashlib.sha256(PICTURE).hexdigest())


class Sources:
    """Takes every URL of https, and every file that says that it is a picture."""

    def uri_error(self, uri: str) -> str | None:
        return None if uri.startswith("https:") else "must be https"

    def misfit(self, head: bytes, kind: Kind) -> str:
        return "" if b"picture" in head else f"the file is no {kind.value}"


class Unpriced(RunwayModels):
    """Models of which no price is known."""

    def quote(self, _spec: GenerationSpec) -> int | None:
        return None


class Door(NamedTuple):
    """An intake, and what it accepts into."""

    intake: Intake
    database: Database
    changes: list[Change]

    async def count(self) -> int:
        """Counts the jobs that there are."""
        return await self.database.read(
            lambda db: db.execute(sa.select(sa.func.count()).select_from(jobs)).scalar_one()
        )


def no_scenes() -> SceneStore:
    return SceneStore(MemoryStorage(clock=lambda: NOW), clock=lambda: NOW)


def door_to(
    database: Database,
    *,
    models: RunwayModels | None = None,
    caps: Caps | None = None,
    backlog: Backlog | None = None,
    busy: bool = False,
    scenes: SceneStore | None = None,
) -> Door:
    """An intake over a database, under these rules."""
    changes: list[Change] = []

    def refuse(_db: sa.Connection, _request: JobRequest) -> None:
        if busy:
            raise SceneBusy("the scene is being deleted")

    store = JobStore(
        database=database,
        replica_id="local",
        clock=lambda: NOW,
        encode_event=lambda _kind, _job, _at: b"",
        enqueue=lambda _db, _job: "",
        changed=changes.extend,
        caps=caps or Caps(),
        backlog=backlog,
        refuse=refuse,
    )
    ids = JobIds(lambda: NOW)
    intake = Intake(
        store=store,
        models=models or RunwayModels(),
        media=Sources(),
        assets=AssetCheck(scenes=scenes or no_scenes(), heads=Sources(), shield=ProtectedTasks(grace_seconds=1)),
        clock=lambda: NOW,
        new_id=ids.new,
    )
    return Door(intake, database, changes)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as opened:
        yield opened


async def test_a_request_in_values_becomes_a_job_with_its_price_and_its_defaults(database: Database) -> None:
    door = door_to(database)

    accepted = await door.intake.accept(REQUEST)

    job = accepted.job
    assert not accepted.known
    assert (job.state, job.estimated_millicredits, job.request.spec) == (State.QUEUED, PRICE, SPEC)
    assert (job.request.start_by, job.request.finish_by) == (NOW + timedelta(hours=24), None)
    assert (job.request.max_attempts, job.request.max_millicredits) == (1, None)
    assert [change.job_id for change in door.changes] == [job.job_id]


async def test_everything_that_a_request_asks_is_stored(database: Database) -> None:
    door = door_to(database)
    asked = replace(
        REQUEST,
        spec=replace(SPEC, media=(INLINE,)),
        inline={INLINE.digest or "": PICTURE},
        priority=-7,
        max_attempts=3,
        on_unknown_submission=OnUnknownSubmission.RESUBMIT,
        max_credits=PRICE / 1000,
        start_by=NOW + timedelta(minutes=1),
        finish_by=NOW + timedelta(minutes=2),
        labels={"take": "2"},
    )

    job = (await door.intake.accept(asked)).job

    assert job.request == JobRequest(
        project_id="film",
        scene_id="scene-1",
        request_id="one",
        digest="one",
        spec=asked.spec,
        priority=-7,
        max_attempts=3,
        on_unknown_submission=OnUnknownSubmission.RESUBMIT,
        max_millicredits=PRICE,
        start_by=NOW + timedelta(minutes=1),
        finish_by=NOW + timedelta(minutes=2),
        labels={"take": "2"},
    )
    kept = await database.read(lambda db: db.execute(sa.select(inline_media.c.digest, inline_media.c.data)).all())
    assert [tuple(row) for row in kept] == [(INLINE.digest, PICTURE)]


async def test_the_same_request_again_finds_its_job_and_another_is_refused(database: Database) -> None:
    door = door_to(database)
    first = await door.intake.accept(REQUEST)

    again = await door.intake.accept(REQUEST)
    with pytest.raises(RequestReused) as caught:
        await door.intake.accept(replace(REQUEST, digest="another"))

    assert again == Accepted(job=first.job, known=True)
    assert caught.value.job_id == first.job.job_id
    assert await door.count() == 1


async def test_the_ids_of_a_films_requests_are_refused(database: Database) -> None:
    door = door_to(database)
    forged = replace(REQUEST, request_id=f"{FILM_REQUESTS}{'0' * 64}")

    with pytest.raises(InvalidRequest) as caught:
        await door.intake.accept(forged)

    assert [error.field for error in caught.value.field_errors] == ["request_id"]
    assert await door.count() == 0


async def test_of_equal_requests_at_once_one_makes_the_job_and_the_others_know_it(database: Database) -> None:
    door = door_to(database)

    answers = await asyncio.gather(*(door.intake.accept(REQUEST) for _ in range(10)))

    assert len({answer.job.job_id for answer in answers}) == 1
    assert sorted(answer.known for answer in answers) == [False, *[True] * 9]
    assert await door.count() == 1


@pytest.mark.parametrize("field", ["ratio", "start_by", "max_credits", "price"])
async def test_an_accepted_request_stays_accepted_whatever_the_rules_are_by_now(database: Database, field: str) -> None:
    first = await door_to(database).intake.accept(REQUEST)
    refused = {
        "ratio": replace(REQUEST, spec=replace(SPEC, ratio="1:9")),
        "start_by": replace(REQUEST, start_by=NOW),
        "max_credits": replace(REQUEST, max_credits=1),
        "price": replace(REQUEST, max_credits=1),
    }[field]
    door = door_to(database, models=Unpriced() if field == "price" else None)

    # The digest says that it is the same request, so what is wrong with it by now is not asked.
    again = await door.intake.accept(refused)
    with pytest.raises(RequestReused):
        await door.intake.accept(replace(refused, digest="another"))
    with pytest.raises((InvalidRequest, CreditsExceeded, PriceUnknown)):
        await door.intake.accept(replace(refused, request_id="new"))

    assert again == Accepted(job=first.job, known=True)


async def test_every_field_error_is_named_at_once_in_the_order_of_the_fields(database: Database) -> None:
    door = door_to(database)
    wrong = GenerationRequest(
        project_id="../film",
        scene_id="",
        request_id="",
        digest="",
        spec=replace(
            SPEC,
            ratio="1:9",
            media=(
                Media(role=Role.FIRST_FRAME, uri="ftp://x"),
                Media(role=Role.LAST_FRAME, asset="../x"),
                Media(role=Role.REFERENCE_VIDEO, digest="00"),
            ),
        ),
        inline={"00": bytes(MAX_INLINE_BYTES + 1)},
        max_attempts=0,
        priority=101,
        max_credits=float("nan"),
        labels={"": "x"},
        start_by=NOW,
        finish_by=NOW - timedelta(seconds=1),
    )

    with pytest.raises(InvalidRequest) as caught:
        await door.intake.accept(wrong)

    named = [error.field for error in caught.value.field_errors]
    envelope = ["max_attempts", "priority", "max_credits", "labels[]", "start_by", "finish_by"]
    assert named[:7] == [
        "project_id",
        "request_id",
        "scene_id",
        "media[0].uri",
        "media[1].asset",
        "media[2].data",
        "media",
    ]
    assert "ratio" in named[7:-6]
    assert named[-6:] == envelope
    assert await door.count() == 0


async def test_what_an_edge_could_not_read_is_named_in_its_place_beside_the_rest(database: Database) -> None:
    door = door_to(database)
    unread = [FieldError(field=name, description="not readable") for name in ("media[1].role", "start_by")]
    asks = FieldError(field="on_unknown_submission", description="not readable")
    media = (Media(role=Role.FIRST_FRAME, uri="ftp://x"), INLINE)
    wrong = replace(
        REQUEST,
        spec=replace(SPEC, ratio="1:9", media=media),
        unread_media={1: unread[0]},
        on_unknown_submission=asks,
        start_by=unread[1],
        finish_by=NOW,
        labels={"": "x"},
    )

    with pytest.raises(InvalidRequest) as caught:
        await door.intake.accept(wrong)

    # Without the model's rules, since what is to be made may be something else.
    assert [error.field for error in caught.value.field_errors] == [
        "media[0].uri",
        "media[1].role",
        "media[2].data",
        "on_unknown_submission",
        "labels[]",
        "start_by",
        "finish_by",
    ]


async def test_a_request_may_cost_no_more_than_its_own_limit(database: Database) -> None:
    door, unpriced = door_to(database), door_to(database, models=Unpriced())
    below = replace(REQUEST, max_credits=PRICE / 1000 - 1)

    for ask in (door.intake.accept, door.intake.quote):
        with pytest.raises(CreditsExceeded) as caught:
            await ask(below)
        assert caught.value.estimate == PRICE
    for ask in (unpriced.intake.accept, unpriced.intake.quote):
        with pytest.raises(PriceUnknown):
            await ask(below)

    assert await door.count() == 0


async def test_a_request_may_not_take_its_project_beyond_its_cap(database: Database) -> None:
    door = door_to(database, caps=Caps(projects={"film": PRICE}))
    await door.intake.accept(REQUEST)
    second = replace(REQUEST, request_id="two", digest="two")

    for ask in (door.intake.accept, door.intake.quote):
        with pytest.raises(ProjectCreditsExceeded) as caught:
            await ask(second)
        assert (caught.value.cap, caught.value.totals.reserved, caught.value.estimate) == (PRICE, PRICE, PRICE)

    assert not (await door.intake.accept(replace(second, project_id="other"))).known


async def test_a_full_queue_and_a_busy_scene_refuse_what_is_new_and_nothing_that_is_known(database: Database) -> None:
    first = await door_to(database).intake.accept(REQUEST)
    full, busy = door_to(database, backlog=Backlog(1)), door_to(database, busy=True)
    second = replace(REQUEST, request_id="two", digest="two")

    with pytest.raises(QueueFull):
        await full.intake.accept(second)
    with pytest.raises(SceneBusy):
        await busy.intake.accept(second)

    assert await full.intake.accept(REQUEST) == await busy.intake.accept(REQUEST) == Accepted(job=first.job, known=True)
    assert await full.count() == 1


async def test_a_quote_records_nothing_and_looks_the_request_up(database: Database) -> None:
    door = door_to(database)

    assert await door.intake.quote(REQUEST) == PRICE
    assert await door_to(database, models=Unpriced()).intake.quote(REQUEST) is None
    assert await door.count() == 0
    await door.intake.accept(REQUEST)
    assert await door.intake.quote(REQUEST) == PRICE
    with pytest.raises(RequestReused):
        await door.intake.quote(replace(REQUEST, digest="another"))
    with pytest.raises(RequestReused):
        await door.intake.quote(replace(REQUEST, digest="another", start_by=NOW))
    with pytest.raises(InvalidRequest):
        await door.intake.quote(replace(REQUEST, start_by=NOW))


async def test_a_request_is_known_whatever_became_of_its_files(database: Database) -> None:
    scenes = no_scenes()
    await scenes.add("film", "scene-1", "images/hero.png", PICTURE, "image/png")
    door = door_to(database, scenes=scenes)
    asked = replace(REQUEST, spec=replace(SPEC, media=(Media(role=Role.FIRST_FRAME, asset="images/hero.png"),)))
    first = await door.intake.accept(asked)

    await scenes.discard("film", "scene-1", "images/hero.png")
    again = await door.intake.accept(asked)
    quoted = await door.intake.quote(asked)
    with pytest.raises(AssetsMissing) as caught:
        await door.intake.accept(replace(asked, request_id="two", digest="two"))

    assert again == Accepted(job=first.job, known=True)
    assert quoted == PRICE
    assert [error.field for error in caught.value.field_errors] == ["media[0].asset"]
    assert await door.count() == 1


async def test_bytes_that_are_surely_no_picture_are_refused(database: Database) -> None:
    door = door_to(database)
    text = b"Dear sir, enclosed please find"
    media = replace(INLINE, digest=hashlib.sha256(text).hexdigest())
    asked = replace(REQUEST, spec=replace(SPEC, media=(media,)), inline={media.digest or "": text})

    with pytest.raises(InvalidRequest) as caught:
        await door.intake.accept(asked)

    assert caught.value.field_errors == (FieldError(field="media[0].data", description="the file is no picture"),)
    assert await door.count() == 0
