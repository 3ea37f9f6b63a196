"""Requests for pictures, speech, sounds and the rest, as the Python client puts them on the wire."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen import (
    ALL_KINDS,
    AvatarVideoSpec,
    DubbingSpec,
    GenerateRequest,
    HdrSpec,
    ImageSpec,
    ImageUpscaleSpec,
    Media,
    MediaKind,
    MultiShotSpec,
    OnUnknownSubmission,
    PerformanceSpec,
    Shot,
    SoundSpec,
    Spec,
    SpeechSpec,
    VideoSoundSpec,
    VideoUpscaleSpec,
    VoiceChangeSpec,
    VoiceIsolationSpec,
    WireClient,
)
from evergreen.v1.video_pb2 import GenerateResponse, ListModelsResponse, ListVideosResponse
from tests.clients.scripted import DRAINING, UNAVAILABLE, Hold, ScriptedService, checkpoint, event, job

ACCEPTED = GenerateResponse(job=job(), estimated_credits=5.0)
WHERE = {"project_id": "p", "scene_id": "s"}
ASSET = Media(asset="videos/a.mp4")
SOUND = Media(asset="audio/a.mp3")
SPECS: list[tuple[str, Spec]] = [
    ("image", ImageSpec(prompt_text="a fox")),
    ("speech", SpeechSpec(text="hello", voice="Maya")),
    ("sound", SoundSpec(prompt_text="rain")),
    ("video_sound", VideoSoundSpec(video=ASSET, duration_seconds=5)),
    ("voice_change", VoiceChangeSpec(audio=SOUND, voice="Maya")),
    ("dubbing", DubbingSpec(audio=SOUND, target_language="fr")),
    ("voice_isolation", VoiceIsolationSpec(audio=SOUND)),
    ("performance", PerformanceSpec(character_image=Media(asset="images/a.png"), performance=ASSET)),
    ("video_upscale", VideoUpscaleSpec(video=ASSET, target_frame_rate="60")),
    ("hdr", HdrSpec(video=ASSET)),
    ("image_upscale", ImageUpscaleSpec(image=Media(asset="images/a.png"), scale_factor=2)),
    ("multi_shot", MultiShotSpec(shots=[Shot(prompt_text="a", duration_seconds=5)])),
    ("avatar_video", AvatarVideoSpec(avatar="game-character", text="hello")),
]


async def test_a_picture_reaches_the_wire_with_every_field(
    service: ScriptedService, client: WireClient, tmp_path: Path
) -> None:
    service.answers["Generate"] = [ACCEPTED]
    hero = tmp_path / "hero.png"
    hero.write_bytes(b"png")
    start_by = datetime(2030, 1, 31, 17, tzinfo=UTC)
    style = Media(uri="https://example.com/style.png", subject="object")

    accepted = await client.generate_image(
        **WHERE,
        model="gen4_image",
        request_id="mine",
        prompt_text="@hero in @style",
        ratio="1920:1080",
        output_count=2,
        references={"hero": hero, "style": style, "third": b"bytes"},
        seed=0,
        options={"quality": "low"},
        max_credits=16.0,
        max_attempts=2,
        on_unknown_submission=OnUnknownSubmission.ON_UNKNOWN_SUBMISSION_RESUBMIT,
        priority=-7,
        start_by=start_by,
        labels={"team": "blue"},
    )

    assert accepted == job()
    expected = GenerateRequest(
        **WHERE,
        model="gen4_image",
        request_id="mine",
        image=ImageSpec(
            prompt_text="@hero in @style",
            ratio="1920:1080",
            output_count=2,
            references=[
                Media(data=b"png", tag="hero"),
                Media(uri="https://example.com/style.png", tag="style", subject="object"),
                Media(data=b"bytes", tag="third"),
            ],
        ),
        seed=0,
        max_credits=16.0,
        max_attempts=2,
        on_unknown_submission=OnUnknownSubmission.ON_UNKNOWN_SUBMISSION_RESUBMIT,
        priority=-7,
        labels={"team": "blue"},
    )
    expected.options.update({"quality": "low"})
    expected.start_by.FromDatetime(start_by)
    assert service.requests["Generate"] == [expected]
    assert style.tag == "", "the caller's own message is left as it was"


async def test_speech_and_sounds_reach_the_wire_and_what_is_left_out_is_absent(
    service: ScriptedService, client: WireClient, tmp_path: Path
) -> None:
    service.answers["Generate"] = [ACCEPTED] * 4
    voice = tmp_path / "voice.mp3"
    voice.write_bytes(b"mp3")
    ids = {**WHERE, "request_id": "mine"}

    await client.generate_speech(**ids, model="seed_audio", text="hello", voice_reference=voice, language="en")
    await client.generate_speech(**ids, model="eleven_v3", text="hello", voice="Maya")
    await client.generate_sound(
        **ids, model="m", prompt_text="rain", duration_seconds=0.5, loop=True, references=[voice], output_count=2
    )
    await client.generate_sound(**ids, model="m", prompt_text="rain")

    sound = SoundSpec(
        prompt_text="rain", duration_seconds=0.5, loop=True, references=[Media(data=b"mp3")], output_count=2
    )
    spoken = SpeechSpec(text="hello", voice_reference=Media(data=b"mp3"), language="en")
    assert service.requests["Generate"] == [
        GenerateRequest(**ids, model="seed_audio", speech=spoken),
        GenerateRequest(**ids, model="eleven_v3", speech=SpeechSpec(text="hello", voice="Maya")),
        GenerateRequest(**ids, model="m", sound=sound),
        GenerateRequest(**ids, model="m", sound=SoundSpec(prompt_text="rain")),
    ]


@pytest.mark.parametrize(("member", "spec"), SPECS, ids=[member for member, _ in SPECS])
async def test_each_spec_is_generated_and_quoted(
    service: ScriptedService, client: WireClient, member: str, spec: Spec
) -> None:
    service.answers["Generate"] = [ACCEPTED, GenerateResponse(estimated_credits=2.5), GenerateResponse()]

    assert await client.generate_spec(spec, **WHERE, model="m", seed=7) == job()
    assert await client.quote_spec(spec, **WHERE) == 2.5
    assert await client.quote_spec(spec, **WHERE) is None

    made, quoted, _ = service.requests["Generate"]
    assert (made.WhichOneof("operation"), made.model, made.seed, made.validate_only) == (member, "m", 7, False)
    assert getattr(made, member) == spec
    assert (quoted.model, quoted.validate_only) == ("", True)


def test_every_member_of_the_contract_has_its_spec() -> None:
    members = [field.name for field in GenerateRequest.DESCRIPTOR.oneofs_by_name["operation"].fields]

    assert [member for member, _ in SPECS] == members


async def test_a_request_keeps_its_id_over_every_retry(service: ScriptedService, client: WireClient) -> None:
    service.answers["Generate"] = [UNAVAILABLE, UNAVAILABLE, ACCEPTED, ACCEPTED]

    await client.generate_sound(**WHERE, model="m", prompt_text="rain")
    await client.generate_spec(HdrSpec(video=ASSET), **WHERE, model="m")

    ids = [request.request_id for request in service.requests["Generate"]]
    assert len(ids) == 4
    assert ids[0] == ids[1] == ids[2] != ids[3]


async def test_a_time_without_a_zone_is_refused(service: ScriptedService, client: WireClient) -> None:
    with pytest.raises(ValueError, match="start_by must be timezone-aware"):
        await client.generate_sound(**WHERE, model="m", prompt_text="x", start_by=datetime(2030, 1, 1))
    assert not service.requests


async def test_lists_watches_and_models_ask_for_all_kinds_or_for_some(
    service: ScriptedService, client: WireClient
) -> None:
    service.answers["ListVideos"] = [ListVideosResponse(), ListVideosResponse()]
    service.answers["ListModels"] = [ListModelsResponse(), ListModelsResponse()]
    service.streams = [[checkpoint(1), DRAINING], [checkpoint(2), Hold()], [event(3, state="SUCCEEDED")]]
    pictures = [MediaKind.MEDIA_KIND_IMAGE]

    assert [each async for each in client.list()] + [each async for each in client.list(kinds=pictures)] == []
    assert (*await client.models(), *await client.models(pictures)) == ()
    watch = client.watch(project_id="p")
    assert [(await anext(watch)).revision, (await anext(watch)).revision] == [1, 2]
    await watch.aclose()
    assert [message.revision async for message in client.watch(job_ids=["job-1"], kinds=pictures)] == [3]

    assert [list(request.kinds) for request in service.requests["ListVideos"]] == [list(ALL_KINDS), pictures]
    assert [list(request.kinds) for request in service.requests["ListModels"]] == [list(ALL_KINDS), pictures]
    # Resuming asks for the same; jobs that are named are watched whatever they make.
    assert [list(request.kinds) for request in service.watches] == [list(ALL_KINDS), list(ALL_KINDS), []]
    assert [*ALL_KINDS] == [value for value in MediaKind.values() if value]
