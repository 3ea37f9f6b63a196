"""Inputs between their check and their submission: what is gone or not taken ends one job, and holds up no other."""

import io
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from evergreen.v1 import video_pb2 as v1
from tests.jobs.lives import check_lives, life_of, steps_of
from tests.rpc.scenes import upload
from tests.serving import Api, Control, first_frame, serving

WAITING = ["QUEUED PREPARING", "QUEUED WAITING"]


@pytest.fixture
async def api(tmp_path: Path, sandbox: Control) -> AsyncIterator[Api]:
    """A server whose jobs wait until `open_line` is called."""
    await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 0}})
    async with serving(tmp_path / "data", sandbox.url) as opened:
        yield opened
        await check_lives(opened, "film")


async def open_line(sandbox: Control) -> None:
    """Lets one task at a time be made, so that whoever holds the slot in vain holds up all others."""
    await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 1}})


async def waiting(api: Api, **fields: object) -> v1.Job:
    job = await api.generate(**fields)
    return await api.until(job.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)


async def with_upload(api: Api, **fields: object) -> v1.Job:
    """Has a job wait whose picture is too large for a data URI, so that it is uploaded to the provider."""
    size, target = (1200, 1200), io.BytesIO()
    Image.frombytes("RGB", size, random.Random(7).randbytes(3 * size[0] * size[1])).save(target, "PNG")
    await upload(api, target.getvalue(), path="images/large.png")
    media = [v1.Media(asset="images/large.png", role=v1.MEDIA_ROLE_FIRST_FRAME)]
    return await waiting(api, scene_id="one", media=media, **fields)


async def test_an_input_that_is_gone_ends_its_job_and_no_other_waits_for_it(
    api: Api, sandbox: Control, tmp_path: Path
) -> None:
    broken, honest = await waiting(api, media=[first_frame()]), await waiting(api, project_id="other")
    (tmp_path / f"data/projects/film/scene-1/images/{broken.job_id}-1.jpg").unlink()

    await open_line(sandbox)
    life, done = await life_of(api, broken.job_id), await api.finished(honest.job_id)

    ended = life[-1].job
    assert steps_of(life) == [*WAITING, "FAILED"]
    assert (ended.error.reason, ended.error.retryable) == ("MEDIA_REFUSED", False)
    assert f"images/{broken.job_id}-1.jpg is no longer in the scene" in ended.error.message
    assert (ended.charged_credits, ended.cost_basis) == (0, v1.COST_BASIS_CONFIRMED)
    assert done.state == v1.JOB_STATE_SUCCEEDED
    assert len(await sandbox.tasks()) == 1


@pytest.mark.parametrize(
    ("operation", "status"),
    [("create_upload", 400), ("create_upload", 403), ("send_upload", 403), ("send_upload", 413)],
)
async def test_an_upload_that_is_refused_ends_its_job_and_no_other_waits_for_it(
    operation: str, status: int, api: Api, sandbox: Control
) -> None:
    await sandbox.fault("status", operation=operation, status=status, count=None)
    broken, honest = await with_upload(api), await waiting(api, project_id="other")

    await open_line(sandbox)
    life, done = await life_of(api, broken.job_id), await api.finished(honest.job_id)

    # A 403 to the question for a place is about the key, to the file itself about the file.
    unauthorized = (operation, status) == ("create_upload", 403)
    assert steps_of(life) == [*WAITING, "FAILED"]
    assert life[-1].job.error.reason == ("PROVIDER_UNAUTHORIZED" if unauthorized else "PROVIDER_REFUSED")
    assert life[-1].job.charged_credits == 0
    assert done.state == v1.JOB_STATE_SUCCEEDED


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("create_upload", {"kind": "status", "status": 429}),
        ("send_upload", {"kind": "status", "status": 500}),
        ("send_upload", {"kind": "drop"}),
    ],
)
async def test_an_upload_that_fails_for_now_gives_its_slot_to_others_meanwhile(
    operation: str, fault: dict, api: Api, sandbox: Control
) -> None:
    await sandbox.fault(**fault, operation=operation, count=None)
    broken, honest = await with_upload(api), await waiting(api, project_id="other")

    await open_line(sandbox)
    warned = await api.warned(broken.job_id, "PROVIDER_UNAVAILABLE")
    done = await api.finished(honest.job_id)
    await sandbox.clear()
    life = await life_of(api, broken.job_id)

    assert (warned.state, warned.stage) == (v1.JOB_STATE_QUEUED, v1.JOB_STAGE_WAITING)
    assert done.state == v1.JOB_STATE_SUCCEEDED
    assert steps_of(life)[-1] == "SUCCEEDED"
    assert [warning.code for warning in life[-1].job.warnings] == ["PROVIDER_UNAVAILABLE"]


async def test_an_input_that_cannot_be_read_for_now_gives_the_slot_to_others_meanwhile(
    api: Api, sandbox: Control, tmp_path: Path
) -> None:
    broken, honest = await waiting(api, media=[first_frame()]), await waiting(api, project_id="other")
    path = tmp_path / f"data/projects/film/scene-1/images/{broken.job_id}-1.jpg"
    data = path.read_bytes()
    path.unlink()
    # A name in the way of another leads in a circle, which is no word about the file.
    path.symlink_to(path)

    await open_line(sandbox)
    await api.warned(broken.job_id, "STORAGE_UNAVAILABLE")
    done = await api.finished(honest.job_id)
    path.unlink()
    path.write_bytes(data)
    again = await api.finished(broken.job_id)

    assert (done.state, again.state) == (v1.JOB_STATE_SUCCEEDED, v1.JOB_STATE_SUCCEEDED)
