"""Writes frames and samples as a video file, or as an archive of pictures."""

import zipfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from evergreen_server.providers.runway.rendering.job import Form
from evergreen_server.providers.runway.rendering.pictures import encoded
from evergreen_server.providers.runway.rendering.sounds import Samples, audio_frames

__all__ = ["SOUND_RATE", "with_alpha", "write_archive", "write_video"]

SOUND_RATE = 48_000
"""Samples per second of a clip's sound."""

_ARCHIVE_BYTES_MOST = 4 * 1024**3
_H264 = {"preset": "ultrafast", "crf": "28", "tune": "zerolatency"}
_HEVC = {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1"}
_PRORES = ("proxy", "lt", "standard", "hq", "4444", "4444xq")
"""Profiles, in the order of their numbers. The encoder that knows their names takes five times as long."""
_COLOURS = {"hdr10": (9, 16), "hlg": (9, 18), "sdr10": (1, 1)}
"""Primaries and matrix (BT.2020 or BT.709), and transfer (PQ, HLG or BT.709), by their numbers in H.273."""
_FRAMES_PER_EXR = 4
"""An EXR takes a third of a second to compress, so that every fourth frame of a film has to do for the next ones."""


def write_video(
    path: Path,
    frames: Iterable[VideoFrame],
    *,
    form: Form,
    size: tuple[int, int],
    rate: Fraction,
    sound: Iterable[Samples] | None,
    profile: str,
) -> None:
    """Writes a file that can be played from its beginning before the rest has arrived."""
    container_format = "mov" if form in ("mov", "prores") else "mp4"
    with av.open(str(path), "w", format=container_format, options={"movflags": "+faststart"}) as container:
        stream = _video_stream(container, form, rate, profile)
        stream.width, stream.height = size
        track = None if sound is None else container.add_stream("aac", rate=SOUND_RATE, layout="mono")
        samples = iter(() if sound is None else audio_frames(sound, SOUND_RATE))
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
            # A second of sound at a time: a muxer holds what comes from one of its tracks alone.
            if track is not None and index % max(1, round(rate)) == 0:
                _mux_next(container, track, samples)
        container.mux(stream.encode())
        if track is not None:
            while _mux_next(container, track, samples):
                pass
            container.mux(track.encode())


def write_archive(
    path: Path, frames: Iterable[VideoFrame], *, form: Form, files: Iterable[tuple[str, bytes]] = ()
) -> None:
    """Writes one picture per frame, and further files. Raises ValueError where it grows too large for a sandbox."""
    still, last = b"", None
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files:
            archive.writestr(name, data)
        for index, frame in enumerate(frames):
            if frame is not last and (form == "frames" or index % _FRAMES_PER_EXR == 0):
                still, last = _exr(frame) if form == "exr" else _png(frame), frame
            if path.stat().st_size > _ARCHIVE_BYTES_MOST:
                raise ValueError("the sequence is too large")
            archive.writestr(f"frame_{index + 1:06}.{'exr' if form == 'exr' else 'png'}", still)


def with_alpha(frame: VideoFrame) -> bool:
    """Returns whether a frame has transparency."""
    return any(component.is_alpha for component in frame.format.components)


def _mux_next(container: OutputContainer, track: AudioStream, samples: "Iterator[av.AudioFrame]") -> bool:
    frame = next(samples, None)
    if frame is not None:
        container.mux(track.encode(frame))
    return frame is not None


def _video_stream(container: OutputContainer, form: Form, rate: Fraction, profile: str) -> VideoStream:
    match form:
        case "prores":
            stream = container.add_stream("prores_aw", rate=rate, options={"profile": str(_PRORES.index(profile))})
            stream.pix_fmt = "yuva444p10le" if profile.startswith("4444") else "yuv422p10le"
        case "hdr10" | "hlg" | "sdr10":
            stream = container.add_stream("libx265", rate=rate, options=_HEVC)
            stream.pix_fmt = "yuv420p10le"
            coder = stream.codec_context
            # The tag by which players of Apple recognise HEVC.
            coder.codec_tag = "hvc1"
            coder.color_primaries, coder.color_trc = _COLOURS[form]
            coder.colorspace = coder.color_primaries
        case _:
            stream = container.add_stream("libx264", rate=rate, options=_H264)
            stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1
    return stream


def _png(frame: VideoFrame) -> bytes:
    return encoded(Image.fromarray(frame.to_ndarray(format="rgb24")), "png")


def _exr(frame: VideoFrame) -> bytes:
    pixel_format = "gbrapf32le" if with_alpha(frame) else "gbrpf32le"
    coder = av.VideoCodecContext.create("exr", "w")
    coder.width, coder.height, coder.pix_fmt = frame.width, frame.height, pixel_format
    coder.time_base = Fraction(1, 24)
    coder.options = {"format": "half", "compression": "zip16"}
    return b"".join(bytes(packet) for packet in coder.encode(frame.reformat(format=pixel_format)))
