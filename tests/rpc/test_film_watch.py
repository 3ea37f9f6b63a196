"""Films on the one watch: every change of a run once and in order, for those alone who ask for films."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio

from evergreen.v1 import film_pb2, video_pb2
from tests.postgres import Postgres
from tests.rpc.films import approved, cancelled, film_of, film_until, planned, started
from tests.rpc.refusals import invalid, refusal
from tests.serving import WAIT_SECONDS, Api, open_sandbox, reason_of, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

Kind = video_pb2.FilmEventKind
SUCCEEDED = video_pb2.FILM_STATE_SUCCEEDED
STORYBOARD = video_pb2.FILM_GATE_STORYBOARD


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    data, changes = tmp_path_factory.mktemp("watched"), {}
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        changes = {"EVERGREEN_DATABASE_URL": postgres.create(), "EVERGREEN_STORAGE_URL": data.as_uri()}
    async with open_sandbox() as sandbox, serving(data, sandbox.url, **changes) as opened:
        yield opened


@pytest.fixture
def project() -> str:
    """A project of its own for each test, since they share the server."""
    return f"p-{uuid4().hex[:12]}"


def script_of(project: str) -> str:
    return f"Title: {project}\nAuthor: A\n\nINT. KITCHEN - DAY\n\nA kettle for {project}.\n\nANNA\nTea, {project}.\n"


async def watched(
    api: Api, project: str, *, events: int | None = None, opened: asyncio.Event | None = None, **fields: object
) -> list[video_pb2.WatchProgressResponse]:
    """What a watch is sent: to its end, or up to so many events. `opened` is set by its first message."""
    request = video_pb2.WatchProgressRequest(project_id=project, **fields)
    call, got = api.video.WatchProgress(request), list[video_pb2.WatchProgressResponse]()
    async with asyncio.timeout(WAIT_SECONDS):
        async for message in call:
            got.append(message)
            if opened is not None:
                opened.set()
            if events is not None and sum(one.HasField("film_event") for one in got) == events:
                break
    call.cancel()
    return got


def kinds_of(messages: list[video_pb2.WatchProgressResponse]) -> list[str]:
    events = [message.film_event for message in messages if message.HasField("film_event")]
    return [Kind.Name(event.kind).removeprefix("FILM_EVENT_KIND_") for event in events]


async def test_a_run_is_watched_from_its_start_to_its_end(api: Api, project: str) -> None:
    await planned(api, project_id=project, script=script_of(project))
    opened = asyncio.Event()
    watching = asyncio.create_task(watched(api, project, opened=opened, film_ids=["movie"]))
    await opened.wait()
    status = await started(api, project, gates=[STORYBOARD])
    waiting = await film_until(api, project, video_pb2.FILM_STATE_AWAITING_APPROVAL)
    await approved(api, waiting.status)
    messages = await watching
    replayed = await watched(api, project, film_ids=["movie"], after_revision=0)
    film = await film_of(api, project)

    told = [kind for kind in kinds_of(messages) if kind != "PROGRESS"]
    assert told[0] == "SNAPSHOT"
    assert [kind for kind in told if kind not in ("OUTPUT_READY", "STAGE_CHANGED", "SNAPSHOT")] == [
        "STARTED",
        "AWAITING_APPROVAL",
        "APPROVED",
        "SUCCEEDED",
    ]
    assert [kind for kind in kinds_of(replayed) if kind != "PROGRESS"] == ["PLANNED", *told[1:]]
    revisions = [message.revision for message in messages]
    assert revisions == sorted(revisions)
    shares = [message.film_event.film.progress for message in messages if message.HasField("film_event")]
    assert shares == sorted(shares)
    last = messages[-1].film_event.film
    assert (last.run, last.state, last.progress, last.clips.done) == (status.run, SUCCEEDED, 1.0, 1)
    # Those of the plan are told by GetFilm alone.
    film.status.ClearField("warnings")
    assert last == film.status


async def test_films_are_told_to_those_alone_who_ask(api: Api, project: str) -> None:
    await planned(api, project_id=project, script=script_of(project))
    await started(api, project, stop_after=video_pb2.FILM_STAGE_STORYBOARD)
    await film_until(api, project, SUCCEEDED)
    kinds = [video_pb2.MEDIA_KIND_IMAGE, video_pb2.MEDIA_KIND_SPEECH]

    async def replay(**fields: object) -> list[video_pb2.WatchProgressResponse]:
        request = video_pb2.WatchProgressRequest(project_id=project, after_revision=0, kinds=kinds, **fields)
        got = list[video_pb2.WatchProgressResponse]()
        call = api.video.WatchProgress(request)
        async with asyncio.timeout(WAIT_SECONDS):
            async for message in call:
                if message.HasField("checkpoint"):
                    break
                got.append(message)
        call.cancel()
        return got

    plain, whole = await replay(), await replay(include_films=True)

    assert {message.WhichOneof("body") for message in plain} == {"event"}
    assert [message for message in whole if message.HasField("event")] == plain
    assert {message.event.job.film_id for message in plain} == {"movie"}
    assert kinds_of(whole)[0] == "PLANNED"
    assert kinds_of(whole)[-1] == "SUCCEEDED"
    # Each of its jobs was over before the run was.
    assert max(message.revision for message in plain) < whole[-1].revision


async def test_a_project_that_is_watched_with_its_films_begins_with_those_that_are_not_over(
    api: Api, project: str
) -> None:
    for film_id, prefix in (("movie", "a"), ("other", "b")):
        settings = film_pb2.FilmSettings(scene_prefix=prefix)
        await planned(api, project_id=project, film_id=film_id, script=script_of(project), settings=settings)
    await cancelled(api, await started(api, project))
    await film_until(api, project, video_pb2.FILM_STATE_CANCELLED)

    unfinished = await watched(api, project, include_films=True, events=1)
    everything = await watched(api, project, include_films=True, include_finished=True, events=2)

    assert [message.film_event.film.film_id for message in unfinished] == ["other"]
    films = [message.film_event.film for message in everything if message.HasField("film_event")]
    assert {film.film_id: film.state for film in films} == {
        "movie": video_pb2.FILM_STATE_CANCELLED,
        "other": video_pb2.FILM_STATE_PLANNED,
    }


async def test_every_fault_of_a_watch_of_films_is_named(api: Api, project: str) -> None:
    request = video_pb2.WatchProgressRequest(film_ids=["movie", "no way"], job_ids=["x"], after_revision=-1)
    many = video_pb2.WatchProgressRequest(project_id=project, film_ids=["movie"] * 101)

    assert set(await invalid(api.video.WatchProgress(request).read())) == {
        "project_id",
        "film_ids[1]",
        "after_revision",
    }
    assert set(await invalid(api.video.WatchProgress(many).read())) == {"film_ids"}
    await planned(api, project_id=project, script=script_of(project))
    missing = video_pb2.WatchProgressRequest(project_id=project, film_ids=["movie", "none"])
    error = await refusal(api.video.WatchProgress(missing).read())
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.NOT_FOUND, "FILM_NOT_FOUND")


async def test_a_watch_of_a_film_that_is_deleted_ends(api: Api, project: str) -> None:
    await planned(api, project_id=project, script=script_of(project))
    opened = asyncio.Event()
    watching = asyncio.create_task(watched(api, project, opened=opened, film_ids=["movie"]))
    await opened.wait()
    await api.film.DeleteFilm(film_pb2.DeleteFilmRequest(project_id=project, film_id="movie"))
    messages = await watching
    late = video_pb2.WatchProgressRequest(project_id=project, film_ids=["movie"], after_revision=messages[0].revision)
    error = await refusal(api.video.WatchProgress(late).read())

    assert kinds_of(messages) == ["SNAPSHOT", "DELETED"]
    assert messages[-1].film_event.film.film_id == "movie"
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.NOT_FOUND, "FILM_NOT_FOUND")


async def test_a_watch_that_is_left_leaves_its_film_alone(api: Api, project: str) -> None:
    await planned(api, project_id=project, script=script_of(project))
    await started(api, project)
    async with aclosing(_messages(api, project)) as messages:
        await anext(messages)
    film = await film_until(api, project, SUCCEEDED)

    assert film.status.clips.done == 1


async def _messages(api: Api, project: str) -> AsyncIterator[video_pb2.WatchProgressResponse]:
    call = api.video.WatchProgress(video_pb2.WatchProgressRequest(project_id=project, film_ids=["movie"]))
    try:
        async for message in call:
            yield message
    finally:
        call.cancel()
