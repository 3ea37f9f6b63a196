"""Files that no film can be made of are refused by the span or sound that they are for, within bounds."""

import os
import struct
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy
import pytest
from PIL import Image

from evergreen_server.media.render.film import render
from evergreen_server.media.render.order import Attempt, Step
from evergreen_server.media.render.sound.hearing import heard
from evergreen_server.ports.rendering import Rendered, RenderOrder, RenderRefused
from evergreen_server.ports.timeline import Blend, Heard, Sound, Span
from tests.media.render.reel import RATE, Cutting, clip, of, sound, tone
from tests.media.test_pictures import bomb

BLACK = Span(source=None, frames=24)


def here(order: RenderOrder, tell: Callable[[Step], None] = lambda _: None, mark: str = "m") -> Rendered:
    """Renders a film in this process, each in a folder with another mark."""
    attempt = Attempt(mark=mark, segments_at_once=2, progress_seconds=0, cache_bytes=2**30, memory_bytes=2**31)
    return render(order, attempt, tell)


def refusal(order: RenderOrder, tell: Callable[[Step], None] = lambda _: None) -> RenderRefused:
    with pytest.raises(RenderRefused) as caught:
        here(order, tell)
    assert not order.out.exists()
    return caught.value


def half(path: Path) -> None:
    """An MP4 whose index, at its end, is cut off."""
    whole = clip(path).read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])


def half_with_an_index(path: Path) -> None:
    whole = clip(path.with_name("whole.mp4"))
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"movflags": "+faststart"}) as target:
        track = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = track
                target.mux(packet)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def only_sound(path: Path) -> None:
    path.write_bytes(sound(path.with_suffix(".m4a"), tone(1, 0.1)).read_bytes())


def no_frame(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        container.start_encoding()


def no_fragment(path: Path) -> None:
    """An MP4 whose frames would follow in fragments."""
    with av.open(str(path), "w", options={"movflags": "frag_keyframe+empty_moov"}) as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        container.start_encoding()


def no_frame_that_can_be_decoded(path: Path) -> None:
    """An MP4 whose frames are random bytes."""
    whole = bytearray(clip(path).read_bytes())
    begin = whole.index(b"mdat") + 4
    end = whole.index(b"moov") - 4
    whole[begin:end] = numpy.random.default_rng(1).integers(0, 256, end - begin, numpy.uint8).tobytes()
    path.write_bytes(whole)


def vast(path: Path) -> None:
    """A video whose frames are said to have 60,000 x 60,000 pixels."""
    whole = clip(path.with_suffix(".mov"), codec="mjpeg", pixels="yuvj420p", frames=2).read_bytes()
    said = struct.pack(">HH", 90, 160)
    path.write_bytes(whole.replace(b"\xff\xc0\x00\x11\x08" + said, b"\xff\xc0\x00\x11\x08" + b"\xea\x60" * 2))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def playlist(path: Path) -> None:
    path.write_text("#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n")


def drawing(path: Path) -> None:
    path.write_text('<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>')


def still(path: Path) -> None:
    Image.new("RGB", (160, 90)).save(path, format="PNG")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (half, "broken or truncated"),
        (half_with_an_index, "broken or truncated"),
        (only_sound, "holds no video"),
        (no_frame, "holds no video"),
        (no_fragment, "no frame"),
        (no_frame_that_can_be_decoded, "is broken"),
        (vast, "is broken"),
        (empty, "the file is empty"),
        (playlist, "not a video"),
        (drawing, "not a video"),
        (still, "not a video"),
    ],
)
@pytest.mark.parametrize("at_the_edge", [False, True])
def test_a_clip_that_is_none_is_refused_by_its_span(
    cutting: Cutting, tmp_path: Path, make: Callable[[Path], object], told: str, at_the_edge: bool
) -> None:
    make(tmp_path / "bad.mp4")
    span = cutting.span(tmp_path / "bad.mp4")
    before = replace(BLACK, blend=Blend.DISSOLVE, blend_frames=8) if at_the_edge else BLACK

    with pytest.raises(RenderRefused, match=told) as caught:
        here(cutting.order(of(before, span)))

    assert (caught.value.code, caught.value.span) == ("CLIP_UNSUPPORTED", 1)


def noise(path: Path) -> None:
    """A PNG of noise, cut off."""
    Image.fromarray(numpy.random.default_rng(1).integers(0, 256, (90, 160, 3), numpy.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:9000])


def vast_picture(path: Path) -> None:
    path.write_bytes(bomb(20_000))


def film_as_picture(path: Path) -> None:
    path.write_bytes(clip(path.with_suffix(".mp4")).read_bytes())


@pytest.mark.parametrize("make", [drawing, vast_picture, noise, film_as_picture, empty])
def test_a_picture_that_is_none_is_refused_by_its_span(
    cutting: Cutting, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "bad.png")

    found = refusal(cutting.order(of(BLACK, cutting.span(tmp_path / "bad.png", still=True))))

    assert (found.code, found.span) == ("CLIP_UNSUPPORTED", 1)


