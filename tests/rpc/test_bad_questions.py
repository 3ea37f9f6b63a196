"""What is wrong with the questions about jobs and scenes: tokens, cursors, filters and resolutions."""

import asyncio
import base64

import grpc

from evergreen.v1 import scene_pb2, video_pb2
from tests.rpc.refusals import invalid, metadata_of, refusal
from tests.serving import Api, Control, reason_of

RESUBMIT = video_pb2.SUBMISSION_RESOLUTION_RESUBMIT
ATTACH = video_pb2.SUBMISSION_RESOLUTION_ATTACH
UNKNOWN_ID = "0198c2d4-0000-7000-8000-000000000000"


async def test_a_page_token_serves_only_the_question_that_it_came_from(api: Api) -> None:
    for _ in range(2):
        await api.generate(project_id="film")
    whole = video_pb2.ListVideosRequest(project_id="film", page_size=1)
    first = await api.video.ListVideos(whole)
    second = await api.video.ListVideos(
        video_pb2.ListVideosRequest(project_id="film", page_size=1, page_token=first.next_page_token)
    )

    assert first.next_page_token
    assert [len(page.jobs) for page in (first, second)] == [1, 1]
    assert first.jobs[0].job_id < second.jobs[0].job_id
    assert not second.next_page_token
    for other in (
        {"project_id": "other"},
        {"project_id": ""},
        {"project_id": "film", "scene_id": "scene-1"},
        {"project_id": "film", "states": [video_pb2.JOB_STATE_FAILED]},
    ):
        message = video_pb2.ListVideosRequest(page_token=first.next_page_token, **other)
        assert set(await invalid(api.video.ListVideos(message))) == {"page_token"}, other


async def test_a_token_that_was_never_given_is_refused(api: Api) -> None:
    forged = base64.urlsafe_b64encode(b"../.. film//").decode()
    for token in ("nonsense", "é", "====", "\0", "x" * 10_000, base64.urlsafe_b64encode(b"\xff\xfe").decode(), forged):
        videos = video_pb2.ListVideosRequest(project_id="film", page_token=token)
        assert set(await invalid(api.video.ListVideos(videos))) == {"page_token"}, token[:20]
        scenes = scene_pb2.ListScenesRequest(project_id="film", page_token=token)
        assert set(await invalid(api.scene.ListScenes(scenes))) == {"page_token"}, token[:20]


async def test_scenes_are_listed_page_by_page_and_only_with_their_own_token(api: Api) -> None:
    for number in range(3):
        await api.scene.CreateScene(scene_pb2.CreateSceneRequest(project_id="film", scene_id=f"s{number}"))
    first = await api.scene.ListScenes(scene_pb2.ListScenesRequest(project_id="film", page_size=2))
    rest = await api.scene.ListScenes(
        scene_pb2.ListScenesRequest(project_id="film", page_size=2, page_token=first.next_page_token)
    )
    other = scene_pb2.ListScenesRequest(project_id="other", page_token=first.next_page_token)

    assert [[scene.scene_id for scene in page.scenes] for page in (first, rest)] == [["s0", "s1"], ["s2"]]
    assert set(await invalid(api.scene.ListScenes(other))) == {"page_token"}


async def test_every_fault_of_a_list_is_named_at_once(api: Api) -> None:
    faults = await invalid(
        api.video.ListVideos(
            video_pb2.ListVideosRequest(
                project_id="a/b",
                scene_id="CON",
                states=[video_pb2.JOB_STATE_QUEUED, 0, 77],
                page_size=-1,
                page_token="?",
            )
        )
    )

    assert set(faults) == {"project_id", "scene_id", "states[1]", "states[2]", "page_size", "page_token"}
    assert set(await invalid(api.scene.ListScenes(scene_pb2.ListScenesRequest(project_id="p", page_size=-1)))) == {
        "page_size"
    }


async def test_a_scene_without_its_project_is_no_filter(api: Api) -> None:
    faults = await invalid(api.video.ListVideos(video_pb2.ListVideosRequest(scene_id="scene-1")))

    assert set(faults) == {"project_id"}


async def test_a_watch_that_cannot_be_is_refused(api: Api) -> None:
    many = [f"job-{number}" for number in range(1001)]
    for fields, named in (
        ({}, {"project_id"}),
        ({"job_ids": many}, {"job_ids"}),
        ({"project_id": "film", "after_revision": -1}, {"after_revision"}),
        ({"project_id": "../x", "job_ids": many, "after_revision": -1}, {"project_id", "job_ids", "after_revision"}),
    ):
        call = api.video.WatchProgress(video_pb2.WatchProgressRequest(**fields))

        async with asyncio.timeout(60):
            assert set(await invalid(call.read())) == named


async def test_jobs_of_two_projects_are_not_watched_together(api: Api) -> None:
    jobs = [await api.generate(project_id=project) for project in ("one", "two")]
    call = api.video.WatchProgress(video_pb2.WatchProgressRequest(job_ids=[job.job_id for job in jobs]))

    assert set(await invalid(call.read())) == {"job_ids"}


async def test_a_resolution_that_makes_no_sense_is_refused(api: Api) -> None:
    for resolution, task_id, field in (
        (0, "", "resolution"),
        (9, "", "resolution"),
        (ATTACH, "", "provider_task_id"),
        (RESUBMIT, UNKNOWN_ID, "provider_task_id"),
        (video_pb2.SUBMISSION_RESOLUTION_ABANDON, UNKNOWN_ID, "provider_task_id"),
        (ATTACH, "../organization", "provider_task_id"),
        (ATTACH, "x" * 300, "provider_task_id"),
    ):
        message = video_pb2.ResolveSubmissionRequest(job_id="any", resolution=resolution, provider_task_id=task_id)

        assert set(await invalid(api.video.ResolveSubmission(message))) == {field}, (resolution, task_id)


async def test_a_job_that_needs_no_attention_is_not_resolved(api: Api, sandbox: Control) -> None:
    job = await api.generate()
    message = video_pb2.ResolveSubmissionRequest(job_id=job.job_id, resolution=RESUBMIT)

    error = await refusal(api.video.ResolveSubmission(message))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_RESOLVABLE")
    assert metadata_of(error) == {"job_id": job.job_id}
    await api.finished(job.job_id)
    assert len(await sandbox.tasks()) == 1
