"""What is heard in a film: at its place, as loud as asked for, and for as long as there is a picture."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy
import pytest

from evergreen_server.ports.rendering import RenderRefused
from evergreen_server.ports.timeline import Heard, Sound, Span
from tests.media.render.reel import RATE, SMALL, Cutting, clip, of, sound, tone

FRAMES = 24 * 6


@pytest.fixture
def black() -> Span:
    return Span(source=None, frames=FRAMES)


def speech(seconds: float, amplitude: float = 0.05) -> "numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.float32]]":
    """Syllables of a voice, with stops and sharp beginnings: its peaks lie far above its loudness."""
    times = numpy.arange(round(seconds * RATE)) / RATE
    shape = numpy.exp(-12 * (times % 0.25)) * (times % 2 < 1.7)
    voice = sum(numpy.sin(2 * numpy.pi * 140 * harmonic * times) / harmonic for harmonic in range(1, 12))
    return (amplitude * shape * voice).astype(numpy.float32)


@pytest.mark.parametrize("target", [-23.0, -16.0, -14.0])
async def test_a_film_has_the_loudness_asked_for_and_no_peak_above_one_db(
    cutting: Cutting, tmp_path: Path, black: Span, target: float
) -> None:
    line, bed = sound(tmp_path / "line.wav", speech(4)), sound(tmp_path / "bed.mp3", tone(2, 0.3, 220))
    heard = (
        Sound(source=cutting.source(bed), heard=Heard.MUSIC, start=0, loop=True),
        Sound(source=cutting.source(line), heard=Heard.SPEECH, start=0.5),
    )

    made, film = await cutting.film(of(black, sounds=heard), replace(SMALL, loudness_lufs=target))

    assert film.levels.lufs == pytest.approx(target, abs=0.5)
    assert film.levels.lufs == pytest.approx(made.lufs, abs=0.1)
    assert film.levels.peak is not None
    assert film.levels.peak <= -1.0
    assert film.levels.peak == pytest.approx(made.peak_dbtp, abs=0.1)
    assert film.lengths["audio"] == film.lengths["video"] == 6
    assert film.starts["audio"] == film.starts["video"] == 0
    assert made.warnings == ()


async def test_a_loudness_that_peaks_do_not_allow_is_missed_with_a_warning(
    cutting: Cutting, tmp_path: Path, black: Span
) -> None:
    noise = numpy.random.default_rng(1).standard_normal(RATE * 6).astype(numpy.float32)
    path = sound(tmp_path / "noise.wav", (noise / 4).clip(-1, 1))
    heard = (Sound(source=cutting.source(path), heard=Heard.EFFECT, start=0),)

    made, film = await cutting.film(of(black, sounds=heard), replace(SMALL, loudness_lufs=-5.0))

    assert film.levels.peak is not None
    assert film.levels.peak <= -1.0
    assert [warning.partition(":")[0] for warning in made.warnings] == ["LOUDNESS_MISSED"]


async def test_lines_are_brought_to_one_loudness_and_begin_at_their_places(
    cutting: Cutting, tmp_path: Path, black: Span
) -> None:
    loud, quiet = sound(tmp_path / "loud.wav", tone(1, 0.8)), sound(tmp_path / "quiet.m4a", tone(1, 0.01))
    heard = (
        Sound(source=cutting.source(loud), heard=Heard.SPEECH, start=0.5),
        Sound(source=cutting.source(quiet), heard=Heard.SPEECH, start=3.25),
    )

    _, film = await cutting.film(of(black, sounds=heard))

    assert film.loud(0.6, 1.4) == pytest.approx(film.loud(3.35, 4.15), abs=0.3)
    for silent in ((0.0, 0.48), (1.52, 3.23), (4.3, 6.0)):
        assert film.loud(*silent) < -60
    for begin in (0.5, 3.25):
        window = numpy.abs(film.samples[0, round((begin - 0.02) * RATE) : round((begin + 0.02) * RATE)])
        assert abs(int(numpy.argmax(window > window.max() / 2)) - round(0.02 * RATE)) < RATE * 0.003


async def test_music_goes_down_under_speech_and_comes_back(cutting: Cutting, tmp_path: Path, black: Span) -> None:
    bed, line = sound(tmp_path / "bed.wav", tone(1, 0.5, 2000)), sound(tmp_path / "line.wav", tone(1, 0.2, 200))
    heard = (
        Sound(source=cutting.source(bed), heard=Heard.MUSIC, start=0, loop=True),
        Sound(source=cutting.source(line), heard=Heard.SPEECH, start=2),
    )

    _, film = await cutting.film(of(black, sounds=heard))

    def bed_at(begin: float) -> float:
        part = film.samples[0, round(begin * RATE) : round((begin + 0.2) * RATE)]
        return 20 * float(numpy.log10(numpy.abs(numpy.fft.rfft(part))[400]))

    before, under, after = bed_at(1.4), bed_at(2.4), bed_at(3.8)
    assert before - under == pytest.approx(12, abs=0.5)
    assert before == pytest.approx(after, abs=0.3)
    assert before > bed_at(1.8) > under
    assert under < bed_at(3.2) < after


async def test_the_sound_of_a_clip_is_quieter_under_speech(cutting: Cutting, tmp_path: Path) -> None:
    own, line = clip(tmp_path / "own.mp4", frames=96, sound=0.2), sound(tmp_path / "line.wav", tone(1, 0.2, 2000))
    heard = (
        Sound(source=cutting.source(own), heard=Heard.CLIP, start=0, seconds=3),
        Sound(source=cutting.source(line), heard=Heard.SPEECH, start=1.5),
    )

    _, film = await cutting.film(of(cutting.span(own, 96), sounds=heard))

    def own_at(begin: float) -> float:
        part = film.samples[0, round(begin * RATE) : round((begin + 0.2) * RATE)]
        return 20 * float(numpy.log10(numpy.abs(numpy.fft.rfft(part))[88]))

    assert own_at(0.5) - own_at(2.0) == pytest.approx(8, abs=0.5)
    assert film.loud(3.02, 4) < -60


async def test_a_clip_without_sound_and_a_film_without_any_are_silent_as_long_as_they_are_seen(
    cutting: Cutting, tmp_path: Path
) -> None:
    mute = clip(tmp_path / "mute.mp4", frames=25)
    heard = (Sound(source=cutting.source(mute), heard=Heard.CLIP, start=0),)

    made, film = await cutting.film(of(cutting.span(mute, 25), sounds=heard))

    assert (made.lufs, made.peak_dbtp, made.copied) == (None, None, True)
    assert film.lengths == {"video": Fraction(25, 24), "audio": Fraction(25, 24)}
    assert not film.samples.any()


async def test_a_line_that_cannot_be_heard_is_named(cutting: Cutting, tmp_path: Path, black: Span) -> None:
    mute = clip(tmp_path / "mute.mp4")
    heard = (Sound(source=cutting.source(mute), heard=Heard.SPEECH, start=0),)

    with pytest.raises(RenderRefused, match="holds no sound") as caught:
        await cutting.film(of(black, sounds=heard))

    assert (caught.value.code, caught.value.span, caught.value.sound) == ("CLIP_UNSUPPORTED", None, 0)


async def test_more_sounds_at_once_than_files_may_be_open_are_refused(
    cutting: Cutting, tmp_path: Path, black: Span
) -> None:
    source = cutting.source(sound(tmp_path / "line.wav", tone(1, 0.2)))

    with pytest.raises(RenderRefused, match="more than 64 sounds") as caught:
        await cutting.film(of(black, sounds=[Sound(source=source, heard=Heard.SPEECH, start=0)] * 65))

    assert (caught.value.code, caught.value.sound) == ("RENDER_FAILED", 64)
