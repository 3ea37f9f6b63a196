"""Names that belong to jobs, in all spellings: nobody else writes to them, and nobody takes away what a job needs."""

from collections.abc import AsyncIterator, Awaitable

import grpc
import pytest
import pytest_asyncio

from evergreen.v1 import scene_pb2
from evergreen_server.jobs.model.states import State
from evergreen_server.ports.specs import Media, Role
from tests.rpc.refusals import invalid, metadata_of, refusal
from tests.rpc.scene_server import SceneApi, scene_serving
from tests.rpc.scenes import paths_of, scene_of, upload
from tests.serving import reason_of

BUSY = (grpc.StatusCode.FAILED_PRECONDITION, "SCENE_BUSY")
JOB = "01940b2f-9c1e-7abc-8def-0123456789ab"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SceneApi]:
    async with scene_serving(tmp_path_factory.mktemp("names") / "data") as opened:
        yield opened


RESERVED = [
    f"videos/{JOB}-1-1.mp4",
    f"videos/{JOB}-1-1.jpg",
    f"videos/{JOB}-1-1.mov",
    f"videos/{JOB}-1-1.zip",
    f"videos/{JOB}-1-1.webm",
    f"videos/{JOB}-1-1.png",
    f"videos/{JOB}-12-10.mp4",
    f"videos/{JOB}-1-1a.mp4",
    f"videos/{JOB}-1-1z.jpg",
    f"videos/{JOB}-1-1",
    f"videos/{JOB}-1-1.mp4.mp4",
    f"videos/{JOB}-1-1.MP4",
    f"videos/{JOB}-x",
    f"videos/{JOB}--1-1.mp4",
    f"videos/{JOB.upper()}-1-1.mp4",
    f"videos/{JOB.title()}-1-1.mp4",
    f"videos/{JOB}-1.mov",
    f"images/{JOB}-1.jpg",
    f"images/{JOB}-1.png",
    f"images/{JOB}-1.webp",
    f"images/{JOB}-9.jpg",
    f"images/{JOB}-1a.jpg",
    f"images/{JOB}-1-1.png",
    f"images/{JOB.upper()}-1.JPG",
    f"audio/{JOB}-1.mpeg",
    f"audio/{JOB}-1.wav",
    f"audio/{JOB}-1-1.mp3",
    f"exports/{JOB}-1-1.mp4",
    "exports/film-r1-wide-0a1b2c3d.mp4",
    "exports/film-r1-wide-0a1b2c3d.vtt",
    "exports/film-r1-wide-0a1b2c3d.json",
    "exports/FILM-R12-TALL-0a1b2c3d.srt",
    "exports/a_film-2-r1.otio",
    "exports/f-r1",
    "images/scene-2.1-first-0123456789abcdef.png",
    "images/Scene-2.1-FIRST-0123456789ABCDEFa.JPG",
]
FREE = [
    "images/hero.png",
    f"images/{JOB}.png",
    f"images/x{JOB}-1.png",
    # Of a version that no job's id has.
    "images/6f1c2b34-9c1e-4abc-8def-0123456789ab-1.png",
    "videos/clip-1-1.mp4",
    "exports/final.mp4",
    "exports/cut-rough.mp4",
    "images/film-r1-wide.png",
    "images/my-first-picture.png",
]
MALFORMED = [
    f"Videos/{JOB}-1-1.mp4",
    f"videos/./{JOB}-1-1.mp4",
    f"videos//{JOB}-1-1.mp4",
    f"videos/../videos/{JOB}-1-1.mp4",
    f"videos\\{JOB}-1-1.mp4",
    f"videos/{JOB}-1-1.mp4.",
    f"videos/{JOB}-1-1.mp4 ",
    f"videos/ {JOB}-1-1.mp4",
    f"videos/{JOB}-1-1.mp4\0",
    f"videos/{JOB}-1-1.mp4::$DATA",
    f"videos/{JOB}\u20101-1.mp4",
    f"videos/{JOB}\uff0d1-1.mp4",
    f"videos/\uff10{JOB[1:]}-1-1.mp4",
    f"videos/{JOB.replace('e', 'е')}-1-1.mp4",  # noqa: RUF001  # a Cyrillic letter, which is the point
    f"videos/\u202e{JOB}-1-1.mp4",
    f"videos/%30{JOB[1:]}-1-1.mp4",
    f"metadata/{JOB}.json",
    f"metadata/{JOB}-1.json",
    "metadata/scene.json",
    "metadata/scene.json.corrupt-1",
    "metadata/film.json",
    "exports/ﬁlm-r1-wide.mp4",
]


