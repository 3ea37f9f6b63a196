"""What the client sends for each operation is taken by the sandbox, which then asks for no more than was quoted."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from evergreen_server.ports.specs import GenerationSpec, Media, Operation, PreparedMedia, Role
from evergreen_server.providers.runway.catalog.composing.layouts import LAYOUTS
from evergreen_server.providers.runway.catalog.models import RunwayModels
from evergreen_server.providers.runway.http.client import RunwayClient
from evergreen_server.providers.runway.sandbox import SANDBOX_KEY
from tests.providers.runway.sandbox.bodies import PICTURE, SOUND, TEXT, VIDEO
from tests.providers.runway.sandbox.driver import Caller
from tests.providers.runway.sandbox.making import shared
from tests.providers.runway.scripted import client_for

pytestmark = pytest.mark.asyncio(loop_scope="module")

URIS = {
    Role.REFERENCE: PICTURE, Role.FIRST_FRAME: PICTURE, Role.SOURCE_VIDEO: VIDEO, Role.REFERENCE_VIDEO: VIDEO,
    Role.REFERENCE_AUDIO: SOUND,
}  # fmt: skip
VOICE, SHORT = {"voice": "Maya"}, {"max_source_seconds": 6.0}


def spec(operation: Operation, model: str, *roles: Role, **fields: object) -> GenerationSpec:
    media = tuple(Media(role=role, uri=URIS[role]) for role in roles)
    return GenerationSpec(operation=operation, model=model, media=media, **fields)  # type: ignore[arg-type]  # test cases


SPECS = [
    spec(Operation.TEXT_TO_IMAGE, "gpt_image_2", Role.REFERENCE, prompt_text=TEXT, ratio="auto",
         parameters={"output_count": 2}),
    spec(Operation.TEXT_TO_IMAGE, "gen4_image", prompt_text=TEXT, ratio="1280:720", seed=1),
    spec(Operation.IMAGE_UPSCALE, "magnific_precision_upscaler_v2", Role.REFERENCE, parameters={"scale_factor": 4}),
    spec(Operation.TEXT_TO_SPEECH, "eleven_v3", prompt_text=TEXT, parameters={**VOICE, "language": "en"}),
    spec(Operation.TEXT_TO_SPEECH, "seed_audio", Role.REFERENCE_AUDIO, prompt_text=TEXT),
    spec(Operation.SOUND_EFFECT, "eleven_text_to_sound_v2", prompt_text=TEXT, duration_seconds=2.5,
         parameters={"loop": True}),
    spec(Operation.SOUND_EFFECT, "seed_audio", Role.REFERENCE_AUDIO, prompt_text=TEXT),
    spec(Operation.VIDEO_TO_AUDIO, "mirelo_sfx_2_0", Role.SOURCE_VIDEO, duration_seconds=4.0),
    spec(Operation.SPEECH_TO_SPEECH, "eleven_multilingual_sts_v2", Role.REFERENCE_AUDIO,
         parameters={**VOICE, **SHORT}),
    spec(Operation.VOICE_DUBBING, "eleven_voice_dubbing", Role.REFERENCE_AUDIO,
         parameters={"target_language": "de", **SHORT}),
    spec(Operation.VOICE_ISOLATION, "eleven_voice_isolation", Role.REFERENCE_AUDIO, parameters=SHORT),
    spec(Operation.CHARACTER_PERFORMANCE, "act_two", Role.REFERENCE, Role.SOURCE_VIDEO, ratio="960:960"),
    spec(Operation.CHARACTER_PERFORMANCE, "act_two", Role.REFERENCE_VIDEO, Role.SOURCE_VIDEO, parameters=SHORT),
    spec(Operation.VIDEO_UPSCALE, "magnific_video_upscaler_creative", Role.SOURCE_VIDEO, resolution="720p"),
    spec(Operation.VIDEO_UPSCALE, "enhance_frame_rate", Role.SOURCE_VIDEO, parameters={"target_frame_rate": "29.97"}),
    spec(Operation.VIDEO_TO_HDR, "ruby", Role.SOURCE_VIDEO, options={"outputFormat": "hlg"}),
    spec(Operation.MULTI_SHOT_VIDEO, "multi_shot_video", Role.FIRST_FRAME, prompt_text=TEXT, ratio="1440:1440"),
    spec(Operation.MULTI_SHOT_VIDEO, "multi_shot_video", duration_seconds=15,
         parameters={"shots": [{"prompt_text": TEXT, "duration_seconds": 5}] * 3, "audio": False}),
    spec(Operation.AVATAR_VIDEOS, "gwm1_avatars", prompt_text=TEXT,
         parameters={"avatar": "influencer", "voice": "luna"}),
    spec(Operation.AVATAR_VIDEOS, "gwm1_avatars", Role.REFERENCE_AUDIO, parameters={"avatar": "influencer"}),
]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runway() -> AsyncIterator[Caller]:
    async for caller in shared():
        yield caller


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(runway: Caller) -> AsyncIterator[RunwayClient]:
    async with client_for(runway.url, key=SANDBOX_KEY) as opened:
        yield opened


@pytest.mark.parametrize("request_", SPECS, ids=range(len(SPECS)))
async def test_the_sandbox_takes_it_and_charges_no_more_than_the_quote(
    client: RunwayClient, request_: GenerationSpec
) -> None:
    models = RunwayModels()
    media = [PreparedMedia(role=one.role, uri=one.uri or "") for one in request_.media]

    submission = await client.create(request_, media, before_send=lambda: None)

    quoted, asked = models.quote(request_), submission.estimated_millicredits
    assert models.field_errors(request_) == []
    assert (await client.task(submission.task_id)).task_id == submission.task_id
    # The answer to an avatar's create tells no price.
    assert (asked is None) is (request_.operation is Operation.AVATAR_VIDEOS)
    assert quoted is None or (asked is not None and asked <= quoted)


async def test_every_operation_is_sent() -> None:
    assert {one.operation for one in SPECS} == set(LAYOUTS)
