"""Requests for pictures, speech and sounds that no model takes: refused at once, each fault at the caller's field."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict

from evergreen.v1 import video_pb2
from evergreen_server.providers.runway.catalog.models import PRESET_VOICES
from tests.rpc.refusals import invalid
from tests.serving import Api, Control, open_sandbox, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

PICTURE, SOUND = {"uri": "https://example.org/a.png"}, {"uri": "https://example.org/a.mp3"}
VIDEO = {"uri": "https://example.org/a.mp4"}
TOO_LONG = "🎬" * 2501


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Control]:
    async with open_sandbox() as control:
        yield control


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, sandbox: Control) -> AsyncIterator[Api]:
    async with serving(tmp_path_factory.mktemp("generate") / "data", sandbox.url) as opened:
        yield opened


def message(model: str, **fields: object) -> video_pb2.GenerateRequest:
    envelope = {"project_id": "film", "scene_id": "one", "request_id": "a", "model": model}
    return ParseDict({**envelope, **fields}, video_pb2.GenerateRequest())


REFUSED: list[tuple[video_pb2.GenerateRequest, dict[str, str]]] = [
    (message("eleven_v3", speech={"text": TOO_LONG, "voice": "Nobody"}),
     {"speech.text": "it has 5002", "speech.voice": ", ".join(PRESET_VOICES)}),
    (message("eleven_v3", speech={"text": "", "voice": "maya", "language": "x" * 6}),
     {"speech.text": "Required", "speech.voice": "must be one of Maya, ", "speech.language": "2 to 5"}),
    (message("eleven_v3", speech={"text": "x", "voice_reference": SOUND}),
     {"speech.voice": "Required", "speech.voice_reference": "taken by seed_audio"}),
    (message("gpt_image_2", image={"prompt_text": "x", "ratio": "auto", "references": [PICTURE] * 17}),
     {"image.references": "there are 17"}),
    (message("gpt_image_2_5_flare", image={"prompt_text": "x", "ratio": "auto"},
             options={"background": "transparent"}), {"options.background": "taken by gpt_image_2,"}),
    (message("gpt_image_2", image={"prompt_text": "x", "ratio": "auto", "output_count": 1_000_000}),
     {"image.output_count": "1 to 10"}),
    (message("gpt_image_2", image={"prompt_text": "x", "ratio": "auto", "output_count": -1}),
     {"image.output_count": "1 to 10"}),
    (message("recraft_v4_1_vector", image={"prompt_text": "x"}), {"model": "SVG"}),
    (message("gen4_turbo", image={"prompt_text": "x"}), {"model": "gen4_image"}),
    (message("", image={}), {"model": "gen4_image"}),
    (message("ideogram_4_5", image={"prompt_text": "x"}, options={"maskUri": "https://example.org/mask.png"}),
     {"options.maskUri": "use references"}),
    (message("gen4_image", image={"prompt_text": "x", "ratio": "720:720", "references": [{**PICTURE, "tag": "Hero!"}]}),
     {"image.references[0].tag": "^[a-z][a-z0-9_]+$"}),
    (message("seedream5_lite", image={"prompt_text": "x", "ratio": "99999:99999"}), {"image.ratio": "16777216 pixels"}),
    (message("eleven_text_to_sound_v2", sound={"prompt_text": "x", "duration_seconds": 0.49}),
     {"sound.duration_seconds": "0.5 to 30"}),
    (message("eleven_text_to_sound_v2", sound={"prompt_text": "x", "duration_seconds": 1e300}),
     {"sound.duration_seconds": "0.5 to 30"}),
    (message("eleven_text_to_sound_v2", sound={"prompt_text": "x", "duration_seconds": "NaN"}),
     {"sound.duration_seconds": "NaN"}),
    (message("eleven_text_to_sound_v2", sound={"prompt_text": "x" * 3001, "references": [SOUND]}),
     {"sound.prompt_text": "it has 3001", "sound.references[0]": "taken by seed_audio"}),
    (message("mirelo_sfx_2_0", video_sound={"duration_seconds": 1e9}),
     {"video_sound.video": "Required", "video_sound.duration_seconds": "1 to 300"}),
    (message("eleven_voice_dubbing",
             dubbing={"audio": SOUND, "target_language": "xx", "max_source_seconds": "Infinity"}),
     {"dubbing.target_language": "must be one of en, ", "dubbing.max_source_seconds": "more than 0"}),
    (message("act_two", performance={"character_image": PICTURE, "max_source_seconds": 31}),
     {"performance": "performance, a video", "performance.max_source_seconds": "at most 30"}),
    (message("ruby", hdr={"video": VIDEO}, options={"outputFormat": "hdr_exr_sequence"}),
     {"options.outputFormat": "hdr10, hlg, hdr_prores"}),
    (message("enhance_frame_rate", video_upscale={"video": VIDEO, "target_frame_rate": "1000000"}),
     {"video_upscale.target_frame_rate": ", 29.97, "}),
    (message("", multi_shot={"shots": [{"prompt_text": "x", "duration_seconds": 2_000_000_000}] * 3}),
     {f"multi_shot.shots[{number}].{name}": text for number in range(3)
      for name, text in (("prompt_text", "it has 1"), ("duration_seconds", "1 to 15"))}
     | {"multi_shot.shots": "not 6e+09"}),
    (message("", avatar_video={"avatar_id": "x"}), {"avatar_video.text": "text or audio"}),
    (message("eleven_v3", speech={"text": "x", "voice": "Maya"}, seed=2**40, options={"speed": "fast", "voice": {}}),
     {"seed": "4294967295", "options.speed": "0.7 to 1.2", "options.voice": "use voice_reference or voice"}),
]  # fmt: skip


@pytest.mark.parametrize(("refused", "expected"), REFUSED, ids=range(len(REFUSED)))
async def test_every_fault_is_told_at_the_field_that_was_sent(
    api: Api, refused: video_pb2.GenerateRequest, expected: dict[str, str]
) -> None:
    told = await invalid(api.video.Generate(refused))

    assert told.keys() == expected.keys()
    for field, text in expected.items():
        assert text in told[field]


async def test_the_refused_leave_nothing(api: Api, sandbox: Control) -> None:
    listed = await api.video.ListVideos(video_pb2.ListVideosRequest(kinds=list(video_pb2.MediaKind.values())[1:]))

    assert list(listed.jobs) == []
    assert await sandbox.tasks() == []
