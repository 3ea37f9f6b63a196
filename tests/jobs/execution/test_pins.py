"""What is submitted are the bytes that were checked: whatever else has an input's name by then ends the job."""

import asyncio
import base64
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.model.states import Slot, Stage, State
from evergreen_server.ports.media import MediaRefused
from evergreen_server.ports.specs import Media, Role
from evergreen_storage.checksums import extend_crc32c
from tests.jobs.stepping import JOB_ID, Script, Stepping, stepping, with_picture

ASSET = "images/hero.jpg"
SMALL, LARGE = random.Random(1).randbytes(3000), random.Random(2).randbytes(5_000_000)


def forged(data: bytes) -> bytes:
    """Other bytes of the same length and CRC32C: a set of flipped bits whose effects on the sum cancel out."""
    known: dict[int, tuple[int, frozenset[int]]] = {}
    whole = extend_crc32c(0, data)
    for bit in range(40):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        effect, bits = extend_crc32c(0, bytes(flipped)) ^ whole, frozenset({bit})
        while effect and (found := known.get(effect.bit_length())):
            effect, bits = effect ^ found[0], bits ^ found[1]
        if not effect:
            for one in bits:
                data = data[: one // 8] + bytes([data[one // 8] ^ 1 << one % 8]) + data[one // 8 + 1 :]
            return data
        known[effect.bit_length()] = effect, bits
    raise AssertionError("33 effects of 32 bits are never independent")


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "another picture": lambda data: random.Random(3).randbytes(len(data)),
    "a script": lambda _data: b"#!/bin/sh\nrm -rf /\n",
    "nothing": lambda _data: b"",
    "one byte less": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "one bit": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "the same length and CRC32C": forged,
}


async def asset(steps: Stepping, data: bytes, path: str = ASSET) -> Media:
    request = with_picture()
    await steps.context.scenes.create(request.project_id, request.scene_id)
    await steps.context.scenes.add(request.project_id, request.scene_id, path, data, "image/jpeg")
    return Media(role=Role.FIRST_FRAME, asset=path)


def file_of(folder: Path, path: str) -> Path:
    return folder / "scenes" / "projects" / "film" / "scene-1" / path


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["data URI", "upload"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("by", ["replaced", "written over"])
async def test_an_asset_that_changes_after_its_check_ends_the_job_and_is_not_sent(
    by: str, change: str, data: bytes, tmp_path: Path
) -> None:
    file, script = file_of(tmp_path, ASSET), Script()

    def edit() -> None:
        if by == "replaced":
            file.unlink()
        file.write_bytes(CHANGES[change](data))

    async with stepping(tmp_path, script, before_slot=edit) as steps:
        job = await steps.run(with_picture(await asset(steps, data)))

    assert (job.state, job.error.reason, steps.provider.sent) == (State.FAILED, "MEDIA_REFUSED", 0)
    assert f"{ASSET} has changed since it was checked" in job.error.message
    assert script.calls.count("upload") == 0


async def test_an_input_of_the_jobs_own_that_is_replaced_is_not_sent(tmp_path: Path) -> None:
    file = file_of(tmp_path, f"images/{JOB_ID}-1.jpg")

    async with stepping(tmp_path, Script(), before_slot=lambda: [file.write_bytes(b"trash")][0] and None) as steps:
        job = await steps.run(with_picture())

    assert (job.state, job.error.reason, steps.provider.sent) == (State.FAILED, "MEDIA_REFUSED", 0)


async def test_an_upload_is_compared_as_it_was_sent(tmp_path: Path) -> None:
    file = file_of(tmp_path, ASSET)
    async with stepping(tmp_path, Script()) as steps:
        # Between the comparison and the reading, which only the provider's side can tell apart.
        steps.provider.before_reading = lambda: [file.write_bytes(CHANGES["one bit"](LARGE))][0] and None
        job = await steps.run(with_picture(await asset(steps, LARGE)))

    assert (job.state, job.error.reason, steps.provider.sent) == (State.FAILED, "MEDIA_REFUSED", 0)


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["data URI", "upload"])
async def test_what_did_not_change_is_sent_as_it_was_checked(data: bytes, tmp_path: Path) -> None:
    async with stepping(tmp_path, Script()) as steps:
        job = await steps.run(with_picture(await asset(steps, data)))

    (uri,) = steps.provider.uris
    assert (job.task_id, job.pins[0].size_bytes) == ("task-1", len(data))
    sent = base64.b64decode(uri.partition(",")[2]) if data is SMALL else steps.provider.uploaded[0]
    assert sent == data


