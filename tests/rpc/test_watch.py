"""WatchProgress: what a watch tells, in which order, and when it ends."""

import asyncio
import sqlite3
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import video_pb2
from tests.rpc.refusals import metadata_of
from tests.rpc.watching import PROGRESS, SNAPSHOT, changes, recorded, until_checkpoint, whole
from tests.serving import FINAL, Api, Control, reason_of, request, violations_of

FOREVER = 1_000_000.0


async def test_snapshots_come_first_in_rising_revision_then_a_checkpoint_then_changes(
    api: Api, sandbox: Control
) -> None:
    await sandbox.settings(task_mean_seconds=FOREVER)
    jobs = [await api.generate() for _ in range(3)]
    for job in jobs:
        await api.until(job.job_id, video_pb2.JOB_STATE_RUNNING, stage=video_pb2.JOB_STAGE_GENERATING)

    async with asyncio.timeout(60), aclosing(api.events(project_id="film")) as messages:
        first = [await anext(messages) for _ in range(4)]
        await api.video.CancelVideo(video_pb2.CancelVideoRequest(job_id=jobs[1].job_id))
        then = [message.event async for message in _until_final(messages)]

    assert [message.event.kind for message in first[:3]] == [SNAPSHOT] * 3
    assert {message.event.job.job_id for message in first[:3]} == {job.job_id for job in jobs}
    revisions = [message.revision for message in first]
    assert revisions == sorted(revisions)
    assert len(set(revisions[:3])) == 3
    assert all(message.revision == message.event.job.revision for message in first[:3])
    assert first[3].HasField("checkpoint")
    kinds = [event.kind for event in then if event.job.job_id == jobs[1].job_id and event.kind != PROGRESS]
    assert kinds == [video_pb2.EVENT_KIND_CANCELLING, video_pb2.EVENT_KIND_CANCELLED]
    assert all(event.job.revision > revisions[3] for event in then)


async def _until_final(messages):
    async for message in messages:
        if message.HasField("event"):
            yield message
            if message.event.job.state in FINAL:
                return


async def test_a_watch_resumed_at_any_revision_tells_exactly_the_rest(api: Api, tmp_path: Path) -> None:
    job = await api.generate()
    other = await api.generate()
    await asyncio.gather(api.finished(job.job_id), api.finished(other.job_id))
    by_id = recorded(tmp_path / "data", job_id=job.job_id)
    of_project = recorded(tmp_path / "data")
    ends = (video_pb2.EVENT_KIND_CREATED, video_pb2.EVENT_KIND_SUCCEEDED)
    assert (by_id[0][1], by_id[-1][1]) == ends

    for cursor in range(of_project[-1][0] + 1):
        told = await whole(api.events(job_ids=[job.job_id], after_revision=cursor))
        later = [change for change in by_id if change[0] > cursor]
        assert changes(told) == later
        revisions = [message.revision for message in told if message.HasField("event")]
        assert revisions == sorted(set(revisions))
        if later:
            assert all(revision > cursor for revision in revisions)
        else:
            assert [message.event.kind for message in told] == [SNAPSHOT]
        assert told[-1].event.job.state == video_pb2.JOB_STATE_SUCCEEDED

        everything = await until_checkpoint(api, project_id="film", after_revision=cursor, include_finished=True)
        assert changes(everything) == [change for change in of_project if change[0] > cursor]
        assert all(message.revision > cursor for message in everything)


async def test_a_watch_that_breaks_after_every_message_and_resumes_misses_nothing(api: Api, tmp_path: Path) -> None:
    job = await api.generate()
    told: list[video_pb2.WatchProgressResponse] = []

    async with asyncio.timeout(60):
        while not told or told[-1].event.job.state not in FINAL:
            cursor = told[-1].revision if told else 0
            async with aclosing(api.events(job_ids=[job.job_id], after_revision=cursor)) as messages:
                told.append(await anext(messages))

    assert changes(told) == recorded(tmp_path / "data", job_id=job.job_id)


