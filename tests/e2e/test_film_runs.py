"""SIGKILL in the middle of a film: the next server, or the other replica, makes the rest, and pays nothing twice."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import film_pb2, video_pb2
from tests.e2e.conftest import SomeMoments
from tests.e2e.holds import PROGRAM, Holds
from tests.e2e.rig import visible
from tests.postgres import Postgres
from tests.rpc.films import SHORT, approved, film_until, outputs_of, planned, start_request
from tests.serving import ALL_KINDS, Api, Control, ServerProcess

SUCCEEDED = video_pb2.FILM_STATE_SUCCEEDED
AWAITS = video_pb2.FILM_STATE_AWAITING_APPROVAL
STORYBOARD, CLIPS = video_pb2.FILM_GATE_STORYBOARD, video_pb2.FILM_GATE_CLIPS
BEGUN = ("start whole", "start committed", "children whole", "children committed", "output whole", "output committed")
ASKED = ("gate whole", "gate committed", "approval whole", "approval committed")
CUT = ("render segment", "render segments", "render mix", "publish .mp4", "export whole", "export committed")
TOLD = ("publish .vtt", "publish .srt", "publish .otio", "publish .json", "publish film.json", "over whole")
MOMENTS = (*BEGUN, *ASKED, "children committed", *ASKED, *CUT, *TOLD, "over committed")
"""Where the server dies, from the start of a run to its end and past two gates, one after the other; see `held`."""
STAGES = ("output whole", "approval committed", "children committed", "render mix", "publish .otio")
"""Where a replica dies, in each stage."""
SMALL = film_pb2.FilmSettings(profiles=[film_pb2.ExportProfile(name="small", width=160, height=90)])


@pytest.fixture
async def holds(tmp_path: Path) -> AsyncIterator[Holds]:
    async with Holds(tmp_path / "held").open() as opened:
        yield opened


async def jobs_of(api: Api, project: str) -> list[video_pb2.Job]:
    asked = video_pb2.ListVideosRequest(project_id=project, page_size=200, kinds=ALL_KINDS)
    return list((await api.video.ListVideos(asked)).jobs)


async def check(api: Api, sandbox: Control, project: str, film: film_pb2.Film) -> None:
    """All is there, each output by one job, and our books are those of the provider."""
    outputs, jobs = outputs_of(film), await jobs_of(api, project)
    assert {output.currency for output in outputs.values()} == {film_pb2.CURRENCY_CURRENT}
    assert {output.take for output in outputs.values()} == {1}
    assert sorted(job.job_id for job in jobs) == sorted(output.job_id for output in outputs.values())
    assert {job.state for job in jobs} == {video_pb2.JOB_STATE_SUCCEEDED}
    tasks = {task["id"]: task["chargedCredits"] for task in await sandbox.tasks()}
    ours = {job.provider_task_id: job.charged_credits for job in jobs}
    assert {task: tasks[task] for task in ours} == ours
    assert film.status.spent_credits == sum(ours.values()) <= film.status.max_credits
    assert film.status.reserved_credits == 0


async def directed(api: Api, start: film_pb2.StartFilmRequest) -> film_pb2.Film:
    """Starts the film, unless it was, and approves all that it asks until it is made."""
    assert (await api.film.StartFilm(start)).film.status.run == 1
    before: list[video_pb2.FilmStatus] = []
    while (film := await film_until(api, start.project_id, AWAITS, SUCCEEDED)).status.state == AWAITS:
        for status in before:
            # What was approved before passes nothing more.
            again = await approved(api, status)
            assert (again.state, again.gate, again.revision) == (AWAITS, film.status.gate, film.status.revision)
        # Of two calls at once only one does anything.
        await asyncio.gather(approved(api, film.status), approved(api, film.status))
        before = [film.status]
    return film


class Directing:
    """A caller who goes on by another server whenever one dies."""

    def __init__(self, start: film_pb2.StartFilmRequest) -> None:
        self._start = start
        self._task: asyncio.Task[film_pb2.Film] | None = None

    def at(self, api: Api) -> None:
        self._task = asyncio.create_task(directed(api, self._start))

    async def cut_off(self) -> None:
        """Waits for the call that breaks with its server, if there is one."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        assert self._task.cancelled() or isinstance(self._task.exception(), grpc.aio.AioRpcError | None)

    async def made(self) -> film_pb2.Film:
        assert self._task is not None
        return await self._task


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_a_server_killed_anywhere_in_a_film_leaves_it_to_the_next(
    tmp_path: Path,
    sandbox: Control,
    holds: Holds,
    request: pytest.FixtureRequest,
    database: str,
    moments: SomeMoments[str],
) -> None:
    data, changes = tmp_path / "data", {"PYTEST_HELD": str(tmp_path / "held")}
    if database == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        changes |= {"EVERGREEN_DATABASE_URL": postgres.create(), "EVERGREEN_STORAGE_URL": data.as_uri()}
    async with ServerProcess(data, sandbox.url, changes, program=PROGRAM) as server:
        api = await server.start()
        directing = Directing(await planned_start(api))
        directing.at(api)
        for moment in moments(MOMENTS, database):
            holds.at(moment)
            assert await holds.reached() == server.pid
            await killed(server, rendering=moment.startswith("render"))
            await directing.cut_off()
            api = await server.start()
            directing.at(api)

        await check(api, sandbox, "film", await directing.made())
    check_exports(data)


