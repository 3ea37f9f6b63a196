"""`Generate`: everything that is no clip ends as a whole, decodable file in the scene tree, watched live."""

import json
from base64 import b64encode
from pathlib import Path
from uuid import uuid4

import av
import pytest
from google.protobuf.json_format import ParseDict
from PIL import Image

from evergreen.v1 import scene_pb2, video_pb2
from tests.serving import SAMPLES, Api, Control

VIDEO, IMAGE, SPEECH, SOUND = (
    video_pb2.MEDIA_KIND_VIDEO,
    video_pb2.MEDIA_KIND_IMAGE,
    video_pb2.MEDIA_KIND_SPEECH,
    video_pb2.MEDIA_KIND_SOUND,
)
PICTURE = {
    "image": {"prompt_text": "a lamp in a window", "ratio": "1280:720", "output_count": 1},
    "model": "gen4_image",
}
SPOKEN = {"speech": {"text": "The lamp is lit. Nobody is home.", "voice": "Maya"}, "model": "eleven_multilingual_v2"}
HEARD = {"sound": {"prompt_text": "rain", "duration_seconds": 1.5}, "model": "eleven_text_to_sound_v2"}


def asked(fields: dict[str, object], **more: object) -> video_pb2.GenerateRequest:
    usual = {"project_id": "film", "scene_id": "scene-1", "request_id": uuid4().hex}
    return ParseDict({**usual, **fields, **more}, video_pb2.GenerateRequest())


async def made(api: Api, fields: dict[str, object], **more: object) -> video_pb2.Job:
    request = asked(fields, **more)
    answer, again = await api.video.Generate(request), await api.video.Generate(request)
    assert (answer.known, again.known, again.job.job_id) == (False, True, answer.job.job_id)
    done = await api.finished(answer.job.job_id)
    assert done.state == video_pb2.JOB_STATE_SUCCEEDED, done.error
    assert done.charged_credits <= answer.estimated_credits
    return done


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return tmp_path / "data" / "projects" / "film" / "scene-1"


def seconds_of(path: Path) -> float:
    with av.open(str(path)) as container:
        samples = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    return float(samples)


async def test_a_picture_a_line_and_a_sound_end_as_files_of_the_scene(api: Api, scene: Path) -> None:
    jobs = [await made(api, fields) for fields in (PICTURE, SPOKEN, HEARD)]

    outputs = [job.outputs[0] for job in jobs]
    with Image.open(scene / outputs[0].asset) as picture:
        picture.load()
        assert (picture.format, picture.size) == ("PNG", (outputs[0].width, outputs[0].height)) == ("PNG", (128, 72))
    for output in outputs[1:]:
        assert abs(seconds_of(scene / output.asset) - output.duration_seconds) < 0.1
    assert abs(outputs[2].duration_seconds - 1.5) < 0.1
    assert [(job.kind, output.asset, output.content_type) for job, output in zip(jobs, outputs, strict=True)] == [
        (IMAGE, f"images/{jobs[0].job_id}-1-1.png", "image/png"),
        (SPEECH, f"audio/{jobs[1].job_id}-1-1.mp3", "audio/mpeg"),
        (SOUND, f"audio/{jobs[2].job_id}-1-1.mp3", "audio/mpeg"),
    ]
    found = (await api.scene.GetScene(scene_pb2.GetSceneRequest(project_id="film", scene_id="scene-1"))).scene
    assert (found.image_requests, found.completed_images, found.audio_requests, found.completed_audio) == (1, 1, 2, 2)
    assert (found.video_requests, found.completed_videos) == (0, 0)
    [listed] = (await api.scene.ListScenes(scene_pb2.ListScenesRequest(project_id="film"))).scenes
    found.ClearField("folders")
    assert listed == found
    sidecar = json.loads((scene / "metadata" / f"{jobs[1].job_id}.json").read_text())
    assert (sidecar["operation"], sidecar["parameters"]) == ("text_to_speech", {"voice": "Maya"})


async def test_several_pictures_of_one_job_are_each_a_file(api: Api, scene: Path) -> None:
    job = await made(
        api, {"image": {"prompt_text": "a lamp", "ratio": "1600:1600", "output_count": 3}, "model": "muse_image"}
    )

    assert [output.asset for output in job.outputs] == [f"images/{job.job_id}-1-{number}.png" for number in (1, 2, 3)]
    assert all((scene / output.asset).stat().st_size == output.size_bytes for output in job.outputs)


async def test_lists_and_watches_name_videos_only_unless_asked(api: Api) -> None:
    clip = await api.finished((await api.generate()).job_id)
    picture = await made(api, PICTURE)
    sound = await made(api, HEARD)

    async def listed(**fields: object) -> list[str]:
        answer = await api.video.ListVideos(video_pb2.ListVideosRequest(project_id="film", **fields))
        return [job.job_id for job in answer.jobs]

    assert await listed() == [clip.job_id]
    assert await listed(kinds=[IMAGE, SOUND]) == [picture.job_id, sound.job_id]
    assert await listed(kinds=[VIDEO, IMAGE, SPEECH, SOUND], scene_id="scene-1") == [
        clip.job_id,
        picture.job_id,
        sound.job_id,
    ]
    for kinds, expected in (
        ([], {clip.job_id}),
        ([SOUND], {sound.job_id}),
        ([VIDEO, IMAGE], {clip.job_id, picture.job_id}),
    ):
        seen: set[str] = set()
        async for message in api.events(project_id="film", include_finished=True, kinds=kinds):
            if not message.HasField("event"):
                break
            assert message.event.job.kind in (kinds or (VIDEO,))
            seen.add(message.event.job.job_id)
        assert seen == expected
        seen.clear()
        async for message in api.events(project_id="film", after_revision=0, kinds=kinds):
            if not message.HasField("event"):
                break
            seen.add(message.event.job.job_id)
        assert seen == expected