async def test_a_watch_by_id_that_comes_after_the_end_tells_the_end_and_ends(api: Api) -> None:
    job = await api.generate()
    done = await api.finished(job.job_id)

    told = await whole(api.events(job_ids=[job.job_id]))

    assert [message.event.kind for message in told] == [SNAPSHOT]
    assert told[0].revision == done.revision
    assert told[0].event.job.outputs == done.outputs


async def test_a_watch_of_a_project_tells_of_finished_jobs_only_where_asked(api: Api) -> None:
    job = await api.generate()
    await api.finished(job.job_id)

    plain = await until_checkpoint(api, project_id="film")
    asked = await until_checkpoint(api, project_id="film", include_finished=True)

    assert plain == []
    assert [message.event.job.job_id for message in asked] == [job.job_id]
    assert asked[0].event.job.state == video_pb2.JOB_STATE_SUCCEEDED


async def test_a_watch_of_a_project_tells_of_new_jobs_and_of_no_other_projects(api: Api, tmp_path: Path) -> None:
    async with asyncio.timeout(60), aclosing(api.events(project_id="film")) as messages:
        assert (await anext(messages)).HasField("checkpoint")
        elsewhere = await api.generate(project_id="other")
        await api.finished(elsewhere.job_id)
        made = [await api.generate() for _ in range(3)]
        told: list[video_pb2.WatchProgressResponse] = []
        while sum(message.event.job.state in FINAL for message in told) < 3:
            told.append(await anext(messages))

    assert {message.event.job.job_id for message in told if message.HasField("event")} == {job.job_id for job in made}
    for job in made:
        own = [message for message in told if message.event.job.job_id == job.job_id]
        assert changes(own) == recorded(tmp_path / "data", job_id=job.job_id)


async def test_a_project_not_known_yet_is_an_empty_watch_until_it_has_a_job(api: Api) -> None:
    async with asyncio.timeout(60), aclosing(api.events(project_id="later")) as messages:
        first = await anext(messages)
        job = await api.generate(project_id="later")
        second = await anext(messages)

    assert (first.HasField("checkpoint"), first.revision) == (True, 0)
    assert (second.event.kind, second.revision) == (video_pb2.EVENT_KIND_CREATED, 1)
    assert second.event.job.job_id == job.job_id


async def test_a_watch_of_several_jobs_ends_right_after_the_last_was_seen_final(
    api: Api, sandbox: Control, tmp_path: Path
) -> None:
    done = await api.generate()
    await api.finished(done.job_id)
    await sandbox.settings(task_mean_seconds=FOREVER)
    slow = await api.generate()
    await api.until(slow.job_id, video_pb2.JOB_STATE_RUNNING, stage=video_pb2.JOB_STAGE_GENERATING)
    await sandbox.settings(task_mean_seconds=15.0)
    quick = await api.generate()
    watched = [done.job_id, slow.job_id, quick.job_id]
    reading = asyncio.create_task(whole(api.events(project_id="film", job_ids=[*watched, quick.job_id])))

    await api.finished(quick.job_id)
    await until_checkpoint(api, project_id="film")
    assert not reading.done()
    await api.video.CancelVideo(video_pb2.CancelVideoRequest(job_id=slow.job_id))
    told = await reading

    ends = [message.event.job.job_id for message in told if message.event.job.state in FINAL]
    assert ends == watched[:1] + watched[:0:-1]
    assert told[-1].event.job.job_id == slow.job_id
    assert (told[-1].revision, told[-1].event.kind) == recorded(tmp_path / "data", job_id=slow.job_id)[-1]