def endless(path: Path, rate: int) -> Path:
    """A WAV of a day or more, of which hardly anything lies on the disk."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 1, rate, 0, "NONE", ""))
        file.writeframes(bytes(range(256)) * 256)
    size = 2**32 - 2
    with path.open("r+b") as data:
        for at in (4, 40):
            data.seek(at)
            data.write((size - at - 4).to_bytes(4, "little"))
        data.truncate(size)
    return path


@pytest.mark.parametrize("heard", [Heard.SPEECH, Heard.MUSIC, Heard.EFFECT])
def test_of_a_sound_without_an_end_only_what_is_heard_is_read(cutting: Cutting, tmp_path: Path, heard: Heard) -> None:
    source = cutting.source(endless(tmp_path / "a.wav", 8_000))

    made = here(cutting.order(of(BLACK, sounds=(Sound(source=source, heard=heard, start=0),))))

    assert (made.seconds, made.lufs is None) == (1.0, False)


@pytest.mark.parametrize("rate", [1, 100, 2_000_000])
@pytest.mark.parametrize("heard", [Heard.SPEECH, Heard.MUSIC])
def test_a_sound_of_hardly_any_samples_a_second_or_too_many_is_refused(
    cutting: Cutting, tmp_path: Path, rate: int, heard: Heard
) -> None:
    source = cutting.source(endless(tmp_path / "a.wav", rate))

    found = refusal(cutting.order(of(BLACK, sounds=(Sound(source=source, heard=heard, start=0),))))

    assert (found.code, found.sound) == ("CLIP_UNSUPPORTED", 0)
    assert f"{rate} samples a second" in str(found)


def bare(path: Path, rate: int, layout: str) -> bytes:
    """Half a second of MP3 of one level, or nearly so, and nothing else."""
    with av.open(str(path), "w", options={"write_xing": "0", "id3v2_version": "0"}) as container:
        track = container.add_stream("libmp3lame", rate=rate, layout=layout)
        level = numpy.full((track.codec_context.channels, 1152), 0.2, numpy.float32)
        for _ in range(rate // 2304):
            frame = av.AudioFrame.from_ndarray(level, "fltp", layout)
            frame.sample_rate = rate
            container.mux(track.encode(frame))
        container.mux(track.encode())
    return path.read_bytes()


def test_a_sound_that_changes_its_form_is_heard_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "joined.mp3"
    forms = ((48_000, "mono"), (32_000, "stereo"), (44_100, "mono"))
    path.write_bytes(b"".join(bare(tmp_path / "a.mp3", *form) for form in forms))

    length = sum(block.shape[1] for block in heard(path))

    assert length / RATE == pytest.approx(1.5, abs=0.15)


def test_a_sound_after_the_end_of_the_film_is_not_read(cutting: Cutting, tmp_path: Path) -> None:
    source = cutting.source(endless(tmp_path / "a.wav", 1))

    made = here(cutting.order(of(BLACK, sounds=(Sound(source=source, heard=Heard.SPEECH, start=1.0),))))

    assert made.lufs is None


def replaced(path: Path) -> None:
    other = clip(path.with_name("other.mp4"), turn=0.5)
    os.replace(other, path)


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize("change", [replaced, appended, half, Path.unlink])
@pytest.mark.parametrize("frames", [24, 23])
def test_a_clip_that_changes_while_it_is_rendered_is_named_and_nothing_of_it_is_kept(
    cutting: Cutting, tmp_path: Path, change: Callable[[Path], object], frames: int
) -> None:
    """Of 24 frames it is copied, of 23 encoded."""
    path = clip(tmp_path / "a.mp4")
    order = cutting.order(of(cutting.span(path, frames)))
    done: list[Step] = []

    def tell(step: Step) -> None:
        if not done:
            change(path)
        done.append(step)

    found = refusal(order, tell)

    assert (found.code, found.span) == ("RENDER_FAILED", 0)
    assert "a.mp4 was changed or removed" in str(found)
    assert not list((tmp_path / "cache").glob("*.mp4"))


def test_a_line_that_changes_while_it_is_rendered_is_named(cutting: Cutting, tmp_path: Path) -> None:
    path = sound(tmp_path / "a.wav", tone(1, 0.1))
    order = cutting.order(of(BLACK, sounds=(Sound(source=cutting.source(path), heard=Heard.SPEECH, start=0),)))

    found = refusal(order, lambda _: path.write_bytes(b"RIFF"))

    assert (found.code, found.span, found.sound) == ("RENDER_FAILED", None, 0)


@pytest.mark.parametrize("kind", ["clip", "mp3", "wav"])
def test_a_file_of_which_bytes_were_changed_is_a_film_or_a_refusal(cutting: Cutting, tmp_path: Path, kind: str) -> None:
    chance = numpy.random.default_rng(3)
    made = clip(tmp_path / "a.mp4", sound=0.1) if kind == "clip" else sound(tmp_path / f"a.{kind}", tone(1, 0.2))
    whole, told = made.read_bytes(), list[tuple[str, int]]()

    for number in range(16):
        data, path = bytearray(whole), tmp_path / f"{number}"
        for place in chance.integers(0, len(data), (1, 3, 10, 40)[number % 4]):
            # The headers at the beginning and at the end are looked at more than what is between.
            where = (place, place % 600, len(data) - 1 - place % 1500)[chance.integers(3)]
            data[where] = chance.integers(256)
        path.write_bytes(data)
        span = cutting.span(path, 23) if kind == "clip" else BLACK
        heard_as = Heard.CLIP if kind == "clip" else Heard.SPEECH
        order = cutting.order(of(span, BLACK, sounds=(Sound(source=cutting.source(path), heard=heard_as, start=0),)))
        try:
            here(order, mark=f"m{number}")
        except RenderRefused as exc:
            told.append((exc.code, exc.span or exc.sound or 0))

    assert set(told) == {("CLIP_UNSUPPORTED", 0)}
    assert len(told) < 16