async def test_finished_things_are_made_from_what_the_scene_has(api: Api, scene: Path) -> None:
    clip = (await api.finished((await api.generate()).job_id)).outputs[0]
    line = (await made(api, SPOKEN)).outputs[0]
    picture = (await made(api, PICTURE)).outputs[0]
    video, audio, image = {"asset": clip.asset}, {"asset": line.asset}, {"asset": picture.asset}
    requests: dict[str, dict[str, object]] = {
        "reference": {
            "image": {"prompt_text": "@lamp at night", "ratio": "1280:720", "references": [{**image, "tag": "lamp"}]},
            "model": "gen4_image_turbo",
        },
        "video_sound": {"video_sound": {"video": video, "duration_seconds": 2}, "model": "mirelo_sfx_2_0"},
        "voice_change": {
            "voice_change": {"audio": audio, "voice": "Maya", "max_source_seconds": 60},
            "model": "eleven_multilingual_sts_v2",
        },
        "dubbing": {
            "dubbing": {"audio": audio, "target_language": "de", "max_source_seconds": 60},
            "model": "eleven_voice_dubbing",
        },
        "frames": {"video_upscale": {"video": video, "target_frame_rate": "60"}, "model": "enhance_frame_rate"},
        "pixels": {
            "video_upscale": {"video": video, "resolution": "2k", "max_source_seconds": 3},
            "model": "magnific_video_upscaler_creative",
        },
        "hdr": {"hdr": {"video": video, "max_source_seconds": 3}, "model": "ruby"},
        "image_upscale": {
            "image_upscale": {
                "image": {"data": b64encode((SAMPLES / "coffee.png").read_bytes()).decode()},
                "scale_factor": 2,
            },
            "model": "magnific_precision_upscaler_v2",
        },
        "multi_shot": {"multi_shot": {"prompt_text": "a walk", "duration_seconds": 5}},
        "avatar_video": {"avatar_video": {"avatar": "influencer", "text": "Hello there."}},
    }
    answers = {name: (await api.video.Generate(asked(fields))) for name, fields in requests.items()}
    done = {name: await api.finished(answer.job.job_id) for name, answer in answers.items()}

    assert {name: (job.state, job.error.message) for name, job in done.items()} == dict.fromkeys(
        requests, (video_pb2.JOB_STATE_SUCCEEDED, "")
    )
    for name, job in done.items():
        for output in job.outputs:
            assert (scene / output.asset).stat().st_size == output.size_bytes, name
        if answers[name].HasField("estimated_credits"):
            assert job.charged_credits <= answers[name].estimated_credits, name
    kinds = {name: job.kind for name, job in done.items()}
    assert kinds == {
        **dict.fromkeys(("reference", "image_upscale"), IMAGE),
        **dict.fromkeys(("voice_change", "dubbing"), SPEECH),
        **dict.fromkeys(("video_sound",), SOUND),
        **dict.fromkeys(("frames", "pixels", "hdr", "multi_shot", "avatar_video"), VIDEO),
    }


async def test_a_source_that_is_longer_than_was_said_costs_nothing(api: Api, sandbox: Control) -> None:
    clip = (await api.finished((await api.generate()).job_id)).outputs[0]
    fields: dict[str, object] = {
        "video_upscale": {"video": {"asset": clip.asset}, "target_frame_rate": "60", "max_source_seconds": 1},
        "model": "enhance_frame_rate",
    }

    answer = await api.video.Generate(asked(fields))
    done = await api.finished(answer.job.job_id)

    assert (done.state, done.error.reason) == (video_pb2.JOB_STATE_FAILED, "MEDIA_REFUSED")
    assert done.error.message == "the source video is 2.0 s long; the request allows 1 s at most"
    assert len(await sandbox.tasks()) == 1


async def test_a_file_of_another_scene_is_taken_and_kept_until_the_job_is_final(api: Api, sandbox: Control) -> None:
    await sandbox.account(models={"gen4_image_turbo": {"maxConcurrentGenerations": 0}})
    picture = (SAMPLES / "rocket.jpg").read_bytes()
    key = scene_pb2.UploadInfo(project_id="film", scene_id="cast", path="images/ada.jpg", content_type="image/jpeg")

    async def parts():
        yield scene_pb2.UploadAssetRequest(info=key)
        yield scene_pb2.UploadAssetRequest(chunk=picture)

    await api.scene.CreateScene(scene_pb2.CreateSceneRequest(project_id="film", scene_id="cast"))
    await api.scene.UploadAsset(parts())
    reference = {"asset": "images/ada.jpg", "scene_id": "cast", "tag": "ada"}
    fields: dict[str, object] = {
        "image": {"prompt_text": "@ada waves", "ratio": "1280:720", "references": [reference]},
        "model": "gen4_image_turbo",
    }
    job = (await api.video.Generate(asked(fields))).job
    await api.until(job.job_id, video_pb2.JOB_STATE_QUEUED, stage=video_pb2.JOB_STAGE_WAITING)

    delete = scene_pb2.DeleteSceneRequest(project_id="film", scene_id="cast")
    with pytest.raises(Exception, match="not final"):
        await api.scene.DeleteScene(delete)
    await sandbox.account(models={"gen4_image_turbo": {"maxConcurrentGenerations": None}})
    done = await api.finished(job.job_id)

    assert done.state == video_pb2.JOB_STATE_SUCCEEDED, done.error
    whole = await api.status(job.job_id)
    assert whole.generate_request.image.references[0].scene_id == "cast"
    await api.scene.DeleteScene(delete)
