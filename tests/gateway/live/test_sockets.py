"""The socket before the whole service: what it says."""

import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToDict

from evergreen.v1 import video_pb2
from tests.gateway.gateways import gateway
from tests.gateway.live.pages import Told, page, seen
from tests.rpc.films import planned, started
from tests.serving import ALL_KINDS, Api, open_sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with open_sandbox() as sandbox, gateway(tmp_path_factory.mktemp("sockets") / "data", sandbox) as opened:
        yield opened


async def watched(api: Api, **asked: object) -> list[Told]:
    """What a watch of one's own says up to its first checkpoint, as the gateway would say it."""
    found: list[Told] = []
    async for message in api.events(**asked):
        if message.HasField("checkpoint"):
            return found
        told, name = (message.event, "job") if message.HasField("event") else (message.film_event, "film")
        state = MessageToDict(getattr(told, name), always_print_fields_with_no_presence=True)
        found.append({"revision": str(message.revision), name: state})
    raise AssertionError("the watch ended")


def bare(told: list[Told]) -> list[Told]:
    """The events among frames, without what depends on when they were asked for."""
    kept = ("revision", "job", "film")
    return [{name: each[name] for name in kept if name in each} for each in told if each["type"] == "event"]


async def test_the_hub_tells_what_a_watch_of_ones_own_does_from_any_cursor(api: Api) -> None:
    chance = random.Random(7)
    async with page(api.http) as one:
        await one.follow(projectId="film")
        jobs = [await api.generate(scene_id="takes", prompt_text=f"a rocket {number}") for number in range(4)]
        jobs.append(await api.generate_other("image", "a rocket on paper", scene_id="takes"))
        await planned(api)
        for job in jobs:
            await api.finished(job.job_id)
        running = await api.generate(scene_id="takes", prompt_text="one more")
        await api.until(running.job_id, video_pb2.JOB_STATE_RUNNING)
        last = (await api.finished(running.job_id)).revision
        live = await one.until("event", revision=str(last))
        whole = await watched(api, project_id="film", after_revision=0, kinds=ALL_KINDS)
        for cursor in (0, *(chance.randrange(last) for _ in range(12)), last):
            asked = {"project_id": "film", "after_revision": cursor, "kinds": ALL_KINDS, "include_films": True}
            wanted = await watched(api, **asked)
            async with page(api.http) as other:
                told = await other.follow(projectId="film", afterRevision=str(cursor), includeFilms=True)
            assert bare(told) == wanted
            assert int(str(told[-1]["revision"])) >= last

    # Without films, and without percentages that were skipped for one of both.
    states = [each for each in bare(live) if each in whole]
    assert [each for each in whole if each not in states and each["job"]["progress"] in (0.0, 1.0)] == []
    assert [int(str(each["revision"])) for each in bare(live)] == sorted(int(str(e["revision"])) for e in bare(live))


async def test_films_and_kinds_are_told_to_those_who_ask(api: Api) -> None:
    async with page(api.http) as plain, page(api.http) as films, page(api.http) as pictures:
        await plain.follow(projectId="reel")
        await films.follow(projectId="reel", includeFilms=True)
        await pictures.follow(projectId="reel", kinds=["MEDIA_KIND_IMAGE"])
        await planned(api, project_id="reel")
        await api.finished((await api.generate(project_id="reel", scene_id="takes")).job_id)
        job = await api.finished(
            (await api.generate_other("image", "a moon", project_id="reel", scene_id="takes")).job_id
        )
        told = [await each.until("event", revision=str(job.revision)) for each in (plain, films, pictures)]

    without, both, images = [[each for each in one if each["type"] == "event"] for one in told]
    assert all("job" in each for each in without)
    assert (both[0]["event"], both[0]["film"]["filmId"]) == ("film_planned", "movie")
    assert [each for each in both if "job" in each] == without
    assert {each["job"]["kind"] for each in images} == {"MEDIA_KIND_IMAGE"}
    assert {each["job"]["kind"] for each in without} == {"MEDIA_KIND_IMAGE", "MEDIA_KIND_VIDEO"}


async def test_a_film_is_followed_by_its_id_through_its_run(api: Api) -> None:
    async with page(api.http) as one:
        await planned(api, project_id="cinema")
        first = await one.follow(projectId="cinema", filmIds=["movie"])
        await one.say("subscribe", projectId="cinema", filmIds=["none"])
        [error] = await one.until("error")
        await started(api, "cinema", stop_after=video_pb2.FILM_STAGE_STORYBOARD)
        told = await one.until("end", filmIds=["movie"])

    assert seen(first)[0][0] == "film_snapshot"
    events = [each for each in told if each["type"] == "event"]
    assert (events[0]["event"], events[-1]["event"]) == ("film_started", "film_succeeded")
    assert {each["film"]["filmId"] for each in events} == {"movie"}
    assert error["about"] == {"type": "subscribe", "projectId": "cinema", "filmIds": ["none"]}
    assert error["problem"]["reason"] == "FILM_NOT_FOUND"