async def test_a_requests_data_uris_are_bounded_together(tmp_path: Path) -> None:
    async with stepping(tmp_path, Script()) as steps:
        media = [await asset(steps, LARGE[:3_000_000], f"images/{number}.jpg") for number in range(4)]
        request = with_picture()
        job = await steps.run(replace(request, spec=replace(request.spec, media=tuple(media))))

    assert job.task_id == "task-1"
    assert [uri.partition(":")[0] for uri in steps.provider.uris] == ["data", "data", "runway", "runway"]


async def waiting(folder: Path, request_of: Callable[[Stepping], object]) -> None:
    """Leaves a job behind that waits for its slot, without pins, as a release before left it."""
    async with stepping(folder, Script(), before_slot=None) as steps:
        request = await request_of(steps)
        running = asyncio.create_task(steps.runner.run(await steps.accept(request), 1, 0))
        await steps.until(JOB_ID, lambda job: job.stage is Stage.WAITING)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await steps.database.write(lambda db: db.execute(sa.update(jobs).values(pins=sa.null())))


@pytest.mark.parametrize("slot", [Slot.WANTED, Slot.HELD])
async def test_a_job_of_the_release_before_is_checked_and_pinned_before_it_is_submitted(
    slot: Slot, tmp_path: Path
) -> None:
    async def request_of(_steps: Stepping) -> object:
        return with_picture()

    await waiting(tmp_path, request_of)
    script = Script()
    async with stepping(tmp_path, script) as steps:
        await steps.database.write(lambda db: db.execute(sa.update(jobs).values(slot=slot.value)))
        if slot is Slot.WANTED:
            steps.look(JOB_ID)
        await steps.runner.run(JOB_ID, 1, 0)
        job = await steps.store.get(JOB_ID)

    assert (job.task_id, script.calls.count("picture")) == ("task-1", 1)
    assert job.pins[0].size_bytes == len(b"a picture")
    assert job.inputs[0].asset == f"images/{JOB_ID}-1.jpg"


async def test_a_url_that_the_release_before_passed_on_is_passed_on_and_not_fetched_again(tmp_path: Path) -> None:
    async def request_of(_steps: Stepping) -> object:
        return with_picture()

    await waiting(tmp_path, request_of)
    passed = [{"role": "FIRST_FRAME", "asset": "", "uri": "https://x.example/a.jpg", "content_type": ""}]
    script = Script()
    async with stepping(tmp_path, script) as steps:
        await steps.database.write(lambda db: db.execute(sa.update(jobs).values(inputs=passed)))
        steps.look(JOB_ID)
        await steps.runner.run(JOB_ID, 1, 0)
        job = await steps.store.get(JOB_ID)

    assert (job.task_id, job.pins, steps.provider.uris) == ("task-1", (None,), ["https://x.example/a.jpg"])
    assert script.calls.count("fetch") == 0


async def test_a_job_of_the_release_before_whose_input_is_no_picture_any_more_ends(tmp_path: Path) -> None:
    async def request_of(steps: Stepping) -> object:
        return with_picture(await asset(steps, SMALL))

    await waiting(tmp_path, request_of)
    script = Script(picture=[MediaRefused("the file is a script", reason="PICTURE_INVALID")])
    async with stepping(tmp_path, script) as steps:
        await steps.runner.run(JOB_ID, 1, 0)
        job = await steps.store.get(JOB_ID)

    assert (job.state, job.error.reason, steps.provider.sent) == (State.FAILED, "PICTURE_INVALID", 0)


async def test_an_asset_that_the_scene_names_with_other_bytes_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    async with stepping(tmp_path, Script()) as steps:
        request = with_picture(await asset(steps, SMALL))
        named = await steps.context.scenes.existing(request.project_id, request.scene_id, ASSET)
        await steps.context.scenes.attach(request.project_id, request.scene_id, [named])
        file_of(tmp_path, ASSET).write_bytes(b"edited by hand")
        job = await steps.run(request)

    assert (job.state, job.error.reason) == (State.FAILED, "MEDIA_REFUSED")
