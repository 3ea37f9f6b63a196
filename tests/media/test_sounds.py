"""Delivered sounds are decoded completely, and refused where they are not what they state to be."""

import io
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.sounds import hear
from evergreen_server.ports.media import MediaRefused

CODECS = {"mp3": "libmp3lame", "flac": "flac", "ogg": "libopus", "wav": "pcm_s16le"}
TYPES = {"mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg", "wav": "audio/wav"}


def sound(kind: str, seconds: float = 3.0) -> bytes:
    made, rate = io.BytesIO(), 48_000
    with av.open(made, "w", format=kind) as container:
        stream = container.add_stream(CODECS[kind], rate=rate)
        stream.layout = "mono"
        samples = (np.sin(np.arange(int(rate * seconds)) / 20) * 9000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.codec_context.format or "s16", layout="mono", rate=rate)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode())
    return made.getvalue()


def heard(tmp_path: Path, data: bytes):
    path = tmp_path / "sound"
    path.write_bytes(data)
    return hear(path, MediaLimits())


@pytest.mark.parametrize("kind", CODECS)
def test_a_whole_sound_is_measured(tmp_path: Path, kind: str) -> None:
    found = heard(tmp_path, sound(kind))

    assert abs(found.duration_seconds - 3.0) < 0.1
    assert (found.content_type, found.width, found.height) == (TYPES[kind], 0, 0)


@pytest.mark.parametrize("kind", ["mp3", "flac", "wav"])
@pytest.mark.parametrize("part", [0.2, 0.7])
def test_a_sound_that_was_cut_off_is_refused(tmp_path: Path, kind: str, part: float) -> None:
    data = sound(kind)

    with pytest.raises(MediaRefused, match="broken or truncated"):
        heard(tmp_path, data[: int(len(data) * part)])


@pytest.mark.parametrize("tail", [b"TAG" + b"\0" * 125, b"\0" * 100_000, b"\0\0\0\1free" + b"\0" * 100_000])
def test_bytes_of_another_kind_at_the_end_are_left_out(tmp_path: Path, tail: bytes) -> None:
    assert abs(heard(tmp_path, sound("mp3") + tail).duration_seconds - 3.0) < 0.1


def test_an_mp3_that_states_no_length_is_believed(tmp_path: Path) -> None:
    data = sound("mp3")
    for mark in (b"Xing", b"Info"):
        data = data.replace(mark, b"\0\0\0\0")

    whole, half = heard(tmp_path, data), heard(tmp_path, data[: len(data) // 2])

    assert abs(whole.duration_seconds - 3.0) < 0.1
    assert 1.0 < half.duration_seconds < 2.0


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    silent = io.BytesIO()
    with wave.open(silent, "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
    samples = Path(__file__).parents[1] / "samples"

    for data in (silent.getvalue(), (samples / "rotate-90.mp4").read_bytes(), b"<html></html>", b"ID3" + b"\0" * 5000):
        with pytest.raises((MediaRefused, av.FFmpegError)):
            heard(tmp_path, data)
