"""What a job finds under its name is its own only by its record; all else is left alone, and gets another name."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.execution.context import StepContext
from evergreen_server.jobs.execution.deliver import deliver
from evergreen_server.jobs.execution.files import Kept, find, keep
from evergreen_server.jobs.execution.kinds.videos import VideoDeliverer
from evergreen_server.jobs.model.errors import Superseded
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.ports.media import Clip, MediaRefused
from evergreen_server.ports.provider import Download, NotOurs, Task, TaskState
from evergreen_server.ports.specs import MediaKind
from evergreen_storage import Asset, LocalStorage, SceneStore, Sealed, Unavailable, open_storage
from evergreen_storage.engines.disk import Traits
from tests.jobs.tools import context_of, request_at, store_of
from tests.postgres import Postgres

PATH, NEXT, LAST = "videos/job-1-1.mp4", "videos/job-1-1a.mp4", "videos/job-1-1z.mp4"


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Case:
    """A job of this execution, its scene, and how often its file was made."""

    context: StepContext
    store: JobStore
    scenes: SceneStore
    job: Job
    folder: Path
    made: int = 0

    async def make(self, path: str, sealed: Sealed) -> Asset:
        self.made += 1
        return await self.scenes.add("film", "scene-1", path, b"made by the job", "video/mp4", sealed=sealed)

    async def broken(self, path: str, sealed: Sealed) -> Asset:
        """Dies between the record and the name."""

        async def dies(size: int, crc32c: int) -> None:
            await sealed(size, crc32c)
            raise ConnectionError("the process is gone")

        return await self.make(path, dies)

    async def keep(self) -> Kept:
        return await keep(self.context, self.job, "mine", PATH, self.make)

    def plant(self, path: str, data: bytes = b"forged by other") -> None:
        file = self.folder / "projects/film/scene-1" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def read(self, path: str) -> bytes:
        return (self.folder / "projects/film/scene-1" / path).read_bytes()


@pytest.fixture(params=["sqlite", "postgresql"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(url))
        storage = await stack.enter_async_context(open_storage(tmp_path.as_uri()))
        store, scenes = store_of(database, clock=now), SceneStore(storage, clock=now)
        await store.accept(request_at(now()), job_id="job", estimated_millicredits=None, inline={})
        job = await store.claim("job", attempt=1, restarts=0, fencing_token="mine")
        assert job is not None
        yield Case(context=context_of(store, scenes=scenes), store=store, scenes=scenes, job=job, folder=tmp_path)


async def test_a_file_is_made_once_and_then_found_by_its_record(case: Case) -> None:
    first = await case.keep()
    second = await case.keep()

    assert (first.asset.path, first.warnings, case.made) == (PATH, (), 1)
    assert second == first
    assert await find(case.context, case.job, PATH) == first


async def test_a_record_without_its_file_is_no_file(case: Case) -> None:
    with pytest.raises(ConnectionError):
        await keep(case.context, case.job, "mine", PATH, case.broken)
    assert list(await case.store.files("job")) == [PATH]
    assert await find(case.context, case.job, PATH) is None

    kept = await case.keep()

    assert (kept.asset.path, kept.warnings, case.made) == (PATH, (), 2)


@pytest.mark.parametrize("forged", [b"forged by other", b"short", b"made by the job"])
@pytest.mark.parametrize("recorded", [False, True])
async def test_a_file_that_is_not_the_recorded_one_is_left_alone(case: Case, forged: bytes, recorded: bool) -> None:
    if recorded:
        with pytest.raises(ConnectionError):
            await keep(case.context, case.job, "mine", PATH, case.broken)
        if forged == b"made by the job":
            forged += b" and more"
    case.plant(PATH, forged)

    kept = await case.keep()
    again = await case.keep()

    assert again == kept
    assert kept.asset.path == NEXT
    assert [warning.code for warning in kept.warnings] == ["NAME_TAKEN"]
    assert (case.read(PATH), case.read(NEXT)) == (forged, b"made by the job")


async def test_names_are_tried_up_to_the_last_and_then_the_job_waits(case: Case) -> None:
    case.plant(PATH)
    for letter in "abcdefghijklmnopqrstuvwxy":
        case.plant(f"videos/job-1-1{letter}.mp4")

    assert (await case.keep()).asset.path == LAST
    case.plant(LAST)
    with pytest.raises(Unavailable, match="other files have this name"):
        await case.keep()


@pytest.mark.parametrize("other", ["a folder", "a link", "a dangling link"])
async def test_what_is_no_file_takes_the_name_too(case: Case, other: str) -> None:
    case.plant("videos/target", b"target")
    name = case.folder / "projects/film/scene-1" / PATH
    if other == "a folder":
        name.mkdir()
    else:
        name.symlink_to("target" if other == "a link" else "nothing")

    kept = await case.keep()

    assert (kept.asset.path, case.read("videos/target")) == (NEXT, b"target")


async def test_an_execution_that_was_superseded_gives_no_file_its_name(case: Case) -> None:
    await case.store.claim("job", attempt=1, restarts=0, fencing_token="newer")

    with pytest.raises(Superseded):
        await case.keep()

    assert await case.store.files("job") == {}
    assert not await case.scenes.holds("film", "scene-1", PATH)


async def test_a_name_in_other_letters_is_taken_where_the_disk_takes_both_for_one(case: Case) -> None:
    traits = Traits(case_sensitive=False, hard_links=True)
    storage = await LocalStorage.open(case.folder, clock=now, traits=traits)
    try:
        case.scenes = SceneStore(storage, clock=now)
        case.context = replace(case.context, scenes=case.scenes)
        case.plant("videos/JOB-1-1.mp4")

        kept = await case.keep()

        assert kept.asset.path == NEXT
        assert case.read("videos/JOB-1-1.mp4") == b"forged by other"
    finally:
        await storage.close()


class Provider:
    """Has one output, which it gives whole."""

    async def task(self, task_id: str) -> Task:
        urls = ("https://clips.example/one",)
        return Task(task_id=task_id, state=TaskState.SUCCEEDED, status="SUCCEEDED", output_urls=urls)

    @asynccontextmanager
    async def download(self, _url: str, *, offset: int) -> AsyncIterator[Download]:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"a clip"

        yield Download(chunks=chunks(), size=6, offset=offset, content_type="video/mp4")


@dataclass
class Paused:
    """Media tools of a replica that was paused: they refuse the clip only after `meanwhile`."""

    meanwhile: Callable[[], Awaitable[object]]

    def sniff(self, _head: bytes) -> str:
        return "video/mp4"

    async def probe(self, _path: Path, *, owner: str) -> Clip:
        await self.meanwhile()
        raise MediaRefused(f"the file of {owner} took longer than 30 s to decode", reason="MEDIA_REFUSED")


@pytest.mark.parametrize("cause", [Superseded, NotOurs])
async def test_a_clip_is_removed_by_nobody_whose_job_may_be_anothers_by_now(case: Case, cause: type[Exception]) -> None:
    lost = False

    async def meanwhile() -> None:
        nonlocal lost
        if cause is Superseded:
            await case.store.claim("job", attempt=1, restarts=0, fencing_token="newer")
        lost = cause is NotOurs

    def check() -> None:
        if lost:
            raise NotOurs("the lease ran out")

    delivering = {"state": State.RUNNING, "stage": Stage.DELIVERING, "submit_token": "token", "task_id": "task-1"}
    job = await case.store.command("job", lambda job: replace(job, **delivering))
    deliverers = {MediaKind.VIDEO: VideoDeliverer(Paused(meanwhile))}
    context = replace(
        case.context, provider=Provider(), deliverers=deliverers, media=Paused(meanwhile), lease_check=lambda: check
    )

    with pytest.raises(cause):
        await deliver(context, job, "mine")

    assert case.read("videos/job-1-1.mp4") == b"a clip"
