"""What is wrong with the questions about jobs and scenes: tokens, cursors, filters and resolutions."""

import asyncio
import base64

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.v1 import scene_pb2, video_pb2
from evergreen_server.rpc.messages.paging import make_token
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
        {"project_id": "film", "order": video_pb2.LIST_ORDER_NEWEST_FIRST},
        {"project_id": "film", "labels": {"take": "1"}},
        {"project_id": "film", "models": ["gen4_turbo"]},
        {"project_id": "film", "kinds": [video_pb2.MEDIA_KIND_IMAGE]},
        {"project_id": "film", "created_from": Timestamp(seconds=1)},
        {"project_id": "film", "created_before": Timestamp(seconds=2**33)},
    ):
        message = video_pb2.ListVideosRequest(page_token=first.next_page_token, **other)
        assert set(await invalid(api.video.ListVideos(message))) == {"page_token"}, other


async def test_a_page_token_of_one_filter_is_refused_by_every_other(api: Api) -> None:
    made = [(await api.generate(labels={"take": "1", 'a":"1"],["b': ""})).job_id for _ in range(2)]
    long = {f"{number:063}": "x" * 255 for number in range(32)}
    filters: list[dict[str, object]] = [
        {"labels": {"take": "1"}},
        {"labels": {'a":"1"],["b': ""}},
        {"labels": {"take": "1"}, "order": video_pb2.LIST_ORDER_NEWEST_FIRST},
        {"models": ["gen4.5"]},
        {"models": ["gen4.5", "gen4.5", "none"]},
        {"created_from": Timestamp(seconds=1)},
        {"created_from": Timestamp(seconds=1, nanos=1000)},
        {"created_before": Timestamp(seconds=2**33)},
        # All ids of one time begin so.
        {"job_id_part": made[0][:4]},
    ]
    tokens = []
    for each in filters:
        page = await api.video.ListVideos(video_pb2.ListVideosRequest(page_size=1, **each))
        assert len(page.jobs) == 1, each
        assert 0 < len(page.next_page_token) < 250
        tokens.append(page.next_page_token)

    for token, of in zip(tokens, filters, strict=True):
        for each in [*filters, {"labels": long}, {"labels": {}}]:
            call = api.video.ListVideos(video_pb2.ListVideosRequest(page_token=token, **each))
            if each is of:
                assert len((await call).jobs) == 1
            else:
                assert set(await invalid(call)) == {"page_token"}, (of, each)


async def test_a_list_goes_from_the_newest_job_to_the_oldest_and_no_new_one_comes_between(api: Api) -> None:
    made = [(await api.generate(labels={"take": str(number % 2)})).job_id for number in range(4)]
    newest = {"project_id": "film", "order": video_pb2.LIST_ORDER_NEWEST_FIRST, "page_size": 3}
    first = await api.video.ListVideos(video_pb2.ListVideosRequest(**newest))
    await api.generate()
    rest = await api.video.ListVideos(video_pb2.ListVideosRequest(**newest, page_token=first.next_page_token))
    odd = await api.video.ListVideos(video_pb2.ListVideosRequest(labels={"take": "1"}))
    since = await api.video.ListVideos(video_pb2.ListVideosRequest(created_from=first.jobs[0].create_time))

    assert [[job.job_id for job in page.jobs] for page in (first, rest)] == [made[:0:-1], made[:1]]
    assert not rest.next_page_token
    assert [job.job_id for job in odd.jobs] == made[1::2]
    assert [job.job_id for job in since.jobs][:1] == made[3:]


async def test_a_bad_page_of_projects_is_refused_with_every_fault(api: Api) -> None:
    for name in ("film", "other"):
        await api.generate(project_id=name)
    videos = (await api.video.ListVideos(video_pb2.ListVideosRequest(page_size=1))).next_page_token
    one = await api.video.ListProjects(video_pb2.ListProjectsRequest(page_size=1))
    rest = await api.video.ListProjects(video_pb2.ListProjectsRequest(page_token=one.next_page_token))
    assert [[project.project_id for project in page.projects] for page in (one, rest)] == [["film"], ["other"]]
    assert not rest.next_page_token

    for token in (videos, "nonsense", make_token("a/b", "projects"), make_token("", "projects"), "x" * 10_000):
        asked = video_pb2.ListProjectsRequest(page_token=token, page_size=-1)
        assert set(await invalid(api.video.ListProjects(asked))) == {"page_token", "page_size"}, token[:20]
    swapped = video_pb2.ListVideosRequest(page_token=one.next_page_token)
    assert set(await invalid(api.video.ListVideos(swapped))) == {"page_token"}


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
                order=3,
                labels={str(number): "" for number in range(33)},
                models=["gen4_turbo"] * 33,
                kinds=[9],
                created_from=Timestamp(seconds=2**40),
                created_before=Timestamp(seconds=1, nanos=-1),
            )
        )
    )

    ids = {"project_id", "scene_id", "states[1]", "states[2]", "page_size", "page_token"}
    assert set(faults) == ids | {"order", "labels", "models", "kinds[0]", "created_from", "created_before"}


async def test_a_span_of_time_that_ends_before_it_begins_is_refused(api: Api) -> None:
    for begin, end in ((2, 1), (1, 1)):
        message = video_pb2.ListVideosRequest(
            created_from=Timestamp(seconds=begin), created_before=Timestamp(seconds=end)
        )
        assert set(await invalid(api.video.ListVideos(message))) == {"created_before"}
    far = video_pb2.ListVideosRequest(
        created_from=Timestamp(seconds=-62135596800), created_before=Timestamp(seconds=253402300799)
    )
    assert not (await api.video.ListVideos(far)).jobs
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
