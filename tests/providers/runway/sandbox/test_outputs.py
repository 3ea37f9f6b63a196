"""What comes out: real clips of the asked size and length, by URLs that expire, whole or in ranges."""

import asyncio
import subprocess
import sys
import zipfile
from io import BytesIO
from urllib.parse import urlsplit
from xml.etree import ElementTree

import av
import pytest
from PIL import Image

from tests.providers.runway.sandbox.driver import SAMPLES, STEADY, Caller, data_uri, opened


def frames(data: bytes) -> tuple[int, int, float, str, str, int]:
    with av.open(BytesIO(data), "r") as container:
        stream = container.streams.video[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        count = len(list(container.decode(stream)))
        seconds = float(stream.duration * stream.time_base)
        codec = stream.codec_context
        return codec.width, codec.height, seconds, codec.name, str(codec.pix_fmt), count


async def test_a_picture_becomes_a_playable_clip_of_the_asked_ratio_and_duration_while_the_loop_stays_free() -> None:
    uri = data_uri((SAMPLES / "coffee.png").read_bytes())
    async with opened(settings=STEADY.changed({"render_scale": 1.0})) as runway:
        url = await runway.done(promptImage=uri, ratio="832:1104", duration=4)
        longest = 0.0
        async with asyncio.TaskGroup() as group:
            fetched = group.create_task(runway.call("GET", url))
            loop = asyncio.get_running_loop()
            begun = loop.time()
            while not fetched.done():
                before = loop.time()
                await asyncio.sleep(0.005)
                longest = max(longest, loop.time() - before - 0.005)
        took = loop.time() - begun
        reply = fetched.result()

    assert reply.headers["Content-Type"] == "video/mp4"
    assert frames(reply.data) == (832, 1104, 4.0, "h264", "yuv420p", 96)
    assert reply.data.find(b"moov") < reply.data.find(b"mdat")
    # A busy machine makes any loop wait; one that rendered would wait nearly all the time.
    assert longest < took / 3


async def test_the_picture_moves_and_differs_from_another_picture() -> None:
    async with opened() as runway:
        clips = []
        for name in ("coffee.png", "chelsea.png"):
            uri = data_uri((SAMPLES / name).read_bytes())
            clips.append((await runway.call("GET", await runway.done(promptImage=uri, duration=2))).data)
        same = (await runway.call("GET", await runway.done(promptImage=uri, duration=2))).data
    with av.open(BytesIO(clips[0]), "r") as container:
        first, *_, last = (frame.to_ndarray(format="gray").astype(int) for frame in container.decode(video=0))

    assert abs(first - last).mean() > 2
    assert clips[0] != clips[1]
    assert same == clips[1]


async def test_the_made_up_picture_of_text_to_video_follows_the_prompt(runway: Caller) -> None:
    async def clip(prompt: str) -> bytes:
        request = {"model": "gen4.5", "promptText": prompt, "ratio": "720:1280", "duration": 2}
        task_id = (await runway.call("POST", "/v1/text_to_video", json=request)).json["id"]
        await runway.advance(60)
        return (await runway.call("GET", (await runway.task(task_id))["output"][0])).data

    first, other = await clip("a fox"), await clip("a hen")

    assert frames(first)[:2] == (180, 320)
    assert first != other


async def test_a_clip_is_served_in_ranges(runway: Caller) -> None:
    url = await runway.done(duration=2)
    whole = await runway.call("GET", url)

    async def part(asked: str, **more: str) -> tuple[int, bytes, str]:
        reply = await runway.call("GET", url, headers={"Range": asked, **more})
        return reply.status, reply.data, reply.headers.get("Content-Range", "")

    size = len(whole.data)
    assert whole.headers["Content-Length"] == str(size)
    assert await part("bytes=10-19") == (206, whole.data[10:20], f"bytes 10-19/{size}")
    assert await part(f"bytes={size - 5}-") == (206, whole.data[-5:], f"bytes {size - 5}-{size - 1}/{size}")
    assert await part("bytes=-5") == (206, whole.data[-5:], f"bytes {size - 5}-{size - 1}/{size}")
    assert await part(f"bytes={size}-") == (416, b"", f"bytes */{size}")
    assert (await part("bytes=0-9", **{"If-Range": '"another"'}))[0] == 200
    head = await runway.call("HEAD", url)
    assert (head.status, head.headers["Content-Length"]) == (200, str(size))


async def test_an_output_url_expires_and_another_get_of_the_task_brings_a_fresh_one(runway: Caller) -> None:
    task_id = await runway.create(duration=2)
    await runway.advance(60)
    first, second = [(await runway.task(task_id))["output"][0] for _ in range(2)]
    await runway.advance(24 * 3600 + 1)
    fresh = (await runway.task(task_id))["output"][0]

    assert len({first, second, fresh}) == 3
    assert (await runway.call("GET", first)).status == 403
    assert (await runway.call("GET", fresh)).status == 200
    assert (await runway.call("GET", fresh[:-2] + "AA")).status == 403
    await runway.call("DELETE", f"/v1/tasks/{task_id}")
    assert (await runway.call("GET", fresh)).status == 404


async def test_a_padded_output_is_long_still_plays_and_is_cut_anywhere(runway: Caller) -> None:
    await runway.fault("large_output", bytes=3_000_000)
    url = await runway.done(duration=2)

    whole = (await runway.call("GET", url)).data
    start = len(whole) - 3_000_000 - 5
    part = (await runway.call("GET", url, headers={"Range": f"bytes={start}-{start + 99}"})).data

    assert len(whole) > 3_000_000
    assert whole[start + 9 : start + 13] == b"free"
    assert part == whole[start : start + 100]
    assert frames(whole)[5] == 48


async def test_a_task_can_have_several_outputs(runway: Caller) -> None:
    await runway.fault("many_outputs", number=3)
    task_id = await runway.create(duration=2)
    await runway.advance(60)

    urls = (await runway.task(task_id))["output"]

    assert len({url.partition("?")[0] for url in urls}) == 3
    assert [(await runway.call("GET", url)).status for url in urls] == [200, 200, 200]


@pytest.mark.parametrize("broken", ["rocket.jpg"])
async def test_a_truncated_picture_still_becomes_a_clip(runway: Caller, broken: str) -> None:
    data = (SAMPLES / broken).read_bytes()
    url = await runway.done(promptImage=data_uri(data[: len(data) // 2], "image/jpeg"), duration=2)

    assert (await runway.call("GET", url)).status == 200


@pytest.mark.parametrize(
    ("asked", "ending", "content_type", "codec", "sounds"),
    [
        ({"model": "gen4.5"}, "mp4", "video/mp4", "h264", 0),
        ({"model": "gen4.5", "outputFormat": "hdr10"}, "mp4", "video/mp4", "hevc", 0),
        ({"model": "gen4.5", "outputFormat": "hlg"}, "mp4", "video/mp4", "hevc", 0),
        ({"model": "gen4.5", "outputFormat": "sdr_rec709_10bit"}, "mp4", "video/mp4", "hevc", 0),
        ({"model": "gen4.5", "outputFormat": "hdr_pq_12bit_master"}, "mov", "video/quicktime", "prores", 0),
        (
            {"model": "gen4.5", "outputFormat": "prores", "proresProfile": "422 Proxy"},
            "mov",
            "video/quicktime",
            "prores",
            0,
        ),
        (
            {"model": "gen4.5", "outputFormat": "prores", "proresProfile": "4444 XQ"},
            "mov",
            "video/quicktime",
            "prores",
            0,
        ),
        ({"model": "gen4.5", "outputFormat": "prores"}, "mov", "video/quicktime", "prores", 0),
        ({"model": "seedance2_5", "outputFormat": "mov", "audio": False}, "mov", "video/quicktime", "h264", 0),
        ({"model": "seedance2_5", "outputFormat": "mov"}, "mov", "video/quicktime", "h264", 1),
        ({"model": "veo3.1"}, "mp4", "video/mp4", "h264", 1),
        ({"model": "veo3.1", "audio": True}, "mp4", "video/mp4", "h264", 1),
        ({"model": "veo3.1", "audio": False}, "mp4", "video/mp4", "h264", 0),
        ({"model": "wan3", "audio": True, "ratio": "auto_480p"}, "mp4", "video/mp4", "h264", 1),
    ],
)
async def test_a_clip_has_the_container_and_the_sound_that_were_asked_for(
    runway: Caller, asked: dict[str, object], ending: str, content_type: str, codec: str, sounds: int
) -> None:
    url = await made(runway, {"ratio": "1280:720", **asked})
    reply = await runway.call("GET", url, headers={})

    with av.open(BytesIO(reply.data)) as container:
        found = container.streams.video[0].codec_context.name, len(container.streams.audio)
        seconds = float(container.duration or 0) / av.time_base
    assert urlsplit(url).path.endswith(f"/0.{ending}")
    assert reply.headers["Content-Type"] == content_type
    assert found == (codec, sounds)
    assert seconds == pytest.approx(4.0, abs=0.1)


async def test_a_sequence_is_an_archive_of_a_picture_per_frame(runway: Caller) -> None:
    url = await made(runway, {"model": "gen4.5", "ratio": "1280:720", "outputFormat": "png_sequence"})
    reply = await runway.call("GET", url, headers={})

    with zipfile.ZipFile(BytesIO(reply.data)) as archive:
        names = archive.namelist()
        with Image.open(archive.open(names[-1])) as last:
            size, form = last.size, last.format
    assert reply.headers["Content-Type"] == "application/zip"
    assert (len(names), names[0], size, form) == (96, "frame_000001.png", (320, 180), "PNG")


async def test_an_hdr_sequence_is_an_archive_of_exr_frames(runway: Caller) -> None:
    url = await made(runway, {"model": "gen4.5", "ratio": "1280:720", "outputFormat": "hdr_exr_acescg_sequence_1_3"})
    reply = await runway.call("GET", url, headers={})

    with zipfile.ZipFile(BytesIO(reply.data)) as archive:
        names = archive.namelist()
        with av.open(BytesIO(archive.read(names[50])), format="exr_pipe") as container:
            [still] = container.decode(video=0)
    assert (len(names), names[0], still.width, still.height) == (96, "frame_000001.exr", 320, 180)


async def made(runway: Caller, asked: dict[str, object]) -> str:
    """Generates four seconds from text. Returns the output's URL."""
    answer = await runway.call("POST", "/v1/text_to_video", json={"promptText": "a wish", "duration": 4, **asked})
    assert answer.status == 200, answer.data
    await runway.advance(300)
    return str((await runway.task(answer.json["id"]))["output"][0])


async def test_the_sound_of_a_sequence_is_a_file_beside_it(runway: Caller) -> None:
    loud = await runway.call("GET", await made(runway, {"model": "veo3.1", "ratio": "1280:720"}), headers={})
    asked = {
        "model": "aleph2", "promptText": "at night", "outputFormat": "png_sequence",
        "videoUri": data_uri(loud.data, "video/mp4"),
    }  # fmt: skip
    task_id = (await runway.call("POST", "/v1/video_to_video", json=asked)).json["id"]
    await runway.advance(300)

    frames, track = (await runway.task(task_id))["output"]

    with av.open(BytesIO((await runway.call("GET", track, headers={})).data)) as container:
        seconds = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    assert urlsplit(frames).path.endswith("/0.zip")
    assert urlsplit(track).path.endswith("/1.wav")
    assert seconds == pytest.approx(4, abs=0.1)


async def test_a_padded_drawing_can_still_be_read(runway: Caller) -> None:
    await runway.fault("large_output", bytes=500_000)
    asked = {"model": "recraft_v4_1_vector", "promptText": "a sign"}
    task_id = (await runway.call("POST", "/v1/text_to_image", json=asked)).json["id"]
    await runway.advance(300)

    drawn = (await runway.call("GET", (await runway.task(task_id))["output"][0], headers={})).data

    assert len(drawn) > 500_000
    assert ElementTree.fromstring(drawn).get("width") == "256"


def test_a_server_loads_no_codecs_of_its_own_since_workers_do() -> None:
    script = "import sys, evergreen_server.app; print(sorted({'av', 'numpy'} & {*sys.modules}))"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "[]\n"
