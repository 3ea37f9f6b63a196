"""Speech and sounds: mono samples in pieces of at most about a second, so that an hour needs no more memory."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TypeAlias

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from evergreen_server.providers.runway.rendering.files import LOCAL, whole
from evergreen_server.providers.runway.rendering.job import Form, Job
from evergreen_server.providers.runway.rendering.spoken import phrases

__all__ = [
    "audio_frames",
    "decoded",
    "fitted",
    "hum",
    "make_effect",
    "make_sound",
    "make_speech",
    "make_voice",
    "speech",
    "write_sound",
]

Samples: TypeAlias = NDArray[np.float32]

_CODECS = {
    "mp3": ("mp3", "libmp3lame"),
    "wav": ("wav", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "ogg": ("ogg", "libopus"),
}
_OPUS_RATES = (8_000, 16_000, 24_000, 48_000)
_SYLLABLES_PER_SECOND = 4.2
_BLOCK_SECONDS = 0.01
_QUIET = 0.02


def make_speech(job: Job) -> None:
    """Writes a text as voiced noise in syllables."""
    rate = _rate(job)
    write_sound(
        job.target, job.form, rate, speech(job.text, speed=job.speed, pitch=job.pitch, loudness=job.loudness, rate=rate)
    )


def make_effect(job: Job) -> None:
    """Writes a made-up sound."""
    rate = _rate(job)
    write_sound(job.target, job.form, rate, _effect(job.seed, job.seconds, rate, loop=job.loop))


def make_voice(job: Job) -> None:
    """Writes what the source says in another voice, or without what is too quiet to be a voice."""
    rate = _rate(job)
    pieces = _gathered(decoded(job.source, rate=rate, seconds=job.seconds), rate)
    write_sound(job.target, job.form, rate, _gated(pieces, rate) if job.gate else _revoiced(pieces, job.pitch, rate))


def make_sound(job: Job) -> None:
    """Writes the sound of the source as it is."""
    write_sound(job.target, job.form, job.sample_rate, decoded(job.source, rate=job.sample_rate, seconds=job.seconds))


def speech(text: str, *, speed: float, pitch: float, loudness: float, rate: int) -> Iterator[Samples]:
    """Yields a voice that says a text, with silence at the stops."""
    noise = np.random.default_rng(len(text))
    for voiced, pause in phrases(text, speed):
        for times in _times(voiced, rate):
            syllables = 0.55 - 0.45 * np.cos(2 * np.pi * _SYLLABLES_PER_SECOND * times)
            tone = _carrier(times, pitch) + 0.05 * noise.standard_normal(len(times))
            yield np.clip(0.25 * loudness * syllables * tone, -1, 1).astype(np.float32)
        yield np.zeros(round(pause * rate), np.float32)


def hum(seconds: float, rate: int) -> Iterator[Samples]:
    """Yields a quiet tone."""
    for times in _times(seconds, rate):
        yield (0.1 * np.sin(2 * np.pi * 220 * times)).astype(np.float32)


def decoded(source: str, *, rate: int, seconds: float) -> Iterator[Samples]:
    """Yields the sound of a file, exactly as long as asked: cut, or followed by silence, also where it is broken."""
    left = round(seconds * rate)
    resampler = AudioResampler(format="flt", layout="mono", rate=rate)
    with av.open(source, options=LOCAL) as container:
        try:
            for frame in container.decode(audio=0):
                frame.pts = None
                for piece in resampler.resample(frame):
                    samples = piece.to_ndarray()[0][:left]
                    left -= len(samples)
                    yield samples
                if left <= 0:
                    return
        except av.error.FFmpegError:
            # What could be read of an accepted file is used, as with pictures.
            pass
    yield from _silence(left, rate)


def fitted(pieces: Iterable[Samples], rate: int, seconds: float) -> Iterator[Samples]:
    """Yields samples for exactly so long: cut, or followed by silence."""
    left = round(seconds * rate)
    for piece in pieces:
        yield piece[:left]
        left -= len(piece[:left])
        if not left:
            return
    yield from _silence(left, rate)


def audio_frames(pieces: Iterable[Samples], rate: int) -> Iterator[AudioFrame]:
    """Yields samples as an encoder takes them."""
    start = 0
    for piece in pieces:
        if len(piece):
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(piece)[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            start += len(piece)
            yield frame


def write_sound(target: str, form: Form, rate: int, pieces: Iterable[Samples]) -> None:
    """Writes samples as a file."""
    container_format, codec = _CODECS[form]
    with whole(target) as path, av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        for frame in audio_frames(pieces, rate):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _rate(job: Job) -> int:
    if job.form == "ogg" and job.sample_rate not in _OPUS_RATES:
        return 48_000
    return job.sample_rate


def _times(seconds: float, rate: int) -> Iterator[NDArray[np.float64]]:
    count = round(seconds * rate)
    for start in range(0, count, rate):
        yield np.arange(start, min(count, start + rate)) / rate


def _carrier(times: NDArray[np.float64], pitch: float) -> NDArray[np.float64]:
    waves: NDArray[np.float64] = np.sum(
        [np.sin(2 * np.pi * pitch * part * times) / part for part in range(1, 6)], axis=0
    )
    return waves


def _silence(count: int, rate: int) -> Iterator[Samples]:
    for start in range(0, count, rate):
        yield np.zeros(min(rate, count - start), np.float32)


def _effect(seed: int, seconds: float, rate: int, *, loop: bool) -> Iterator[Samples]:
    random = np.random.default_rng(seed)
    # A whole number of waves within the length makes the end meet the beginning.
    tones = [max(1, round(pitch * seconds)) / seconds for pitch in random.uniform(80, 1200, 3)]
    swell = max(1, round(seconds / 2)) / seconds
    for times in _times(seconds, rate):
        wave = np.sum([np.sin(2 * np.pi * tone * times) for tone in tones], axis=0)
        level = 0.12 * (0.7 - 0.3 * np.cos(2 * np.pi * swell * times))
        if not loop:
            level = level * np.clip((seconds - times) / 0.2, 0, 1)
        yield (level * wave).astype(np.float32)


def _gathered(pieces: Iterable[Samples], size: int) -> Iterator[Samples]:
    """Yields the same samples in pieces of one size, but for the last."""
    held: list[Samples] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        while count >= size:
            joined = np.concatenate(held)
            yield joined[:size]
            held, count = [joined[size:]], count - size
    if count:
        yield np.concatenate(held)


def _levels(piece: Samples, rate: int) -> NDArray[np.float64]:
    """Returns how loud a piece is around each of its samples."""
    block = max(1, round(rate * _BLOCK_SECONDS))
    padded = np.pad(piece.astype(np.float64), (0, -len(piece) % block)).reshape(-1, block)
    return np.repeat(np.sqrt((padded * padded).mean(axis=1)), block)[: len(piece)]


def _revoiced(pieces: Iterable[Samples], pitch: float, rate: int) -> Iterator[Samples]:
    start = 0
    for piece in pieces:
        times = np.arange(start, start + len(piece)) / rate
        yield np.clip(_levels(piece, rate) * _carrier(times, pitch), -1, 1).astype(np.float32)
        start += len(piece)


def _gated(pieces: Iterable[Samples], rate: int) -> Iterator[Samples]:
    for piece in pieces:
        yield np.where(_levels(piece, rate) < _QUIET, 0, piece).astype(np.float32)
