"""Measures loudness and true peaks (EBU R 128), and encodes a mix at the loudness asked for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite, log10
from pathlib import Path

import av
import numpy
from av.audio.frame import AudioFrame

from evergreen_server.media.render.sound.hearing import RATE, Samples, heard, samples_of

CEILING_DBTP = -1.0

_SILENT_LUFS = -60.0
"""What is not louder than this is taken for silence, and stays as it is."""
_MOST_GAIN = 30.0
_PASSES = 4
_NEAR = 0.2
"""How near, in LU, the target must be reached."""
_MARGIN = 0.3
"""How far, in dB, peaks stay below the ceiling at first, since encoding raises them a little."""
_OVERSAMPLED = 192_000
_BIT_RATE = 192_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """How loud a sound is, in LUFS, and its highest true peak, in dBTP; both None for silence."""

    lufs: float | None
    peak: float | None


class Meter:
    """Measures samples that are passed to it."""

    def __init__(self) -> None:
        self._graph = _graph(("ebur128", "peak=true:metadata=1:framelog=quiet"))
        self._found: dict[str, str] = {}
        self._at = 0

    def add(self, samples: Samples) -> None:
        self._graph.push(_frame(samples, self._at))
        self._at += samples.shape[1]
        self._read()

    def levels(self) -> Levels:
        """Returns what was measured; ends the measuring."""
        self._graph.push(None)
        self._read()
        lufs = float(self._found.get("lavfi.r128.I", "-inf"))
        peak = float(self._found.get("lavfi.r128.true_peak", "0"))
        if not isfinite(lufs) or lufs <= _SILENT_LUFS or peak <= 0:
            return Levels(lufs=None, peak=None)
        return Levels(lufs=lufs, peak=20 * log10(peak))

    def _read(self) -> None:
        for frame in _pulled(self._graph):
            self._found.update(frame.metadata)


def measured(blocks: Iterable[Samples]) -> Levels:
    """Measures a whole sound. One that is too short for a measurement is measured as if it were repeated."""
    meter, kept, length = Meter(), [], 0
    for block in blocks:
        if length < RATE:
            kept.append(block)
        length += block.shape[1]
        meter.add(block)
    if 0 < length < RATE:
        meter.add(numpy.tile(numpy.concatenate(kept, axis=1), (1, -(-RATE // length))))
    return meter.levels()


def encode(raw: Path, found: Levels, target: float, path: Path) -> Levels:
    """Encodes samples, interleaved in a file, as AAC of the loudness asked for; returns the levels of what was encoded.

    Peaks stay below the ceiling: where the gain alone would raise them above it, a limiter holds them, and as that
    makes it quieter, and the encoder makes other peaks, what comes of it is measured, and made anew if need be.
    """
    gain = 0.0 if found.lufs is None else min(_MOST_GAIN, target - found.lufs)
    ceiling = CEILING_DBTP - _MARGIN
    for more in reversed(range(_PASSES)):
        limited = found.peak is not None and found.peak + gain > ceiling
        _write(path, _levelled(raw, gain, ceiling if limited else None))
        made = measured(heard(path))
        if made.lufs is None or made.peak is None:
            return made
        over, off = made.peak - CEILING_DBTP, target - made.lufs
        if over <= 0 and (abs(off) <= _NEAR or more <= 1):
            return made
        down = max(0.0, over + _MARGIN / 3)
        ceiling -= down
        # In the end the same is made again, and only quieter, as peaks matter more than loudness.
        gain += min(off, _MOST_GAIN - gain) if more > 1 else -down
    return made


def _levelled(raw: Path, gain: float, ceiling: float | None) -> Iterator[Samples]:
    factor = numpy.float32(10 ** (gain / 20))
    blocks = (block * factor for block in _stored(raw))
    if ceiling is None:
        yield from blocks
        return
    limiter = f"limit={10 ** (ceiling / 20):.6f}:level=0:latency=1:attack=5:release=50"
    graph = _graph(("aresample", str(_OVERSAMPLED)), ("alimiter", limiter), ("aresample", str(RATE)))
    at = 0
    for block in blocks:
        graph.push(_frame(block, at))
        at += block.shape[1]
        yield from (samples_of(frame) for frame in _pulled(graph))
    graph.push(None)
    yield from (samples_of(frame) for frame in _pulled(graph))


def _stored(raw: Path) -> Iterator[Samples]:
    with raw.open("rb") as file:
        while data := file.read(RATE // 2 * 8):
            yield numpy.frombuffer(data, numpy.float32).reshape(-1, 2).T


def _write(path: Path, blocks: Iterator[Samples]) -> None:
    with av.open(str(path), "w", format="mp4", options={"movie_timescale": str(RATE)}) as container:
        stream = container.add_stream("aac", rate=RATE, layout="stereo")
        stream.bit_rate = _BIT_RATE
        at = 0
        for block in blocks:
            container.mux(stream.encode(_frame(block, at)))
            at += block.shape[1]
        container.mux(stream.encode())


def _graph(*filters: tuple[str, str]) -> av.filter.Graph:
    graph = av.filter.Graph()
    nodes = [graph.add_abuffer(sample_rate=RATE, format="fltp", layout="stereo", time_base=Fraction(1, RATE))]
    form = ("aformat", f"sample_fmts=fltp:channel_layouts=stereo:sample_rates={RATE}")
    nodes += [graph.add(name, given) for name, given in (*filters, form)]
    nodes.append(graph.add("abuffersink"))
    graph.link_nodes(*nodes).configure()
    return graph


def _pulled(graph: av.filter.Graph) -> Iterator[AudioFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(frame, AudioFrame)
        yield frame


def _frame(samples: Samples, at: int) -> AudioFrame:
    frame = AudioFrame.from_ndarray(numpy.ascontiguousarray(samples), "fltp", "stereo")
    frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
    return frame