async def test_replicas_that_are_killed_in_each_stage_of_a_film_leave_it_to_the_other(
    tmp_path: Path, sandbox: Control, holds: Holds, request: pytest.FixtureRequest
) -> None:
    postgres: Postgres = request.getfixturevalue("postgres")
    changes = {
        "PYTEST_HELD": str(tmp_path / "held"),
        "EVERGREEN_DATABASE_URL": postgres.create(),
        "EVERGREEN_STORAGE_URL": (tmp_path / "scenes").as_uri(),
    }
    async with (
        ServerProcess(tmp_path / "one", sandbox.url, changes, program=PROGRAM) as one,
        ServerProcess(tmp_path / "two", sandbox.url, changes, program=PROGRAM) as two,
    ):
        apis = {one: await one.start(), two: await two.start()}
        directing = Directing(await planned_start(apis[one]))
        directing.at(apis[one])
        for moment in STAGES:
            holds.at(moment)
            pid = await holds.reached()
            dead, other = (one, two) if pid == one.pid else (two, one)
            await killed(dead, rendering=moment.startswith("render"))
            await directing.cut_off()
            # It is the other one's by now, whether this one comes back or not.
            directing.at(apis[other])
            apis[dead] = await dead.start()

        await check(apis[other], sandbox, "film", await directing.made())
    check_exports(tmp_path / "scenes")


async def planned_start(api: Api) -> film_pb2.StartFilmRequest:
    film = (await planned(api, project_id="film", script=SHORT, settings=SMALL)).film
    return start_request("film", max_credits=film.quote.credits, gates=[STORYBOARD, CLIPS], stop_after=0)


async def killed(server: ServerProcess, *, rendering: bool) -> None:
    """Kills a server, with which its renderers end."""
    pid = server.pid
    assert renderers_of(pid) or not rendering
    await server.end(signal.SIGKILL)
    async with asyncio.timeout(30):
        # The system ends them, and tells nobody.
        while renderers_of(pid):  # noqa: ASYNC110  # as said
            await asyncio.sleep(0.01)


def renderers_of(server: int) -> list[int]:
    """The renderers that were told that this is their server."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        # A process may end while it is looked at.
        with suppress(FileNotFoundError, ProcessLookupError):
            words = path.read_bytes().split(b"\0")
            if b"evergreen_server.media.render" in words and str(server).encode() in words:
                found.append(int(path.parent.name))
    return found


def check_exports(data: Path) -> None:
    """One export is there, with all that lies beside it."""
    names = visible(data / "projects" / "film" / "movie" / "exports")
    assert sorted(name.rpartition(".")[2] for name in names) == ["json", "mp4", "otio", "srt", "vtt"]
    assert len({name.rpartition(".")[0] for name in names}) == 1