async def test_jobs_are_followed_by_id_and_their_project_found(api: Api) -> None:
    ended = await api.generate(project_id="found")
    await api.finished(ended.job_id)
    async with page(api.http) as one:
        job = await api.generate(project_id="found", prompt_text="another")
        await one.say("subscribe", jobIds=[ended.job_id])
        first = await one.until("end", jobIds=[ended.job_id])
        await one.say("subscribe", jobIds=[job.job_id])
        second = await one.until("end", jobIds=[job.job_id])
        await one.say("subscribe", jobIds=["0198c2d4-0000-7000-8000-000000000000"])
        [unknown] = await one.until("error")
        await one.say("subscribe", projectId="found", jobIds=[job.job_id, "0198c2d4-0000-7000-8000-000000000000"])
        [mixed] = await one.until("error")
        await one.say("subscribe", projectId="no such name")
        [invalid] = await one.until("error")

    assert [each["event"] for each in first if each["type"] == "event"] == ["snapshot"]
    assert seen(second)[-1][0] == "succeeded" or seen(second)[-1][0] == "snapshot"
    assert {each["job"]["jobId"] for each in second if each["type"] == "event"} == {job.job_id}
    for error, reason in ((unknown, "JOB_NOT_FOUND"), (mixed, "JOB_NOT_FOUND"), (invalid, "INVALID_REQUEST")):
        assert (error["type"], error["problem"]["reason"]) == ("error", reason)
    assert invalid["about"]["projectId"] == "no such name"
    assert invalid["problem"]["errors"][0]["field"] == "projectId"


async def test_finished_jobs_are_told_to_those_who_ask(api: Api) -> None:
    job = await api.finished((await api.generate(project_id="past")).job_id)
    async with page(api.http) as one, page(api.http) as other:
        without = await one.follow(projectId="past")
        told = await other.follow(projectId="past", includeFinished=True)

    assert seen(without) == []
    assert seen(told) == [("snapshot", str(job.revision))]


async def test_what_a_page_cannot_follow_is_a_problem_and_the_rest_goes_on(api: Api) -> None:
    async with page(api.http) as one:
        for members, field in (
            ({"projectId": 7}, "projectId"),
            ({"jobIds": "a"}, "jobIds"),
            ({"projectId": "film", "afterRevision": "-1"}, "afterRevision"),
            ({"projectId": "film", "afterRevison": "1"}, "afterRevison"),
            ({"projectId": "film", "kinds": ["VIDEO"]}, "kinds"),
            ({"projectId": "film", "includeFilms": "yes"}, "includeFilms"),
            ({}, "projectId"),
            ({"projectId": "film", "jobIds": [str(number) for number in range(1001)]}, "jobIds"),
            ({"projectId": "film", "jobIds": ["film/movie"]}, "jobIds"),
            ({"projectId": "film", "filmIds": [str(number) for number in range(101)]}, "filmIds"),
            ({"filmIds": ["movie"]}, "projectId"),
        ):
            await one.say("subscribe", **members)
            [error] = await one.until("error")
            assert error["problem"]["errors"][0]["field"] == field
            assert error["about"] == {"type": "subscribe", **members}
        # A page need not know that nobody asks for its token.
        await one.say("hello", token="evg_" + "a" * 43)
        assert await one.follow(projectId="quiet") == [{"type": "checkpoint", "projectId": "quiet", "revision": "0"}]


async def test_the_first_endpoints_have_a_socket_of_single_jobs(api: Api) -> None:
    async with page(api.http, "/api/videos/socket", welcome=False) as one:
        job = await api.generate(project_id="first")
        await one.say("subscribe_job", jobId=job.job_id)
        told = await one.until("video_generation_completed")
        bad = await api.generate(project_id="first", prompt_text="cancelled")
        await api.video.CancelVideo(video_pb2.CancelVideoRequest(job_id=bad.job_id))
        await one.say("subscribe_job", jobId=bad.job_id)
        failed = await one.until("video_generation_failed")
        await one.say("subscribe_job", jobId="none")
        [error] = await one.until("error")
        await one.say("unsubscribe_job", jobId=bad.job_id)
        await one.say("ping")
        [pong] = await one.until("pong")
        await one.say("subscribe", projectId="first")
        closed = await one.next()

    assert {each["type"] for each in told[:-1]} <= {"video_generation_started", "video_generation_progress"}
    assert told[-1].keys() == {"type", "jobId", "projectId", "sceneId", "progress", "status", "videoUrl", "error"}
    assert (told[-1]["jobId"], told[-1]["progress"], told[-1]["status"]) == (job.job_id, 100, "completed")
    assert str(told[-1]["videoUrl"]).startswith("/api/v1/projects/first/scenes/scene-1/assets/videos/")
    assert (failed[-1]["status"], failed[-1]["videoUrl"], failed[-1]["error"]) == ("failed", "", "cancelled")
    assert (error["jobId"], error["reason"]) == ("none", "JOB_NOT_FOUND")
    assert pong == {"type": "pong"}
    assert closed == {"type": "closed", "code": 4400}