async def test_needs_attention_does_not_end_a_watch(api: Api, sandbox: Control) -> None:
    await sandbox.fault("lost_answer", operation="create", prompt="lost one")
    job = await api.generate(prompt_text="lost one")
    reading = asyncio.create_task(whole(api.events(job_ids=[job.job_id])))

    await api.until(job.job_id, video_pb2.JOB_STATE_NEEDS_ATTENTION)
    resolution = video_pb2.SUBMISSION_RESOLUTION_ABANDON
    await api.video.ResolveSubmission(video_pb2.ResolveSubmissionRequest(job_id=job.job_id, resolution=resolution))
    told = await reading

    kinds = [kind for _, kind in changes(told)][-2:]
    assert kinds == [video_pb2.EVENT_KIND_NEEDS_ATTENTION, video_pb2.EVENT_KIND_FAILED]


async def refused(api: Api, **fields: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await whole(api.events(**fields), seconds=10)
    return caught.value


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "project_id"),
        ({"project_id": "../x"}, "project_id"),
        ({"job_ids": ["1"] * 1001}, "job_ids"),
        ({"project_id": "film", "after_revision": -1}, "after_revision"),
    ],
)
async def test_a_watch_that_asks_wrongly_is_refused(api: Api, fields: dict[str, object], named: str) -> None:
    error = await refused(api, **fields)

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert list(violations_of(error)) == [named]


async def test_jobs_of_two_projects_cannot_be_watched_at_once(api: Api) -> None:
    here, there = await api.generate(), await api.generate(project_id="other")

    for fields in (
        {"job_ids": [here.job_id, there.job_id]},
        {"job_ids": [there.job_id], "project_id": "film"},
    ):
        error = await refused(api, **fields)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert list(violations_of(error)) == ["job_ids"]


@pytest.mark.parametrize("unknown", [1, 1000])
async def test_an_unknown_job_is_not_found_beside_known_ones_too(api: Api, unknown: int) -> None:
    job = await api.generate()
    ids = [f"01900000-0000-7000-8000-{number:012d}" for number in range(unknown)]

    error = await refused(api, job_ids=[job.job_id, *ids][:1000])

    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(error) == "JOB_NOT_FOUND"
    assert ids[0] in (error.details() or "")


async def test_a_cursor_ahead_of_the_project_is_out_of_range(api: Api) -> None:
    job = await api.generate()
    done = await api.finished(job.job_id)

    for fields in ({"project_id": "film"}, {"job_ids": [job.job_id]}):
        error = await refused(api, **fields, after_revision=done.revision + 1)
        assert error.code() is grpc.StatusCode.OUT_OF_RANGE
        assert reason_of(error) == "CURSOR_AHEAD"
    assert await until_checkpoint(api, project_id="film", after_revision=done.revision) == []


async def test_a_cursor_whose_history_was_dropped_is_out_of_range(api: Api, tmp_path: Path) -> None:
    job = await api.generate()
    await api.finished(job.job_id)
    with sqlite3.connect(tmp_path / "data" / "state" / "evergreen.sqlite") as db:
        db.execute("UPDATE projects SET compacted_revision = 3")
        db.execute("DELETE FROM job_events WHERE revision <= 3")
    db.close()

    error = await refused(api, job_ids=[job.job_id], after_revision=2)
    kept = await whole(api.events(job_ids=[job.job_id], after_revision=3))

    assert error.code() is grpc.StatusCode.OUT_OF_RANGE
    assert reason_of(error) == "CURSOR_COMPACTED"
    # The oldest cursor with which the rest can be watched, as just now.
    assert metadata_of(error) == {"compacted_revision": "3"}
    assert changes(kept) == recorded(tmp_path / "data", after=3)


async def test_an_event_leaves_out_the_request_and_status_shows_it(api: Api) -> None:
    job = await api.generate(prompt_text="shown once")

    told = await whole(api.events(job_ids=[job.job_id], after_revision=0))

    assert not any(message.event.job.HasField("request") for message in told)
    assert (await api.status(job.job_id)).request.prompt_text == request(prompt_text="shown once").prompt_text