def delete(api: SceneApi, path: str) -> Awaitable[scene_pb2.DeleteAssetResponse]:
    return api.scene.DeleteAsset(scene_pb2.DeleteAssetRequest(project_id="film", scene_id="one", path=path))


async def refused(call: Awaitable[object], job_id: str) -> None:
    error = await refusal(call)
    assert (error.code(), reason_of(error), metadata_of(error)) == (*BUSY, {"job_id": job_id})


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("path", RESERVED)
async def test_a_name_of_a_job_or_film_is_refused_to_uploads(api: SceneApi, path: str, overwrite: bool) -> None:
    error = await refusal(upload(api, b"forged", path=path, overwrite=overwrite))

    assert (error.code(), reason_of(error)) == BUSY
    assert metadata_of(error) == ({"job_id": JOB} if JOB in path.lower() else {})
    assert "choose another" in (error.details() or "")


@pytest.mark.parametrize("path", FREE)
async def test_a_name_that_no_job_gives_is_free(api: SceneApi, path: str) -> None:
    await upload(api, b"mine", path=path)

    assert path in paths_of(await scene_of(api))
    await delete(api, path)


@pytest.mark.parametrize("path", MALFORMED, ids=ascii)
async def test_no_other_spelling_comes_near_to_such_a_name(api: SceneApi, path: str) -> None:
    faults = await invalid(upload(api, b"forged", path=path, overwrite=True))
    gone = await invalid(delete(api, path))

    assert list(faults) == ["info.path"]
    assert list(gone) == ["path"]


OWN = [
    "videos/{}-1-1.mp4",
    "videos/{}-1-1.jpg",
    "videos/{}-2-10.mp4",
    "videos/{}-1-1a.mp4",
    "videos/{}-1.mov",
    "images/{}-1.jpg",
    "images/{}-3a.png",
    "audio/{}-1.wav",
    "exports/{}-anything",
]


@pytest.mark.parametrize("spelled", [str.lower, str.upper])
@pytest.mark.parametrize("name", OWN)
async def test_a_file_of_a_job_is_not_deleted_before_the_job_is_final(api: SceneApi, name: str, spelled: type) -> None:
    job = await api.accept()
    path = name.format(spelled(job.job_id))

    await refused(delete(api, path), job.job_id)
    await api.end(job)

    assert reason_of(await refusal(delete(api, path))) in ("ASSET_NOT_FOUND", "SCENE_NOT_FOUND")


@pytest.mark.parametrize("states", [(), (State.RUNNING,), (State.RUNNING, State.NEEDS_ATTENTION), (State.CANCELLING,)])
@pytest.mark.parametrize("role", list(Role))
async def test_what_a_job_needs_is_neither_deleted_nor_replaced(
    api: SceneApi, role: Role, states: tuple[State, ...]
) -> None:
    path = "images/needed.bin"
    await upload(api, b"needed", path=path, overwrite=True)
    job = await api.accept(media=(Media(role=Role.FIRST_FRAME, digest="0"), Media(role=role, asset=path)))
    if states:
        await api.end(job, *states)

    await refused(delete(api, path), job.job_id)
    await refused(upload(api, b"another", path=path, overwrite=True), job.job_id)
    # What is there already is no change.
    await upload(api, b"needed", path=path)
    await api.end(job)

    await upload(api, b"another", path=path, overwrite=True)
    await delete(api, path)


NOT_NAMED = [
    "images/aXb.png",
    "images/a-b.png",
    "images/b.png",
    "images/a_b.pn",
    "images/a_b.png.png",
    "audio/a_b.png",
    "videos/in-a-prompt.mp4",
]


@pytest.mark.parametrize("path", NOT_NAMED)
async def test_what_no_job_needs_may_go(api: SceneApi, path: str) -> None:
    await upload(api, b"free", path=path)
    first = Media(role=Role.FIRST_FRAME, asset="images/a_b.png")
    jobs = [
        await api.accept(media=(first,), prompt_text='{"asset": "videos/in-a-prompt.mp4"}'),
        await api.accept("two", media=(Media(role=Role.REFERENCE, asset=path),)),
        await api.accept(project_id="other", media=(Media(role=Role.REFERENCE, asset=path),)),
    ]

    await upload(api, b"still free", path=path, overwrite=True)
    await delete(api, path)

    for job in jobs:
        await api.end(job)
